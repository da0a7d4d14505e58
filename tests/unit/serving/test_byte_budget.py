"""Tests of the byte budget."""

import asyncio

from reconcile.serving.byte_budget import ByteBudget
from tests.unit.serving.helpers import run


def test_cancelled_waiter_lets_the_next_one_in():
    async def scenario():
        budget = ByteBudget(10)
        async with budget.acquired(9):
            cancelled = asyncio.create_task(acquire(budget, 5))
            small = asyncio.create_task(acquire(budget, 1))
            await asyncio.sleep(0)
            assert not small.done(), "a later waiter must not overtake an earlier one"
            cancelled.cancel()
            await asyncio.wait_for(small, 10)
        await asyncio.wait_for(acquire(budget, 10), 10)
        await asyncio.wait_for(acquire(budget, 100), 10)

    async def acquire(budget, size):
        async with budget.acquired(size):
            pass

    run(scenario())
