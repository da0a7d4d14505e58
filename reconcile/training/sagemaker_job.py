"""A training on SageMaker, from a recipe to the ONNX files that come of it.

<out>/training.json                      which job it is; there before the job
<out>/<job name>/recipe/                 the recipe, and the model that it starts from
<out>/<job name>/output/model.tar.gz     what SageMaker makes of it
<out>/checkpoints/<digest>/              by which the next job goes on where one on just this was stopped
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconcile.engines.sagemaker import job_requests
from reconcile.engines.sagemaker.client import COMPLETED, JobKind, SageMaker
from reconcile.engines.sagemaker.job_store import new_job_name
from reconcile.engines.sagemaker.model_archive import unpack_models
from reconcile.engines.sagemaker.polling import creating_job, failure_reason, still_running_message, wait_for_job
from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket
from reconcile.training.recipe import read_recipe, write_recipe

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.logs import RunLog
    from reconcile.storage.base import Bucket


_KIND = JobKind.TRAINING
_STATE = "training.json"
_ENDED_BADLY = ("Failed", "Stopped")


@dataclass(frozen=True)
class _Training:
    """What training.json holds."""

    name: str
    region: str
    asked: str
    """A digest of what was to be trained on which photos: other machines make it no other training."""


def train_on_sagemaker(
    data: str, validation: str | None, recipe: Path, settings: Settings, bring_to: Path | None, messages: RunLog
) -> str:
    """Have a training job train, and wait for it.

    A job that an earlier call began is found again, one that has completed is only fetched. After one that failed or
    was stopped, another goes on from its checkpoints.

    Args:
        data: s3://… of the photos with counts.
        validation: s3://… of photos to hold out; None for a fold of `data`.
        recipe: the TOML file.
        settings: <out>, and the machines.
        bring_to: a folder for the ONNX files; None to leave them where they are.
        messages: where progress goes.

    Returns:
        the address of the model.tar.gz.

    Raises:
        UsageError: something is not on S3, or missing.
        ReconcileError: the job cannot be created, or failed; the message says why.
        KeyboardInterrupt: somebody asked to stop; the job goes on, which is told.
    """
    for flag, location in (("--data", data), ("--validation", validation), ("--out", settings.out)):
        if location is not None and not location.startswith("s3://"):
            raise UsageError(f"{flag} has to be s3://…, where SageMaker can get at it, and is {location}")
    for flag, location in (("--data", data), ("--validation", validation)):
        if location is not None and f"{settings.out.rstrip('/')}/".startswith(f"{location.rstrip('/')}/"):
            raise UsageError(f"--out lies in {flag}: what the training writes would be photos to train on")
    machines = job_requests.job_resources(settings)
    sent = _recipe_to_send(recipe)
    access = settings.output_access()
    service, bucket = SageMaker(settings), open_bucket(settings.out, access)
    asked = _digest(sent, [data, validation], access)
    training = _known(service, bucket, asked, messages)
    if training is None:
        training = _Training(new_job_name(), service.region, asked)
        for name, content in sent.items():
            bucket.put(f"{training.name}/recipe/{name}", content)
        bucket.put(_STATE, json.dumps(asdict(training), indent=2).encode())
        channels = {"train": data, "recipe": bucket.url(f"{training.name}/recipe/"), "validation": validation}
        where = job_requests.TrainingUrls(bucket.location, bucket.url(f"checkpoints/{asked[:16]}"))
        with creating_job(service, _KIND, training.name, messages):
            service.create("TrainingJob", job_requests.create_training_job(training.name, machines, channels, where))
            messages.info(f"training job {training.name} is asked for, on {machines.instance_type}", job=training.name)
    try:
        job = wait_for_job(service, _KIND, training.name, messages)
    except (KeyboardInterrupt, ReconcileError):
        messages.warn(still_running_message(service, _KIND, training.name))
        raise
    problem = failure_reason(service, _KIND, training.name, job)
    if problem is not None:
        raise ReconcileError(f"{problem}; the same command goes on from its checkpoints")
    return _fetch(job, access, bring_to, messages)


def _recipe_to_send(recipe: Path) -> dict[str, bytes]:
    """The recipe, and the model that it starts from, as files of one folder."""
    read = read_recipe(recipe)
    sent: dict[str, bytes] = {}
    if read.start_from is not None:
        start = recipe.parent / read.start_from
        if not start.is_file():
            raise UsageError(f"{recipe} starts from {start}, and there is no such file")
        sent[start.name] = start.read_bytes()
        read = read.model_copy(update={"start_from": start.name})
    with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
        path = Path(folder, job_requests.RECIPE)
        write_recipe(read, path, f"From {recipe.name}.")
        return {**sent, job_requests.RECIPE: path.read_bytes()}


def _digest(sent: dict[str, bytes], photos: list[str | None], access: S3Access) -> str:
    """Of all that makes it this training: recipe, start, and every photo there is now.

    Raises:
        ReconcileError: a place of photos cannot be listed, or has none.
    """
    asked = hashlib.sha256(json.dumps(photos).encode())
    for name in sorted(sent):
        asked.update(sent[name])
    for location in filter(None, photos):
        some = False
        for page in open_bucket(location, access).list_pages():
            for stored in page:
                asked.update(json.dumps([stored.key, stored.etag]).encode())
                some = True
        if not some:
            raise ReconcileError(f"there is nothing in {location}")
    return asked.hexdigest()


def _known(service: SageMaker, bucket: Bucket, asked: str, messages: RunLog) -> _Training | None:
    """The job of an earlier call that is at work on just this, or has done it.

    Raises:
        ReconcileError: one is at work in <out> on something else.
    """
    try:
        found = bucket.read(_STATE)
        training = None if found is None else _Training(**json.loads(found[1]))
    except (FetchError, ValueError, TypeError) as error:
        raise ReconcileError(f"{bucket.url(_STATE)} cannot be read: {error}") from None
    if training is None:
        return None
    if training.region != service.region:
        raise ReconcileError(f"{bucket.location} has a training in {training.region}: say --region, or another --out")
    job = service.describe(_KIND, training.name)
    if job is not None and job["TrainingJobStatus"] == "Stopping":  # its checkpoints are still written
        job = wait_for_job(service, _KIND, training.name, messages)
    if job is None or job["TrainingJobStatus"] in _ENDED_BADLY:
        return None
    if training.asked != asked:
        if job["TrainingJobStatus"] == COMPLETED:
            return None
        raise ReconcileError(
            f"training job {training.name} is at work in {bucket.location}, on another recipe or other photos; "
            "wait for it, or choose another --out"
        )
    messages.info(f"training job {training.name} was begun by an earlier call, and is taken up again")
    return training


def _fetch(job: dict[str, Any], access: S3Access, bring_to: Path | None, messages: RunLog) -> str:
    url = str(job["ModelArtifacts"]["S3ModelArtifacts"])
    if bring_to is not None:
        folder, _, name = url.rpartition("/")
        try:
            archive = open_bucket(folder, access).get(name)
        except FetchError as error:
            raise ReconcileError(f"{url}: {error}") from None
        for path in unpack_models(archive, bring_to):
            messages.info(f"{path} is the trained model")
    return url
