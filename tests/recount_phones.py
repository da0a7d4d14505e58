"""Phones that talk to the app of `reconcile recount` as its page does, and servers in this process for them."""

from __future__ import annotations

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.logs import RunLog
from reconcile.output.schemas import VERDICTS_SCHEMA
from reconcile.output.store import Output
from reconcile.recounting.access import RequireAccess, Secrets
from reconcile.recounting.app import RecountApp
from reconcile.recounting.journal import open_journals
from reconcile.recounting.page import Page
from reconcile.recounting.saving import Saving
from reconcile.recounting.server import load_run
from reconcile.recounting.shift import Rules, Shift
from reconcile.recounting.storing import Storing
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket

TOKEN = "a-token-that-is-long-enough"


class AppInProcess:
    """The application without a network and without its thread: `step` reads and writes `<out>`."""

    def __init__(self, folder: Path, out: str | Path, access: S3Access | None = None, **rules: object) -> None:
        self.folder, self.token = folder, TOKEN
        self.output = Output(open_bucket(str(out), access or S3Access()))
        scratch = folder / f"scratch-{uuid.uuid4().hex}"
        scratch.mkdir()
        self.log_file = (folder / "log").open("a+")
        self.log = RunLog("text", stream=self.log_file)
        chosen = {"is_open": False, "second_counts": False, "tolerance": None, "reasons": ("damaged",)} | rules
        self.journals = open_journals(folder / "journal", self.log.warn)
        self.shift = Shift(Rules(**chosen), self.journals[0], partial(load_run, self.output, scratch, None, {}))
        self.storing = Storing(self.output, self.journals, self.shift, scratch, self.log)
        page = Page(self.shift.rules, f"http://127.0.0.1:1/?token={TOKEN}", None)
        app = RecountApp(self.shift, Saving(self.shift, self.journals[0]), page, self.log, lambda: None)
        self._app = RequireAccess(app.asgi, Secrets(TOKEN, "k" * 32), "cookie", is_secure=False)
        self.storing.step()

    def request(
        self, method: str, path: str, body: object = None, client: str = "192.0.2.7", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send one request, and return status, body and headers."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        names = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        raw_path, _, query = path.partition("?")
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": raw_path, "query_string": query.encode(),
            "headers": names, "client": (client, 1), "server": ("127.0.0.1", 1), "scheme": "http", "root_path": "",
        }  # fmt: skip
        sent: list[dict] = []
        incoming = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> dict:
            return incoming.pop() if incoming else await asyncio.Event().wait()

        async def send(message: dict) -> None:
            sent.append(message)

        with ThreadPoolExecutor(1) as thread:  # playwright runs an event loop in the thread of the tests
            thread.submit(asyncio.run, self._app(scope, receive, send)).result()
        body_sent = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], body_sent, {name.decode(): value.decode() for name, value in sent[0]["headers"]}

    def phone(self, who: str) -> Phone:
        return Phone(self, who)

    def verdicts(self) -> list[dict]:
        """Write what waits, and return all rows of `<out>/verdicts`."""
        self.storing.step()
        return read_verdicts(Path(self.output.location))

    def close(self) -> None:
        """Release the journals, as the end of a process does."""
        for journal in self.journals:
            journal.close()


class Phone:
    """One phone with a person. It holds the cookie that the address gave it."""

    def __init__(self, server, who: str) -> None:
        self.server, self.who, self.device = server, who, uuid.uuid4().hex
        status, _, headers = server.request("GET", f"/?token={server.token}")
        assert status == 200
        self.cookie = headers["set-cookie"].split(";")[0]

    def get(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        return self.server.request("GET", path, cookie=self.cookie)

    def post(self, path: str, body: dict) -> tuple[int, dict]:
        body = {"device": self.device, "who": self.who} | body
        status, data, _ = self.server.request("POST", path, body, cookie=self.cookie, content_type="application/json")
        return status, json.loads(data)

    def queue(self) -> dict:
        """Return the queue, with its cards by bin id."""
        queue = json.loads(self.get("/api/queue")[1])
        queue["cards"] = {card["bin"]: card for card in queue["cards"]}
        return queue

    def names(self) -> dict[int | None, str]:
        """Return the bin ids by the number of the card."""
        return {card["n"]: bin_id for bin_id, card in self.queue()["cards"].items()}

    def poll(self, holding=(), wish="walking", after=None, **more) -> dict:
        """Poll as a phone that shows the cards `holding`, and wants a next card unless `wish` is None."""
        queue = json.loads(self.get("/api/queue")[1])
        body = {"holding": list(holding), "run": queue and queue["run"]}
        if wish:
            body["wish"] = {"order": wish, "after": after} | more
        status, state = self.post("/api/poll", body)
        assert status == 200, state
        return state

    def entry(self, bin_id: str, count: int | None = None, action: str = "count", **more) -> dict:
        """Return a new entry on a bin of the newest run."""
        queue = self.queue()
        entry = {"id": uuid.uuid4().hex, "run": queue["run"], "number": queue["cards"][bin_id]["n"], "bin": bin_id}
        return entry | {"action": action, "count": count} | more

    def send(self, *entries: dict) -> list[dict]:
        """Send entries, and return their results."""
        status, answer = self.post("/api/entries", {"entries": list(entries)})
        assert status == 200, answer
        return answer["results"]

    def count(self, bin_id: str, count: int, **more) -> dict:
        """Count one bin, and return the result."""
        [result] = self.send(self.entry(bin_id, count, **more))
        return result


def read_verdicts(out: Path) -> list[dict]:
    """Return all rows of `<out>/verdicts`."""
    parts = [pq.read_table(path, schema=VERDICTS_SCHEMA) for path in sorted(Path(out, "verdicts").glob("*.parquet"))]
    return pa.concat_tables(parts).to_pylist() if parts else []
