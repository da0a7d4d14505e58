"""Count with one SageMaker batch transform job.

The job reads keys, not photos. Its containers run `reconcile serve`, which fetches each photo. Their responses are rows
of counts, so the rest of the run is the same as with any engine.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconcile.concurrency.cancellation import Interrupted
from reconcile.engines.sagemaker import job_requests
from reconcile.engines.sagemaker.client import ENDED, ForbiddenError, JobKind, SageMaker
from reconcile.engines.sagemaker.ingestion import Ingestion
from reconcile.engines.sagemaker.job_store import TransformFolder, TransformJob, list_folders, new_job_name
from reconcile.engines.sagemaker.model_archive import upload_model
from reconcile.engines.sagemaker.polling import creating_job, failure_reason, still_running_message, wait_for_job
from reconcile.engines.sagemaker.shards import images_per_shard, write_shards
from reconcile.errors import ReconcileError, UsageError
from reconcile.inference.model import default_model, read_model
from reconcile.logs import FixedWorkload
from reconcile.storage.open import is_folder
from reconcile.streaming.observers import log_stage
from reconcile.streaming.write_parts import StageResult
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.config import Settings
    from reconcile.engines.sagemaker.job_requests import JobResources
    from reconcile.inference.model import CountModel
    from reconcile.inputs.backlog import Backlog
    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket
    from reconcile.streaming.observers import CountObserver


_KIND = JobKind.TRANSFORM


def open_sagemaker_engine(settings: Settings, log: RunLog) -> SageMakerEngine:
    """Open the engine, and check all that can be checked without a request.

    Raises:
        UsageError: a setting is missing, or <out> or the bucket is not on S3.
        ReconcileError: the model or the AWS profile does not exist.
    """
    resources = job_requests.job_resources(settings)
    if not settings.out.startswith("s3://"):
        raise UsageError(f"--engine sagemaker writes to S3: --out must be s3://…, but is {settings.out}")
    if is_folder(settings.bucket):
        raise UsageError(f"--engine sagemaker fetches photos from S3, but --bucket is the folder {settings.bucket}")
    model = read_model(settings.model or default_model("cuda" if resources.have_gpus else "cpu"))
    return SageMakerEngine(settings, resources, model, SageMaker(settings), log)


class SageMakerEngine:
    """An engine that counts on machines of SageMaker. `base.Engine` describes the methods."""

    def __init__(
        self, settings: Settings, resources: JobResources, model: CountModel, sagemaker: SageMaker, log: RunLog
    ) -> None:
        self._settings, self._resources, self._model = settings, resources, model
        self._sagemaker, self._log = sagemaker, log

    @property
    def model(self) -> CountModel:
        """The model that is sent to SageMaker."""
        return self._model

    @property
    def device(self) -> str:
        """The type of the instances."""
        return f"SageMaker {self._resources.instance_type}"

    @property
    def size(self) -> str:
        """The number of instances as text."""
        return plural(self._resources.instance_count, "instance")

    def check(self) -> str:
        """Return what the engine would count with. This sends one request and creates nothing.

        Raises:
            ReconcileError: SageMaker cannot be reached, or refused the request.
        """
        self._sagemaker.describe(_KIND, new_job_name())
        instances = f"{self.size} of {self._resources.instance_type} in {self._sagemaker.region}"
        return f"SageMaker answers; {instances} would count with model {self._model.model_id}"

    def resume(self, source: Bucket, output: Output) -> None:
        """Import what jobs of earlier runs counted. Wait for those that still count with this run's model.

        A job of another model is imported only after it has ended. Its counts are for later runs with that model.
        """
        for folder in list_folders(output):
            job = folder.read_job()
            if job is None or job.is_ingested:
                self._clean_up(folder, job)
            elif (job.bucket, job.region) != (source.location, self._sagemaker.region):
                self._log.info(
                    f"transform job {folder.name} counts {job.bucket} with model {job.model_id} in {job.region}; "
                    "this run ignores it"
                )
            elif (description := self._sagemaker.describe(_KIND, folder.name)) is None:
                self._clean_up(folder, job)  # the run ended before it created the job
            elif job.model_id != self._model.model_id and description["TransformJobStatus"] not in ENDED:
                self._log.info(
                    f"transform job {folder.name} still counts with another model, {job.model_id}; the first run "
                    "after the end of that job imports its counts"
                )
            else:
                self._resume_job(folder, job, output)

    def _resume_job(self, folder: TransformFolder, job: TransformJob, output: Output) -> None:
        """Wait for a job of an earlier run, and import its counts."""
        self._log.info(f"resuming transform job {folder.name}, which an earlier run started")
        with log_stage(self._log, "counting", FixedWorkload(job.images), "photos", "count") as observer:
            ingestion, problem = self._wait_and_ingest(folder, job, output, observer)
        self._log.info(
            f"imported the counts of {plural(ingestion.images, 'photo')} from transform job {folder.name}",
            stage="count",
        )
        if problem is not None:
            self._log.warn(f"{problem}; this run counts the remaining photos")

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Count all images with one transform job, and import its responses."""
        started = time.monotonic()
        try:
            images.wait()
            if not images.total:
                return StageResult(0, 0, 0.0)
            folder, job = self._start_job(images, source, output)
        except KeyboardInterrupt:
            raise Interrupted(0) from None
        ingestion, problem = self._wait_and_ingest(folder, job, output, observer)
        if problem is not None:
            raise ReconcileError(f"{problem}; the counts of {ingestion.images:,} of {job.images:,} photos are kept")
        return StageResult(ingestion.images, ingestion.failed, time.monotonic() - started)

    def _start_job(self, images: Backlog, source: Bucket, output: Output) -> tuple[TransformFolder, TransformJob]:
        """Write keys and model, then create the job. If this is interrupted, the next run cleans up."""
        model_url = upload_model(self._model, output)
        folder = TransformFolder(output, new_job_name())
        shards = write_shards(images, images_per_shard(images.total, self._resources.instance_count), folder)
        job = TransformJob(
            folder.name, source.location, self._model.model_id, self._sagemaker.region, images.total, shards
        )
        folder.write_job(job)
        environment = job_requests.server_environment(self._settings, source, self._sagemaker.region)
        with creating_job(self._sagemaker, _KIND, folder.name, self._log, lambda: self._clean_up(folder, job)):
            model = job_requests.create_model(folder.name, self._resources, model_url, environment)
            self._sagemaker.create("Model", model)
            self._sagemaker.create("TransformJob", job_requests.create_transform_job(folder, self._resources))
            self._log.info(
                f"requested transform job {folder.name}: {images.total:,} photos in {shards:,} files, {self.size} "
                f"of {self._resources.instance_type}; it starts in a few minutes",
                stage="sagemaker",
                job=folder.name,
            )
        return folder, job

    def _wait_and_ingest(
        self, folder: TransformFolder, job: TransformJob, output: Output, observer: CountObserver
    ) -> tuple[Ingestion, str | None]:
        """Wait for the end of a job, and ingest its responses as they arrive.

        Returns:
            what was ingested, and the reason why the job did not complete, if it did not.
        """
        labels = self._model.card.labels.names if job.model_id == self._model.model_id else None
        ingestion = Ingestion(folder, job, labels, output, observer)
        with self._warning_that_the_job_continues(folder, ingestion):
            try:
                ended = wait_for_job(self._sagemaker, _KIND, folder.name, self._log, ingestion.ingest_new_responses)
                ingestion.ingest_new_responses()
            except ReconcileError as error:
                if ingestion.is_rejected:
                    self._stop_job(folder, job, error)
                raise
        problem = failure_reason(self._sagemaker, _KIND, folder.name, ended)
        if problem is None:
            ingestion.ingest_missing_responses()
        self._clean_up(folder, job)
        return ingestion, problem

    def _stop_job(self, folder: TransformFolder, job: TransformJob, rejection: ReconcileError) -> None:
        """Stop a job whose counts are rejected. The caller reports the rejection, so an error here must not hide it.

        A stopping job still writes responses, so its folder is cleaned up after it has ended. If this process ends
        before, the next run finds the job, rejects it again and cleans up.
        """
        to_stop = f"to stop it: {self._sagemaker.command_to_stop(_KIND, folder.name)}"
        try:
            self._sagemaker.stop(_KIND, folder.name)
            wait_for_job(self._sagemaker, _KIND, folder.name, self._log)
        except ReconcileError as error:
            self._log.warn(f"cannot confirm that {_KIND.words} {folder.name} stopped: {error}; {to_stop}")
        except KeyboardInterrupt:
            self._log.warn(f"{rejection}; this run did not wait until the job stopped; {to_stop}")
            raise
        else:
            self._clean_up(folder, job)

    @contextmanager
    def _warning_that_the_job_continues(self, folder: TransformFolder, ingestion: Ingestion) -> Iterator[None]:
        """Log how to stop the job, if this process ends before it."""
        try:
            yield
        except (KeyboardInterrupt, ReconcileError) as end:
            if not ingestion.is_rejected:
                self._log.warn(still_running_message(self._sagemaker, _KIND, folder.name))
            if isinstance(end, KeyboardInterrupt):
                raise Interrupted(ingestion.images) from None
            raise

    def _clean_up(self, folder: TransformFolder, job: TransformJob | None) -> None:
        """Remove keys, responses and the model. The next run tries again to remove what is left.

        A model whose deletion is forbidden stays. It costs nothing, and no later run could delete it either.
        """
        try:
            folder.empty(job)
            try:
                self._sagemaker.delete_model(folder.name)
            except ForbiddenError as error:
                self._log.warn(f"cannot delete the SageMaker model {folder.name}, so it stays: {error}")
            folder.delete_manifest()
        except ReconcileError as error:
            self._log.warn(f"cannot clean up after transform job {folder.name}; the next run tries again: {error}")
