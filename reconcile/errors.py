"""Errors that end a command, with messages for the person who reads the log."""


class ReconcileError(Exception):
    """An error that ends the command with exit code 1. The command prints its message as one line."""


class UsageError(ReconcileError):
    """A malformed setting, or settings that contradict each other. The exit code is 2."""


class OutputError(ReconcileError):
    """Standard output cannot be written, because its disk is full or its reader has ended.

    Args:
        reason: the operating system's reason.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"standard output cannot be written: {reason}")
        self.reason = reason


def first_line(error: BaseException) -> str:
    """Return the first 300 characters of the first line of an error's message, or its class if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
