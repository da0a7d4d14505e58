"""What a process that is to go on says in its log before it can be used."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_SECONDS = 120


def wait_for(pattern: str, log: Path, process: subprocess.Popen) -> re.Match[str]:
    """The first place in its log that fits.

    Raises:
        RuntimeError: the process has ended, or says nothing of the kind; with the log.
    """
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        has_ended = process.poll() is not None
        if told := re.search(pattern, log.read_text()):
            return told
        if has_ended:
            break
        time.sleep(0.02)
    raise RuntimeError(f"{process.args} ({process.returncode}) did not say {pattern!r}:\n{log.read_text()}")
