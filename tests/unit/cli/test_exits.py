"""Exit codes, and the one line a failed command prints."""

import io

import pytest

from reconcile.cli.exits import FAILED, USAGE, describe_error, report_failure
from reconcile.cli.startup import INTERRUPTED
from reconcile.errors import ReconcileError, UsageError
from reconcile.logs import RunLog


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ReconcileError("no such\n bucket"), FAILED, "no such bucket"),
        (UsageError("--limit is wrong"), USAGE, "--limit is wrong"),
        (KeyError("x"), FAILED, "unexpected KeyError: 'x' (set RECONCILE_DEBUG=1 to see the traceback)"),
    ],
)
def test_error_becomes_a_code_and_one_line(error, code, line):
    assert describe_error(error, stopped=False) == (code, line)


def test_any_error_after_a_signal_counts_as_interrupted():
    code, line = describe_error(ReconcileError("a thread was stopped"), stopped=True)
    assert code == INTERRUPTED
    assert line == "interrupted; finished work is kept, run the same command again to continue"


def test_unexpected_error_is_raised_again_if_debugging(monkeypatch):
    monkeypatch.setenv("RECONCILE_DEBUG", "1")
    with pytest.raises(KeyError):
        describe_error(KeyError("x"), stopped=False)


def test_failure_is_logged_before_the_command_ends():
    stream = io.StringIO()
    with pytest.raises(SystemExit) as ended, report_failure(RunLog("text", None, stream)):
        raise UsageError("--limit is wrong")
    assert ended.value.code == USAGE
    assert stream.getvalue().endswith("reconcile: --limit is wrong\n")
