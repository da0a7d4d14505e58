"""What lies in <out> while a transform job counts, and by what a later run finds the job again.

transform/<job name>/keys/00000.jsonl       shards: the images to count, one a line
transform/<job name>/job.json               what the job is; there before the job, and gone last of all
transform/<job name>/out/00000.jsonl.out    SageMaker's answer to a shard
transform/models/<model id>/model.tar.gz    what counts

A folder without job.json was left by a run that ended before it asked for a job. Only the run that has <out> for itself
writes or removes any of it.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError
from reconcile.storage.bulk_delete import delete_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.output.store import Output


FOLDER = "transform"
MODELS = f"{FOLDER}/models"
ANSWER = ".out"
"""What SageMaker puts behind the name of what it answers."""
_NAME = "reconcile-"
_SHARD = re.compile(r"(\d+)\.jsonl(?:\.out)?$")


def new_job_name() -> str:
    """Of a job, and of the model it uses: unlike any other, sorting by time, in small letters as ARNs have them."""
    return f"{_NAME}{datetime.now(UTC):%Y%m%dt%H%M%S%fz}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class TransformJob:
    """One job, as job.json has it."""

    name: str
    bucket: str
    """The location of the one with the images."""
    model_id: str
    region: str
    """Of SageMaker."""
    images: int
    shards: int
    is_ingested: bool = False
    """Whether all that is to be had of it is in <out>/counts: what is left waits to be removed."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back.

        Raises:
            ReconcileError: another version wrote it.
        """
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            raise ReconcileError(
                f"{FOLDER}/…/job.json is of a version that is not known here: {data[:200]!r}"
            ) from None

    def as_json(self) -> bytes:
        """What job.json holds."""
        return json.dumps(asdict(self), indent=2).encode()

    def part(self, shard: int) -> str:
        """The name of the Parquet part that a shard becomes, however often it is ingested."""
        return f"{self.name.removeprefix(_NAME)}-{shard:05d}"


class TransformFolder:
    """<out>/transform/<job name>/."""

    def __init__(self, output: Output, name: str) -> None:
        self._bucket, self.name = output.bucket, name
        self._base = f"{FOLDER}/{name}"

    @property
    def keys_url(self) -> str:
        """What SageMaker is to read."""
        return self._bucket.url(f"{self._base}/keys/")

    @property
    def responses_url(self) -> str:
        """Where SageMaker is to write."""
        return self._bucket.url(f"{self._base}/out")

    def write_shard(self, number: int, lines: bytes) -> None:
        """Put the keys of one shard.

        Raises:
            ReconcileError: it cannot be written.
        """
        self._bucket.put(f"{self._base}/keys/{number:05d}.jsonl", lines)

    def write_job(self, job: TransformJob) -> None:
        """Put job.json.

        Raises:
            ReconcileError: it cannot be written.
        """
        self._bucket.put(f"{self._base}/job.json", job.as_json())

    def read_job(self) -> TransformJob | None:
        """The job of this folder; None where none was ever asked for.

        Raises:
            ReconcileError: it cannot be read.
        """
        try:
            found = self._bucket.read(f"{self._base}/job.json")
        except FetchError as error:
            raise ReconcileError(str(error)) from None
        return None if found is None else TransformJob.from_json(found[1])

    def responses(self) -> dict[int, str]:
        """Shard to the key of its answer, of those that have one.

        They are looked for anywhere under out/: SageMaker's documentation can be read as if an answer might lie in a
        folder there that is named after the input's.
        """
        found = {}
        for page in self._bucket.list_pages(f"{self._base}/out/"):
            for stored in page:
                if stored.key.endswith(ANSWER) and (shard := _SHARD.search(stored.key)):
                    found[int(shard[1])] = stored.key
        return found

    def read_shard(self, number: int) -> bytes:
        """The keys of one shard.

        Raises:
            ReconcileError: they cannot be had.
        """
        return self._read(f"{self._base}/keys/{number:05d}.jsonl")

    def read_response(self, key: str) -> bytes:
        """An answer, by a key that `answered` gave.

        Raises:
            ReconcileError: it cannot be had.
        """
        return self._read(key)

    def _read(self, key: str) -> bytes:
        try:
            return self._bucket.get(key)
        except FetchError as error:
            raise ReconcileError(f"{self._bucket.url(key)}: {error}") from None

    def empty(self, job: TransformJob | None) -> None:
        """Remove answers, then keys.

        Args:
            job: of the folder, if there is one; from then on it is known as ingested, so that no later run brings
                anything in again, nor takes a shard whose answer is removed already for one that was never answered.

        Raises:
            ReconcileError: something cannot be removed; a later run tries again.
        """
        if job is not None and not job.is_ingested:
            self.write_job(replace(job, is_ingested=True))
        for part in ("out/", "keys/"):
            pages = self._bucket.list_pages(f"{self._base}/{part}")
            delete_objects(self._bucket, [stored.key for page in pages for stored in page], lambda _: None)

    def delete_manifest(self) -> None:
        """Remove job.json, and with it the folder.

        Raises:
            ReconcileError: it cannot be removed; a later run tries again.
        """
        self._bucket.delete(f"{self._base}/job.json")


def folders_of(output: Output) -> Iterator[TransformFolder]:
    """Those that are in <out>, the oldest first."""
    pages = output.bucket.list_pages(f"{FOLDER}/")
    names = {stored.key.split("/")[1] for page in pages for stored in page}
    yield from (TransformFolder(output, name) for name in sorted(names) if name.startswith(_NAME))
