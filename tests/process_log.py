"""Wait for a line in the log of a process."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_SECONDS = 120


def wait_for(pattern: str, log: Path, process: subprocess.Popen) -> re.Match[str]:
    """Return the first match of a pattern in a log file, as soon as there is one.

    Raises:
        RuntimeError: the process ended, or 120 seconds passed, without a match. The message has the log.
    """
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        has_ended = process.poll() is not None
        if match := re.search(pattern, log.read_text()):
            return match
        if has_ended:
            break
        time.sleep(0.02)
    raise RuntimeError(f"{process.args} ({process.returncode}) did not log {pattern!r}:\n{log.read_text()}")
