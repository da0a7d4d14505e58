"""The files of a transform job under `<out>/transform/`. A later run finds the job by these files.

transform/<job name>/keys/00000.jsonl       a shard: images to count, one per line
transform/<job name>/job.json               the job; written before the job is created, and deleted last
transform/<job name>/out/00000.jsonl.out    SageMaker's response to the shard
transform/models/<model id>/model.tar.gz    the model

A folder without job.json is left from a run that ended before it created its job. Only the run that holds the lock of
<out> writes or removes these files.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter, ValidationError

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError
from reconcile.storage.bulk_delete import delete_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.output.store import Output


FOLDER = "transform"
MODELS = f"{FOLDER}/models"
RESPONSE_SUFFIX = ".out"
"""The suffix that SageMaker appends to the name of an input file to name the response."""
_NAME = "reconcile-"
_SHARD = re.compile(r"(\d+)\.jsonl(?:\.out)?$")


def new_job_name() -> str:
    """Return a unique name for a job and its model. Names sort by time, and are in lower case like ARNs."""
    return f"{_NAME}{datetime.now(UTC):%Y%m%dt%H%M%S%fz}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class TransformJob:
    """A job, as stored in job.json. The names of the fields are the names in the file."""

    name: str
    bucket: str
    """The location of the bucket of the images."""
    model_id: str
    region: str
    """The region of SageMaker."""
    images: int
    shards: int
    is_ingested: bool = False
    """True if all its responses are in <out>/counts. Then the other files only have to be removed."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse the content of job.json.

        Raises:
            ReconcileError: another version of reconcile wrote the file.
        """
        try:
            job: Self = TypeAdapter(cls).validate_json(data, strict=True)
        except ValidationError:
            raise ReconcileError(
                f"{FOLDER}/…/job.json was written by another version of reconcile: {data[:200]!r}"
            ) from None
        return job

    def as_json(self) -> bytes:
        """Return the content of job.json."""
        return json.dumps(asdict(self), indent=2).encode()

    def part_name(self, shard: int) -> str:
        """Return the name of a shard's Parquet part. It is the same every time the shard is ingested."""
        return f"{self.name.removeprefix(_NAME)}-{shard:05d}"


class TransformFolder:
    """The folder `<out>/transform/<job name>/`."""

    def __init__(self, output: Output, name: str) -> None:
        self._bucket, self.name = output.bucket, name
        self._base = f"{FOLDER}/{name}"

    @property
    def keys_url(self) -> str:
        """The address that SageMaker reads from."""
        return self._bucket.url(f"{self._base}/keys/")

    @property
    def responses_url(self) -> str:
        """The address that SageMaker writes to."""
        return self._bucket.url(f"{self._base}/out")

    def write_shard(self, number: int, lines: bytes) -> None:
        """Write the keys of one shard.

        Raises:
            ReconcileError: the file cannot be written.
        """
        self._bucket.put(f"{self._base}/keys/{number:05d}.jsonl", lines)

    def write_job(self, job: TransformJob) -> None:
        """Write job.json.

        Raises:
            ReconcileError: the file cannot be written.
        """
        self._bucket.put(f"{self._base}/job.json", job.as_json())

    def read_job(self) -> TransformJob | None:
        """Return the job of this folder, or None if no job was created.

        Raises:
            ReconcileError: job.json cannot be read.
        """
        try:
            stored = self._bucket.read(f"{self._base}/job.json")
        except FetchError as error:
            raise ReconcileError(str(error)) from None
        return None if stored is None else TransformJob.from_json(stored[1])

    def responses(self) -> dict[int, str]:
        """Return the key of each response, by the number of its shard.

        Responses may be anywhere under out/: SageMaker's documentation does not exclude a folder there that is named
        after the input's folder.
        """
        responses = {}
        for page in self._bucket.list_pages(f"{self._base}/out/"):
            for stored in page:
                if stored.key.endswith(RESPONSE_SUFFIX) and (shard := _SHARD.search(stored.key)):
                    responses[int(shard[1])] = stored.key
        return responses

    def read_shard(self, number: int) -> bytes:
        """Return the content of one shard.

        Raises:
            ReconcileError: the file cannot be fetched.
        """
        return self._read(f"{self._base}/keys/{number:05d}.jsonl")

    def read_response(self, key: str) -> bytes:
        """Return the content of a response.

        Args:
            key: a key from `responses`.

        Raises:
            ReconcileError: the file cannot be fetched.
        """
        return self._read(key)

    def _read(self, key: str) -> bytes:
        try:
            return self._bucket.get(key)
        except FetchError as error:
            raise ReconcileError(f"{self._bucket.url(key)}: {error}") from None

    def empty(self, job: TransformJob | None) -> None:
        """Remove the responses, then the keys.

        Args:
            job: the job of the folder, if there is one. It is marked as ingested first. So no later run ingests it
                again, or mistakes a removed response for a missing one.

        Raises:
            ReconcileError: a file cannot be removed. A later run tries again.
        """
        if job is not None and not job.is_ingested:
            self.write_job(replace(job, is_ingested=True))
        for part in ("out/", "keys/"):
            pages = self._bucket.list_pages(f"{self._base}/{part}")
            delete_objects(self._bucket, [stored.key for page in pages for stored in page], lambda _: None)

    def delete_manifest(self) -> None:
        """Remove job.json, the last file of the folder.

        Raises:
            ReconcileError: the file cannot be removed. A later run tries again.
        """
        self._bucket.delete(f"{self._base}/job.json")


def list_folders(output: Output) -> Iterator[TransformFolder]:
    """Yield the folders of all transform jobs in <out>, the oldest first."""
    pages = output.bucket.list_pages(f"{FOLDER}/")
    names = {stored.key.split("/")[1] for page in pages for stored in page}
    yield from (TransformFolder(output, name) for name in sorted(names) if name.startswith(_NAME))
