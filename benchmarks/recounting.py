"""Measure `reconcile recount` with 50 phones at once: how long a tap takes, and the memory of the server.

Each phone asks every three seconds, fetches the photo of each card, and taps a count after three to six seconds, as
people do who hurry. Phones of this benchmark run on the cores of the server.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import statistics
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import SCRIPTS, draw_bucket, run_reconcile

PHONES, BINS, DRAWN = 50, 500, 520
TOKEN = "benchmark-token-0123456789"
PAUSE_SECONDS = (3.0, 6.0)
"""The seconds for a bin: 40 bins in three minutes."""
POLL_SECONDS = 3.0
WITHIN_SECONDS = 0.2
_NAMES = {"entries": "a tap (saved on the disk)", "poll": "a question for news", "photos": "a photo"}


@dataclass
class Timings:
    """The seconds of all requests by their kind, and the number of failed ones."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _NAMES})
    failed: int = 0


class Phone:
    """One phone, which counts until nothing is left."""

    def __init__(self, port: int, number: int, timings: Timings) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._who = {"device": uuid.uuid4().hex, "who": f"person {number}"}
        self._timings, self._random = timings, random.Random(number)
        self._next_poll = 0.0

    def count_all(self) -> None:
        """Count bins until the server has no card for this phone any more."""
        queue = self._ask("GET", "/api/queue", None, None)
        bins = {card["n"]: card["bin"] for card in queue["cards"]}
        current = self._poll(queue["run"], None)
        while current is not None:
            self._ask("GET", f"/photos/{queue['run']}/{current}", None, "photos")
            until = time.monotonic() + self._random.uniform(*PAUSE_SECONDS)
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, max(0.0, self._next_poll - time.monotonic())))
                if time.monotonic() >= self._next_poll:
                    self._poll(queue["run"], current, wants_next=False)
            entry = {"id": uuid.uuid4().hex, "run": queue["run"], "number": current, "bin": bins[current]}
            entry |= {"action": "count", "count": self._random.randrange(10)}
            self._ask("POST", "/api/entries", self._who | {"entries": [entry]}, "entries")
            current = self._poll(queue["run"], None, after=current)

    def _poll(self, run: str, current: int | None, after: int | None = None, *, wants_next: bool = True) -> int | None:
        self._next_poll = time.monotonic() + POLL_SECONDS
        wish = {"order": "walking", "area": None, "after": after} if wants_next else None
        holding = [] if current is None else [current]
        state = self._ask("POST", "/api/poll", self._who | {"run": run, "holding": holding, "wish": wish}, "poll")
        following: int | None = state["next"]
        return following

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, kind: str | None) -> Any:
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        started = time.perf_counter()
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            self._timings.failed += 1
        if kind is not None:
            self._timings.seconds[kind].append(time.perf_counter() - started)
        return json.loads(data) if kind != "photos" else None


def measure(folder: Path) -> list[str]:
    """Count 500 bins with 50 phones, and return the table."""
    bucket, out = folder / "recounted", folder / "recounted-out"
    draw_bucket(bucket, DRAWN)
    run_reconcile("run", "--bucket", bucket, "--out", out, "--device", "cpu", "--capacity", BINS,
                  "--max-unreadable", "100%", "--max-invalid", "100%")  # fmt: skip
    command = [SCRIPTS / "reconcile", "recount", "--out", out, "--port", "0", "--token", TOKEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0])
        time.sleep(10)  # the server reads the run
        timings, load = Timings(), os.getloadavg()[0]
        phones = [threading.Thread(target=Phone(port, number, timings).count_all) for number in range(PHONES)]
        started = time.monotonic()
        for phone in phones:
            phone.start()
        for phone in phones:
            phone.join()
        seconds = time.monotonic() - started
        status = Path(f"/proc/{server.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        server.terminate()
    return [*_lines(timings, seconds, peak), "", f"Before the test, the load average of the machine was {load:.1f}."]


def _lines(timings: Timings, seconds: float, peak: float) -> list[str]:
    taps = timings.seconds["entries"]
    within = sum(one <= WITHIN_SECONDS for one in taps) / len(taps)
    lines = [
        f"{PHONES} phones count {len(taps)} bins in {seconds:.0f} s. Photos are in a local folder.",
        "",
        "| milliseconds | requests | median | 95 % within | longest |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, name in _NAMES.items():
        values = sorted(1000 * one for one in timings.seconds[kind])
        ninety_fifth = values[round(0.95 * (len(values) - 1))]
        lines.append(
            f"| {name} | {len(values):,} | {statistics.median(values):.0f} | {ninety_fifth:.0f} | {values[-1]:.0f} |"
        )
    return [
        *lines,
        "",
        f"{within:.1%} of the taps were answered within {1000 * WITHIN_SECONDS:.0f} ms. "
        f"{timings.failed} requests failed. "
        f"The server used at most {peak:.0f} MB.",
    ]
