"""The command line: the console script, the commands and the mapping of errors to exit codes."""

from __future__ import annotations

from typing import NoReturn

from reconcile.cli import startup


def main() -> NoReturn:
    """Run the console script. Every error ends in one line and an exit code."""
    startup.prepare_process()
    from reconcile.cli.commands import execute  # this import takes a while, and a signal may arrive meanwhile

    execute()
