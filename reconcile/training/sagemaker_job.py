"""Train in a SageMaker training job, from a recipe to ONNX files.

<out>/training.json                      the job; written before the job is created
<out>/<job name>/recipe/                 the recipe, and the model that it starts from
<out>/<job name>/output/model.tar.gz     the result, as SageMaker packs it
<out>/checkpoints/<digest>/              checkpoints, from which the next job of the same training continues
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from reconcile.engines.sagemaker import job_requests
from reconcile.engines.sagemaker.client import COMPLETED, JobKind, SageMaker
from reconcile.engines.sagemaker.job_store import new_job_name
from reconcile.engines.sagemaker.model_archive import unpack_models
from reconcile.engines.sagemaker.polling import creating_job, failure_reason, still_running_message, wait_for_job
from reconcile.errors import ReconcileError, UsageError
from reconcile.inference.external_data import ONNX, refuse_external_data
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket
from reconcile.temporary import temporary_folder
from reconcile.training.recipe import TORCHVISION, read_recipe, write_recipe
from reconcile.urls import normalize_location

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.config import Settings
    from reconcile.logs import RunLog
    from reconcile.storage.base import Bucket


_KIND = JobKind.TRAINING
_STATE = "training.json"
_UNSUCCESSFUL = ("Failed", "Stopped")


@dataclass(frozen=True)
class _TrainingJob:
    """The content of training.json."""

    name: str
    region: str
    asked: str
    """The digest of recipe, start model and photos. It identifies the training; instances may differ."""


def train_on_sagemaker(
    data: str, validation: str | None, recipe: Path, settings: Settings, bring_to: Path | None, log: RunLog
) -> str:
    """Train in a SageMaker training job, and wait for it.

    A running job of an earlier call is resumed, and the result of a completed one is fetched. If a job failed or was
    stopped, a new job continues from its checkpoints.

    Args:
        data: s3://… address of the photos with counts.
        validation: s3://… address of photos to hold out; None to hold out a fold of `data`.
        recipe: the TOML file.
        settings: `out`, and the resources of the job.
        bring_to: the folder to download the ONNX files to; None for no download.
        log: receives the progress.

    Returns:
        the address of model.tar.gz.

    Raises:
        UsageError: an address is not on S3, or a setting is missing.
        ReconcileError: the job cannot be created, or it failed. The message states the reason.
        KeyboardInterrupt: a signal asked to stop. The job continues, and the log says how to stop it.
    """
    data, validation = _on_s3("--data", data), validation and _on_s3("--validation", validation)
    _check_apart(data, validation, _on_s3("--out", settings.out))
    resources = job_requests.job_resources(settings)
    files = _recipe_files(recipe)
    access = settings.output_access()
    sagemaker, bucket = SageMaker(settings), open_bucket(settings.out, access)
    digest = _digest(files, [data, validation], access)
    training = _existing_job(sagemaker, bucket, digest, log)
    if training is None:
        training = _TrainingJob(new_job_name(), sagemaker.region, digest)
        for name, content in files.items():
            bucket.put(f"{training.name}/recipe/{name}", content)
        bucket.put(_STATE, json.dumps(asdict(training), indent=2).encode())
        channels = {"train": data, "recipe": bucket.url(f"{training.name}/recipe/"), "validation": validation}
        urls = job_requests.TrainingUrls(bucket.location, bucket.url(f"checkpoints/{digest[:16]}"))
        with creating_job(sagemaker, _KIND, training.name, log):
            request = job_requests.create_training_job(training.name, resources, channels, urls)
            sagemaker.create("TrainingJob", request)
            log.info(f"created training job {training.name} on {resources.instance_type}", job=training.name)
    try:
        job = wait_for_job(sagemaker, _KIND, training.name, log)
    except (KeyboardInterrupt, ReconcileError):
        log.warn(still_running_message(sagemaker, _KIND, training.name))
        raise
    problem = failure_reason(sagemaker, _KIND, training.name, job)
    if problem is not None:
        raise ReconcileError(f"{problem}; the same command continues from its checkpoints")
    return _fetch(job, access, bring_to, log)


def _on_s3(flag: str, location: str) -> str:
    """Return an address with the scheme s3://.

    Raises:
        UsageError: it is not on S3, or it holds credentials.
    """
    try:
        location = normalize_location(location)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    if not location.startswith("s3://"):
        raise UsageError(f"{flag} must be s3://…, because SageMaker reads and writes only there (got {location})")
    return location


def _check_apart(data: str, validation: str | None, out: str) -> None:
    """Check that the output is not among the photos.

    Raises:
        UsageError: it is.
    """
    for flag, location in (("--data", data), ("--validation", validation)):
        if location is not None and f"{out.rstrip('/')}/".startswith(f"{location.rstrip('/')}/"):
            raise UsageError(f"--out is inside {flag}, so its files would be among the photos; choose another --out")


def _recipe_files(recipe: Path) -> dict[str, bytes]:
    """Return the recipe and the model that it starts from, by file name.

    Raises:
        UsageError: the recipe is not valid, or the model does not exist.
        ReconcileError: the model keeps weights in other files.
    """
    chosen = read_recipe(recipe)
    files: dict[str, bytes] = {}
    if chosen.start_from is not None and not chosen.start_from.startswith(TORCHVISION):
        start = recipe.parent / chosen.start_from
        if not start.is_file():
            raise UsageError(f"{recipe} starts from {start}, but that file does not exist")
        if start.suffix.lower() == ONNX:
            refuse_external_data(start)
        files[start.name] = start.read_bytes()
        chosen = chosen.model_copy(update={"start_from": start.name})
    with temporary_folder() as folder:
        path = folder / job_requests.RECIPE
        write_recipe(chosen, path, f"From {recipe.name}.")
        return {**files, job_requests.RECIPE: path.read_bytes()}


def _digest(files: dict[str, bytes], photos: list[str | None], access: S3Access) -> str:
    """Return a digest of everything that identifies a training: recipe, start model, and the photos that exist now.

    Raises:
        ReconcileError: an address cannot be listed, or has no photo.
    """
    digest = hashlib.sha256(json.dumps(photos).encode())
    for name in sorted(files):
        digest.update(files[name])
    for location in filter(None, photos):
        is_empty = True
        for page in open_bucket(location, access).list_pages():
            for stored in page:
                digest.update(json.dumps([stored.key, stored.etag]).encode())
                is_empty = False
        if is_empty:
            raise ReconcileError(f"{location} is empty; it must hold photos with counts")
    return digest.hexdigest()


def _existing_job(sagemaker: SageMaker, bucket: Bucket, digest: str, log: RunLog) -> _TrainingJob | None:
    """Return the job of an earlier call, if it runs the same training or has completed it.

    Raises:
        ReconcileError: a job of another training is running, or training.json cannot be read.
    """
    try:
        stored = bucket.read(_STATE)
        training = None if stored is None else TypeAdapter(_TrainingJob).validate_json(stored[1], strict=True)
    except FetchError as error:
        raise ReconcileError(f"{bucket.url(_STATE)} cannot be read: {error}") from None
    except ValidationError:
        raise ReconcileError(
            f"{bucket.url(_STATE)} was written by another version of reconcile; choose another --out"
        ) from None
    if training is None:
        return None
    if training.region != sagemaker.region:
        raise ReconcileError(
            f"{bucket.location} has a training in {training.region}; name that --region, or choose another --out"
        )
    job = sagemaker.describe(_KIND, training.name)
    if job is not None and job["TrainingJobStatus"] == "Stopping":  # it still writes its checkpoints
        job = wait_for_job(sagemaker, _KIND, training.name, log)
    if job is None or job["TrainingJobStatus"] in _UNSUCCESSFUL:
        return None
    if training.asked != digest:
        if job["TrainingJobStatus"] == COMPLETED:
            return None
        raise ReconcileError(
            f"training job {training.name} is running in {bucket.location} with another recipe or other photos; "
            "wait for it, or choose another --out"
        )
    log.info(f"resuming training job {training.name} of an earlier call")
    return training


def _fetch(job: dict[str, Any], access: S3Access, bring_to: Path | None, log: RunLog) -> str:
    """Download the ONNX files if requested, and return the address of model.tar.gz.

    Raises:
        ReconcileError: model.tar.gz cannot be read.
    """
    url = str(job["ModelArtifacts"]["S3ModelArtifacts"])
    if bring_to is not None:
        folder, _, name = url.rpartition("/")
        try:
            archive = open_bucket(folder, access).get(name)
        except FetchError as error:
            raise ReconcileError(f"{url}: {error}") from None
        for path in unpack_models(archive, bring_to):
            log.info(f"wrote the trained model {path}")
    return url
