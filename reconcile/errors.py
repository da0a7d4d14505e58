"""What ends a run before or during its work, in words for the person who reads the log."""


class ReconcileError(Exception):
    """Ends the command with exit code 1; the message is the one line that is printed."""


class UsageError(ReconcileError):
    """The settings make no sense together or one is malformed; exit code 2."""


DEBUG = "RECONCILE_DEBUG"
"""A variable of the environment, and no setting: where it is set, what nobody thought of is told with a traceback."""


def first_line(error: BaseException) -> str:
    """Return the first 300 characters of the first line of an error's message, or its class if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
