"""Helpers of the serving tests: run coroutines, and hold back counts."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor


def run(coroutine):
    """Run a coroutine in its own thread, because the browser tests leave an event loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


class DelayedBatcher:
    """A batcher that counts only after `start` is set. `most_bytes` is the most that it had to hold at the same
    time."""

    def __init__(self, batcher, start):
        self.predictor, self._batcher, self._start = batcher.predictor, batcher, start
        self._lock, self._held, self.most_bytes = threading.Lock(), 0, 0

    def count(self, data):
        result = Future()
        with self._lock:
            self._held += len(data)
            self.most_bytes = max(self.most_bytes, self._held)
        threading.Thread(target=self._count, args=(data, result), daemon=True).start()
        return result

    def _count(self, data, result):
        self._start.wait()
        probs = self._batcher.count(data).result()
        with self._lock:
            self._held -= len(data)
        result.set_result(probs)
