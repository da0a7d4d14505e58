"""A `reconcile serve` as its container starts it, and what to ask of it."""

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
class Answer:
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
    """The process; its log goes to a file in `folder`."""

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
        """Until /ping says so; before, it says that it is not."""
        while (answer := self.ask("GET", "/ping")).status != 200:
            assert answer.status == 503
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        return self

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def accepts_connections(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = self.connect()
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers["content-type"], response.read())
        connection.close()
        return answer

    def count(self, image: bytes, **headers: str) -> Answer:
        return self.ask("POST", "/invocations", image, **({"content_type": "image/jpeg"} | headers))

    def count_keys(self, lines: list[dict], **headers: str) -> Answer:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return self.ask("POST", "/invocations", body, **({"content_type": "application/jsonlines"} | headers))

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)
