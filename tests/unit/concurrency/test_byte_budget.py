"""Tests of the byte budget."""

import asyncio
import threading

from reconcile.concurrency.byte_budget import ByteBudget
from tests.unit.serving.helpers import run


def test_cancelled_waiter_lets_the_next_waiter_proceed():
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


def test_thread_waits_until_enough_bytes_are_free():
    budget = ByteBudget(10)
    done = threading.Event()

    def acquire_most():
        with budget.held(8):
            done.set()

    with budget.held(4), budget.held(4):
        thread = threading.Thread(target=acquire_most)
        thread.start()
        assert not done.wait(0.1)
    thread.join(10)
    assert done.is_set()
