"""Stages end together: normally when the work is done, at once when one of them fails."""

import threading
import time

import pytest

from reconcile.concurrency.channels import Channel, StageGroup, Stopped


@pytest.mark.parametrize("lot", [1, 2, 3])
def test_everything_put_in_comes_out_once(lot):
    with StageGroup() as stages:
        numbers: Channel[int] = Channel(stages, 3, 4, lot)
        doubled: Channel[int] = Channel(stages, 2, 2)
        stages.start("make", 4, lambda worker: [numbers.put(worker * 100 + n) for n in range(100)], numbers)
        stages.start("double", 2, lambda _: [doubled.put(2 * number) for number in numbers], doubled)
        assert sorted(doubled) == [2 * n for n in range(400)]


def test_a_slow_consumer_holds_the_producer_back():
    made = []
    with StageGroup() as stages:
        numbers: Channel[int] = Channel(stages, 5, 1)

        def make(_):
            for n in range(100):
                numbers.put(n)
                made.append(n)

        stages.start("make", 1, make, numbers)
        for number in numbers:
            assert len(made) <= number + 1 + 5 + 1  # taken, waiting in the channel, and the one just put


def test_producers_that_are_ahead_work_in_bursts():
    made = []

    def make(_):
        for n in range(12):
            numbers.put(n)
            made.append(n)

    def until(count):
        for _ in range(3000):
            if len(made) == count:
                return
            time.sleep(0.01)
        raise AssertionError(made)

    with StageGroup() as stages:
        numbers: Channel[int] = Channel(stages, 8, 1, lot=4)
        stages.start("make", 1, make, numbers)
        until(8)
        assert [numbers.get_nowait() for _ in range(3)] == [0, 1, 2]
        time.sleep(0.05)
        assert len(made) == 8, "nobody is woken for less than a lot"
        assert numbers.get_nowait() == 3
        until(12)
        assert list(numbers) == list(range(4, 12))


@pytest.mark.parametrize("failing", ["first", "second"])
def test_an_error_in_any_stage_ends_all_of_them_and_is_the_one_raised(failing):
    def fail_at(stage, number):
        if stage == failing and number == 7:
            raise ZeroDivisionError("seven")
        return number

    def run():
        with StageGroup() as stages:
            first: Channel[int] = Channel(stages, 1, 1)
            second: Channel[int] = Channel(stages, 1, 3)
            stages.start("first", 1, lambda _: [first.put(fail_at("first", n)) for n in range(1000)], first)
            stages.start("second", 3, lambda _: [second.put(fail_at("second", n)) for n in first], second)
            list(second)

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="seven"):
        run()
    assert threading.active_count() == before


def test_an_error_in_the_consumer_ends_the_stages():
    def run():
        with StageGroup() as stages:
            endless: Channel[int] = Channel(stages, 1, 1)
            stages.start("make", 1, lambda _: [endless.put(0) for _ in iter(int, 1)], endless)
            for _ in endless:
                raise KeyError("enough")

    before = threading.active_count()
    with pytest.raises(KeyError):
        run()
    assert threading.active_count() == before


def test_nothing_can_be_put_after_a_stop():
    stages = StageGroup()
    channel: Channel[int] = Channel(stages, 1, 1)
    stages.stop()
    with pytest.raises(Stopped):
        channel.put(1)
