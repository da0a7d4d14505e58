"""Start `reconcile serve` as its container does, and send requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conftest import ACCESS_KEY, SCRIPTS, SECRET_KEY
from tests.process_log import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Response:
    status: int
    media_type: str
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines()]


class Server:
    """A serving process. Its log is a file in `folder`."""

    def __init__(
        self,
        folder: Path,
        *arguments: object,
        command: Sequence[str] = (str(SCRIPTS / "reconcile"),),
        **variables: object,
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RECONCILE_", "AWS_"))}
        own = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "SAGEMAKER_BIND_TO_PORT": 0}
        environment = inherited | {name: str(value) for name, value in (own | variables).items()}
        self.log = folder / "serve.log"
        with self.log.open("w") as log:
            line = [*command, "serve", *(str(argument) for argument in arguments)]
            self.process = subprocess.Popen(line, cwd=folder, env=environment, stderr=log)
        self.port = int(wait_for(r"listening on \S+:(\d+),", self.log, self.process)[1])

    def wait_until_ready(self) -> Server:
        """Wait until /ping returns 200. Before the model is loaded, /ping returns 503."""
        while (response := self.request("GET", "/ping")).status != 200:
            assert response.status == 503
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        return self

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def accepts_connections(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        connection = self.connect()
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        received = connection.getresponse()
        response = Response(received.status, received.headers["content-type"], received.read())
        connection.close()
        return response

    def count(self, image: bytes, **headers: str) -> Response:
        return self.request("POST", "/invocations", image, **({"content_type": "image/jpeg"} | headers))

    def count_keys(self, lines: list[dict], **headers: str) -> Response:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return self.request("POST", "/invocations", body, **({"content_type": "application/jsonlines"} | headers))

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)
