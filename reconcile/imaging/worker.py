"""A process that decodes one photo after another within limits of memory and CPU time.

`worker_pool.py` starts it and talks to it through standard input and output. A photo may make it end at any time.
"""

from __future__ import annotations

import math
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

from reconcile.imaging.decoding import decode_square, decode_thumbnail
from reconcile.imaging.jpeg_header import START, read_jpeg_header
from reconcile.imaging.limits import MAX_CPU_SECONDS, TOO_MUCH_MEMORY, UnreadableImage
from reconcile.imaging.worker_protocol import ANSWER, DECODED, READY, REQUEST, THUMBNAIL, UNREADABLE

_SLACK_BYTES = 32 * 2**20
"""Memory beyond the estimate, for what decoders need besides pixels."""


def main() -> None:
    """Answer requests until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the process that asked ends its work in order, and this one then
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # no library may write into the answers
    answers.write(READY)
    answers.flush()
    base = _private_bytes()
    while header := requests.read(REQUEST.size):
        kind, size, memory, length = REQUEST.unpack(header)
        data = requests.read(length)
        if base is not None:
            _limit(resource.RLIMIT_DATA, base + memory + length + _SLACK_BYTES)
        times = os.times()
        _limit(resource.RLIMIT_CPU, math.ceil(times.user + times.system + MAX_CPU_SECONDS))
        status, text, result = _decode(kind, size, data)
        del data
        with suppress(BrokenPipeError):  # nobody waits any more
            answers.write(ANSWER.pack(status, len(text), len(result)) + text + result)
            answers.flush()


def _decode(kind: int, size: int, data: bytes) -> tuple[int, bytes, bytes]:
    try:
        header = read_jpeg_header(data) if data[:2] == START else None
        if kind == THUMBNAIL:
            return DECODED, b"", decode_thumbnail(data, size, header)
        picture, note = decode_square(data, size, header)
        return DECODED, (note or "").encode(), picture.tobytes()
    except UnreadableImage as error:
        return UNREADABLE, str(error).encode("utf-8", "replace"), b""
    except MemoryError:
        return UNREADABLE, TOO_MUCH_MEMORY.encode(), b""


def _limit(name: int, value: int) -> None:
    """Set a limit of this process, as far as it may be set."""
    _, hard = resource.getrlimit(name)
    with suppress(ValueError, OSError):
        resource.setrlimit(name, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _private_bytes() -> int | None:
    """Return the private memory of this process in bytes as RLIMIT_DATA counts it, or None if Linux does not say."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmData:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return None
