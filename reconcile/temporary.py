"""Temporary folders in the place that the user chose.

Python's `tempfile` silently takes /tmp if TMPDIR names a folder that is missing, full or read-only. That disk may be
small, and the user chose another one for a reason.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Iterator


_VARIABLES = ("TMPDIR", "TEMP", "TMP")
"""The variables that Python's `tempfile` reads, in this order."""


def temporary_parent() -> Path:
    """Return the folder for temporary files: that of TMPDIR, TEMP or TMP, or else the one of the system.

    Raises:
        ReconcileError: no file can be created in this folder.
    """
    variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
    try:
        folder = Path(os.environ[variable] if variable else tempfile.gettempdir()).absolute()
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"reconcile can write here\n")
    except OSError as error:
        raise _explain(error, variable) from None
    return folder


@contextmanager
def temporary_folder(prefix: str = "reconcile-") -> Iterator[Path]:
    """Provide a temporary folder, and remove it at the end.

    Args:
        prefix: the start of the folder's name.

    Raises:
        ReconcileError: the folder cannot be created.
    """
    parent = temporary_parent()
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _explain(error: OSError, variable: str | None) -> ReconcileError:
    reason = error.strerror or error
    if variable is None:
        return ReconcileError(f"cannot create a temporary file: {reason}; set TMPDIR to a folder on another disk")
    return ReconcileError(
        f"cannot create a temporary file in {os.environ[variable]}: {reason}; {variable} must name a folder that "
        "exists, can be written and has space"
    )
