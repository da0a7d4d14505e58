"""Channels and stage groups: all stages end together, when the work is done or when one of them fails."""

import threading
import time

import pytest

from reconcile.concurrency.channels import Channel, StageGroup, Stopped


@pytest.mark.parametrize("release_size", [1, 2, 3])
def test_each_item_is_consumed_exactly_once(release_size):
    with StageGroup() as stages:
        numbers: Channel[int] = Channel(stages, 3, 4, release_size)
        doubled: Channel[int] = Channel(stages, 2, 2)
        stages.start("make", 4, lambda worker: [numbers.put(worker * 100 + n) for n in range(100)], numbers)
        stages.start("double", 2, lambda _: [doubled.put(2 * number) for number in numbers], doubled)
        assert sorted(doubled) == [2 * n for n in range(400)]


def test_slow_consumer_blocks_the_producer():
    made = []
    with StageGroup() as stages:
        numbers: Channel[int] = Channel(stages, 5, 1)

        def make(_):
            for n in range(100):
                numbers.put(n)
                made.append(n)

        stages.start("make", 1, make, numbers)
        for number in numbers:
            assert len(made) <= number + 1 + 5 + 1  # consumed, in the channel, and the one that was just put


def test_producers_far_ahead_work_in_bursts():
    made = []

    def make(_):
        for n in range(12):
            numbers.put(n)
            made.append(n)

    def wait_until_made(count):
        for _ in range(3000):
            if len(made) == count:
                return
            time.sleep(0.01)
        raise AssertionError(made)

    with StageGroup() as stages:
        numbers: Channel[int] = Channel(stages, 8, 1, release_size=4)
        stages.start("make", 1, make, numbers)
        wait_until_made(8)
        assert [numbers.get_nowait() for _ in range(3)] == [0, 1, 2]
        time.sleep(0.05)
        assert len(made) == 8, "no producer wakes up before release_size slots are free"
        assert numbers.get_nowait() == 3
        wait_until_made(12)
        assert list(numbers) == list(range(4, 12))


@pytest.mark.parametrize("failing", ["first", "second"])
def test_error_in_a_stage_stops_all_and_is_raised(failing):
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


def test_error_in_the_consumer_stops_the_stages():
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


def test_put_after_a_stop_raises_stopped():
    stages = StageGroup()
    channel: Channel[int] = Channel(stages, 1, 1)
    stages.stop()
    with pytest.raises(Stopped):
        channel.put(1)
