"""Retries of S3 requests: their number and their duration, measured on a fake clock."""

import pytest

from reconcile.concurrency import cancellation
from reconcile.storage import retry
from reconcile.storage.retry import BUDGET_SECONDS, GIVEN_UP_IN_A_ROW, TRIES, FaultKind, Retries, RetriesExhausted


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Return a clock that advances only while a thread sleeps."""

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


def failing_until(is_over):
    """Return a request that fails until `is_over()` is true. The request counts its calls in `calls`."""

    def request():
        request.calls += 1
        if not is_over():
            raise OSError("no")
        return "bytes"

    request.calls = 0
    return request


def never():
    return False


@pytest.mark.parametrize("fault", [FaultKind.THROTTLED, FaultKind.TRANSIENT])
def test_request_succeeds_after_an_outage_of_one_minute(clock, fault):
    start = clock.now
    request = failing_until(lambda: clock.now > start + 60)
    assert Retries().call(request, lambda _: fault, use_full_budget=False) == "bytes"
    assert 60 < clock.now - start <= 60 + retry.LONGEST_PAUSE_SECONDS
    assert request.calls < 25  # because the pauses grow


def test_answer_before_the_first_failure_does_not_shorten_retries(clock):
    start, retries, calls = clock.now, Retries(), []

    def request():
        calls.append(clock.now)
        if len(calls) == 1:  # S3 still answers a request that began at the same time
            retries.call(lambda: "another", lambda _: FaultKind.TRANSIENT, use_full_budget=False)
        if clock.now < start + 60:
            raise OSError("no")
        return "bytes"

    assert retries.call(request, lambda _: FaultKind.TRANSIENT, use_full_budget=False) == "bytes"
    assert len(calls) > TRIES


@pytest.mark.parametrize(("probe", "expected_tries"), [(lambda: "here", TRIES), (failing_until(never), None)])
def test_probe_decides_the_tries_when_no_other_request_runs(clock, probe, expected_tries):
    start, request = clock.now, failing_until(never)
    with pytest.raises(RetriesExhausted):
        Retries().call(request, lambda _: FaultKind.TRANSIENT, use_full_budget=False, probe=probe)
    if expected_tries:
        assert request.calls == expected_tries
    else:
        assert clock.now - start > BUDGET_SECONDS - retry.LONGEST_PAUSE_SECONDS


def test_request_is_given_up_when_the_budget_is_used_up(clock):
    start = clock.now
    with pytest.raises(RetriesExhausted, match="no") as raised:
        Retries().call(failing_until(never), lambda _: FaultKind.THROTTLED, use_full_budget=True)
    assert BUDGET_SECONDS - retry.LONGEST_PAUSE_SECONDS <= clock.now - start <= BUDGET_SECONDS
    assert "tries in 1" in raised.value.effort


def test_failing_request_is_given_up_early_when_others_succeed(clock):
    retries = Retries()

    def answer_another_request():
        retries.call(lambda: None, lambda _: FaultKind.PERMANENT, use_full_budget=False)

    request = failing_until(answer_another_request)
    with pytest.raises(RetriesExhausted) as raised:
        retries.call(request, lambda _: FaultKind.TRANSIENT, use_full_budget=False)
    assert request.calls == TRIES
    assert raised.value.effort.startswith(f"{TRIES} tries in ")
    for use_full_budget, fault in (
        (True, FaultKind.TRANSIENT),  # the run cannot go on without this answer
        (False, FaultKind.THROTTLED),  # S3 asks to slow down
    ):
        start = clock.now
        with pytest.raises(RetriesExhausted):
            retries.call(
                failing_until(answer_another_request), lambda _, fault=fault: fault, use_full_budget=use_full_budget
            )
        assert clock.now - start > BUDGET_SECONDS - retry.LONGEST_PAUSE_SECONDS


def test_unreachable_address_is_given_up_after_few_tries(clock):
    request = failing_until(never)
    with pytest.raises(RetriesExhausted):
        Retries().call(request, lambda _: FaultKind.UNREACHABLE, use_full_budget=True)
    assert request.calls == TRIES


def test_permanent_failure_is_not_retried():
    request = failing_until(never)
    with pytest.raises(OSError, match="no"):
        Retries().call(request, lambda _: FaultKind.PERMANENT, use_full_budget=True)
    assert request.calls == 1


def test_refused_credentials_are_tried_twice():
    request = failing_until(never)
    with pytest.raises(RetriesExhausted):
        Retries().call(request, lambda _: FaultKind.CREDENTIALS, use_full_budget=True)
    assert request.calls == 2


def test_circuit_opens_only_after_consecutive_failures():
    retries = Retries()

    def exhaust(requests):
        for _ in range(requests):
            with pytest.raises(RetriesExhausted):
                retries.call(failing_until(never), lambda _: FaultKind.CREDENTIALS, use_full_budget=False)

    exhaust(GIVEN_UP_IN_A_ROW - 1)
    with pytest.raises(OSError, match="no"):  # a permanent failure is an answer of S3
        retries.call(failing_until(never), lambda _: FaultKind.PERMANENT, use_full_budget=False)
    exhaust(GIVEN_UP_IN_A_ROW - 1)
    assert not retries.circuit_is_open
    exhaust(1)
    assert retries.circuit_is_open


def test_cancellation_ends_the_request_before_the_next_try(monkeypatch):
    def request():
        monkeypatch.setattr(cancellation, "_requested", True)
        raise OSError("no")

    with pytest.raises(KeyboardInterrupt):
        Retries().call(request, lambda _: FaultKind.THROTTLED, use_full_budget=True)
