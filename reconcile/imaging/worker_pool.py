"""Processes that decode the photos that could take long, need much memory or crash a decoder."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from reconcile.concurrency.cpu import available_cores
from reconcile.errors import ReconcileError
from reconcile.imaging.limits import MAX_CPU_SECONDS, UnreadableImage
from reconcile.imaging.worker_protocol import ANSWER, DECODED, READY, REQUEST

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from reconcile.imaging.worker import main; main()"
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # large blocks go back to the system when they are freed
}
_SECRETS = ("AWS_", "RECONCILE_")
"""Variables that begin like this stay here, because a decoder has no use for them."""
_START_SECONDS, _ANSWER_SECONDS = 120.0, 600.0
"""How long to wait for a process. The limit of CPU time usually ends it earlier, but a machine may be busy."""


class DecodeRequest(NamedTuple):
    """A request to a worker process."""

    kind: int
    """`worker_protocol.SQUARE` or `THUMBNAIL`."""
    size: int
    """The side of the square, or the longer side of the thumbnail, in pixels."""
    byte_count: int
    """The memory that decoding may take."""
    data: bytes
    """The bytes of the photo."""


class _WorkerEnded(Exception):
    """The process ended or was ended before it answered."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class DecodeWorkers:
    """A pool of worker processes. They start when they are first needed and end with this process.

    Args:
        most: the largest number of processes.
    """

    def __init__(self, most: int) -> None:
        self._slots = threading.BoundedSemaphore(most)
        self._idle: list[_Worker] = []

    def decode(self, request: DecodeRequest) -> tuple[str | None, bytes]:
        """Let a process decode a photo.

        Returns:
            the note of the photo if it has one, and the pixels or the thumbnail.

        Raises:
            UnreadableImage: the photo cannot be decoded, takes too long, or made the process crash.
            ReconcileError: no process can be started.
        """
        with self._slots:
            for may_repeat in (True, False):
                worker = self._idle.pop() if self._idle else _Worker()
                try:
                    status, text, result = worker.ask(request)
                except _WorkerEnded as end:
                    # Somebody else killed it: the system because memory was short, or a person.
                    if end.code == -signal.SIGKILL and may_repeat:
                        continue
                    raise UnreadableImage(_why_it_ended(end.code)) from None
                except BaseException:
                    worker.end()
                    raise
                self._idle.append(worker)
                if status != DECODED:
                    raise UnreadableImage(text)
                return text or None, result
        raise AssertionError("both attempts return or raise")


class _Worker:
    """One process."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        try:
            self._process = subprocess.Popen(  # noqa: S603 # the program is a constant
                [sys.executable, "-P", "-c", _PROGRAM, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=environment | _ENVIRONMENT,
            )
        except OSError as error:
            raise ReconcileError(f"no process can be started to decode photos: {error.strerror}") from None
        try:
            self._read(len(READY), time.monotonic() + _START_SECONDS)
        except _WorkerEnded as end:
            raise ReconcileError(
                f"the process that decodes photos ended at its start with code {end.code}; "
                f"try {sys.executable} -c 'import reconcile.imaging.worker'"
            ) from None

    def ask(self, request: DecodeRequest) -> tuple[int, str, bytes]:
        """Send a request and return the status, the text and the result of the answer.

        Raises:
            _WorkerEnded: the process ended before it answered.
        """
        assert self._process.stdin is not None
        until = time.monotonic() + _ANSWER_SECONDS
        with suppress(BrokenPipeError):  # `_read` finds out how it ended
            header = REQUEST.pack(request.kind, request.size, request.byte_count, len(request.data))
            for part in (header, request.data):
                view = memoryview(part)
                while view:
                    view = view[self._process.stdin.write(view) or 0 :]
        status, text_length, length = ANSWER.unpack(self._read(ANSWER.size, until))
        return status, self._read(text_length, until).decode("utf-8", "replace"), self._read(length, until)

    def _read(self, length: int, until: float) -> bytes:
        """Read so many bytes, or end the process if they do not come in time."""
        assert self._process.stdout is not None
        descriptor, parts = self._process.stdout.fileno(), []
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while length:
            if not poll.poll(max(0, int(1000 * (until - time.monotonic())))):
                self.end()
                raise _WorkerEnded(-signal.SIGXCPU)
            part = os.read(descriptor, length)
            if not part:
                raise _WorkerEnded(self._process.wait())
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()


def _why_it_ended(code: int) -> str:
    """Return the reason for a photo whose process ended with this code."""
    if code == -signal.SIGXCPU:
        return f"decoding takes more than {MAX_CPU_SECONDS} s; save the photo again"
    if code == -signal.SIGKILL:
        return "the process that decodes this photo was killed twice; memory may be short"
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"damaged image: the decoder crashed ({name})"


_workers = DecodeWorkers(available_cores())


def workers() -> DecodeWorkers:
    """Return the pool of this process."""
    return _workers


def _forget_workers() -> None:
    global _workers
    _workers = DecodeWorkers(available_cores())


os.register_at_fork(after_in_child=_forget_workers)  # a child must not talk to the processes of its parent
