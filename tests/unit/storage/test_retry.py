"""How often and how long S3 is asked, on a clock of the tests' own."""

import pytest

from reconcile.concurrency import cancellation
from reconcile.storage import retry
from reconcile.storage.retry import BUDGET_SECONDS, GIVEN_UP_IN_A_ROW, TRIES, FaultKind, Retries, RetriesExhausted


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time passes only while somebody sleeps."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    clock = Clock()
    for module in (retry, cancellation):
        monkeypatch.setattr(module, "time", clock)
    return clock


def failing_until(when):
    """A request that fails until `when()`; its calls are counted."""

    def request():
        request.calls += 1
        if not when():
            raise OSError("no")
        return "bytes"

    request.calls = 0
    return request


def never():
    return False


@pytest.mark.parametrize("fault", [FaultKind.THROTTLED, FaultKind.TRANSIENT])
def test_an_outage_of_a_minute_costs_nothing_but_time(clock, fault):
    start = clock.now
    request = failing_until(lambda: clock.now > start + 60)
    assert Retries().call(request, lambda _: fault, use_full_budget=False) == "bytes"
    assert 60 < clock.now - start <= 60 + retry.LONGEST_PAUSE_SECONDS
    assert request.calls < 25  # pauses grow: S3 is not hammered


def test_an_outage_that_comes_upon_requests_under_way_is_waited_out_too(clock):
    start, bucket, calls = clock.now, Retries(), []

    def request():
        calls.append(clock.now)
        if len(calls) == 1:  # S3 still answers another, that was asked for at the same time
            bucket.call(lambda: "another", lambda _: FaultKind.TRANSIENT, use_full_budget=False)
        if clock.now < start + 60:
            raise OSError("no")
        return "bytes"

    assert bucket.call(request, lambda _: FaultKind.TRANSIENT, use_full_budget=False) == "bytes"
    assert len(calls) > TRIES


@pytest.mark.parametrize(("probe", "tries"), [(lambda: "here", TRIES), (failing_until(never), None)])
def test_where_nobody_else_asks_a_probe_says_whose_fault_it_is(clock, probe, tries):
    start, request = clock.now, failing_until(never)
    with pytest.raises(RetriesExhausted):
        Retries().call(request, lambda _: FaultKind.TRANSIENT, use_full_budget=False, probe=probe)
    if tries:
        assert request.calls == tries
    else:
        assert clock.now - start > BUDGET_SECONDS - retry.LONGEST_PAUSE_SECONDS


def test_what_lasts_longer_than_the_budget_is_given_up(clock):
    start = clock.now
    with pytest.raises(RetriesExhausted, match="no") as caught:
        Retries().call(failing_until(never), lambda _: FaultKind.THROTTLED, use_full_budget=True)
    assert BUDGET_SECONDS - retry.LONGEST_PAUSE_SECONDS <= clock.now - start <= BUDGET_SECONDS
    assert "tries in 1" in caught.value.effort


def test_a_request_that_fails_while_others_are_answered_is_given_up_soon(clock):
    all_requests = Retries()

    def others_are_answered():
        all_requests.call(lambda: None, lambda _: FaultKind.PERMANENT, use_full_budget=False)

    request = failing_until(others_are_answered)
    with pytest.raises(RetriesExhausted) as caught:
        all_requests.call(request, lambda _: FaultKind.TRANSIENT, use_full_budget=False)
    assert request.calls == TRIES
    assert caught.value.effort.startswith(f"{TRIES} tries in ")
    for use_full_budget, fault in (
        (True, FaultKind.TRANSIENT),
        (False, FaultKind.THROTTLED),
    ):  # the run ends without it; S3 asked for time
        start = clock.now
        with pytest.raises(RetriesExhausted):
            all_requests.call(
                failing_until(others_are_answered), lambda _, fault=fault: fault, use_full_budget=use_full_budget
            )
        assert clock.now - start > BUDGET_SECONDS - retry.LONGEST_PAUSE_SECONDS


def test_an_address_that_never_answered_is_given_up_soon(clock):
    request = failing_until(never)
    with pytest.raises(RetriesExhausted):
        Retries().call(request, lambda _: FaultKind.UNREACHABLE, use_full_budget=True)
    assert request.calls == TRIES


def test_what_is_lasting_is_not_asked_twice():
    request = failing_until(never)
    with pytest.raises(OSError, match="no"):
        Retries().call(request, lambda _: FaultKind.PERMANENT, use_full_budget=True)
    assert request.calls == 1


def test_credentials_are_tried_twice():
    request = failing_until(never)
    with pytest.raises(RetriesExhausted):
        Retries().call(request, lambda _: FaultKind.CREDENTIALS, use_full_budget=True)
    assert request.calls == 2


def test_only_failures_in_a_row_are_hopeless():
    all_requests = Retries()

    def fail(times):
        for _ in range(times):
            with pytest.raises(RetriesExhausted):
                all_requests.call(failing_until(never), lambda _: FaultKind.CREDENTIALS, use_full_budget=False)

    fail(GIVEN_UP_IN_A_ROW - 1)
    with pytest.raises(OSError, match="no"):  # an answer, too: S3 is there
        all_requests.call(failing_until(never), lambda _: FaultKind.PERMANENT, use_full_budget=False)
    fail(GIVEN_UP_IN_A_ROW - 1)
    assert not all_requests.circuit_is_open
    fail(1)
    assert all_requests.circuit_is_open


def test_whoever_asks_to_stop_does_not_wait_for_the_next_try(monkeypatch):
    def request():
        monkeypatch.setattr(cancellation, "_requested", True)
        raise OSError("no")

    with pytest.raises(KeyboardInterrupt):
        Retries().call(request, lambda _: FaultKind.THROTTLED, use_full_budget=True)
