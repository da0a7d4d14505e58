"""Helpers of the tests of the run lock."""

import json

import pytest

from reconcile.output.lock import run_lock


def keys(output):
    return [stored.key for page in output.bucket.list_pages() for stored in page]


def lock_json(output, **changes):
    """Return the JSON of a lock of this process with another token and these changes."""
    with run_lock(output, "other", pytest.fail):
        _, data = output.bucket.read("run.lock")
    return json.dumps(json.loads(data) | {"token": "another"} | changes).encode()


class Delegate:
    """A bucket that passes every call on to another."""

    def __init__(self, bucket):
        self._bucket = bucket

    def __getattr__(self, name):
        return getattr(self._bucket, name)
