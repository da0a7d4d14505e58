"""Start `reconcile recount` as a process, and wait for the verdicts that it writes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.conftest import SCRIPTS
from tests.process_log import wait_for
from tests.recount_phones import TOKEN, Phone, read_verdicts

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

_SECONDS = 60


class RecountProcess:
    """A running `reconcile recount`. Its log and its output are files in `folder`."""

    def __init__(self, folder: Path, *arguments: object, port: int = 0, token: str | None = TOKEN) -> None:
        self.folder, self.arguments, self.token = folder, arguments, token
        self.log, self.output = folder / "recount.log", folder / "recount.out"
        self.context: ssl.SSLContext | None = None
        self.start(port)

    def start(self, port: int = 0) -> None:
        """Start the process. Its log of before is lost."""
        command = [SCRIPTS / "reconcile", "recount", "--port", str(port), *map(str, self.arguments)]
        command += [] if self.token is None else ["--token", self.token]
        environment = os.environ | {"XDG_STATE_HOME": str(self.folder / "state")}
        with self.log.open("w") as log, self.output.open("w") as output:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stderr=log, stdout=output)
        self.port = int(wait_for(r"listening on \S+:(\d+),", self.log, self.process)[1])
        self.address = wait_for(r"open (\S+)", self.output, self.process)[1]

    def kill(self) -> None:
        """End the process without any chance to clean up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Send one request, and return status, body and headers."""
        if self.context is not None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        answer = response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        return answer

    def phone(self, who: str) -> Phone:
        """Return a new phone that has opened the address."""
        return Phone(self, who)

    def wait_until_ready(self) -> RecountProcess:
        """Wait until the app knows the newest run."""
        phone = self.phone("nobody")
        until = time.monotonic() + _SECONDS
        while phone.get("/api/queue")[1] == b"null":
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        return self


def wait_for_verdicts(out: Path, number: int) -> list[dict]:
    """Return the rows of `<out>/verdicts` as soon as there are that many."""
    until = time.monotonic() + _SECONDS
    while len(rows := read_verdicts(out)) < number:
        assert time.monotonic() < until, f"{len(rows)} of {number} verdicts"
        time.sleep(0.1)
    return rows
