"""Counts on machines of Amazon SageMaker, as one batch transform job.

The job reads keys and not photos: its containers run `reconcile serve`, which fetches each photo itself. What comes
back are rows of counts, and from there on a night is like any other.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconcile.concurrency.cancellation import Interrupted
from reconcile.engines.sagemaker import job_requests
from reconcile.engines.sagemaker.client import ENDED, ForbiddenError, JobKind, SageMaker
from reconcile.engines.sagemaker.ingestion import Ingestion
from reconcile.engines.sagemaker.job_store import TransformFolder, TransformJob, folders_of, new_job_name
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


def open_sagemaker_engine(settings: Settings, messages: RunLog) -> SageMakerEngine:
    """The engine, as far as it can be seen to be good without a request.

    Raises:
        UsageError: something that it needs was not said, or lies where SageMaker cannot get at it.
        ReconcileError: there is no such model or profile.
    """
    machines = job_requests.job_resources(settings)
    if not settings.out.startswith("s3://"):
        raise UsageError(f"--engine sagemaker writes to S3 itself: --out has to be s3://…, and is {settings.out}")
    if is_folder(settings.bucket):
        raise UsageError(f"--engine sagemaker fetches photos from S3, and --bucket is the folder {settings.bucket}")
    model = read_model(settings.model or default_model("cuda" if machines.have_gpus else "cpu"))
    return SageMakerEngine(settings, machines, model, SageMaker(settings), messages)


class SageMakerEngine:
    """See `engine.Engine`."""

    def __init__(
        self, settings: Settings, machines: JobResources, model: CountModel, service: SageMaker, messages: RunLog
    ) -> None:
        self._settings, self._machines, self._model = settings, machines, model
        self._service, self._messages = service, messages

    @property
    def model(self) -> CountModel:
        """The one that is sent there."""
        return self._model

    @property
    def device(self) -> str:
        """The type of instance."""
        return f"SageMaker {self._machines.instance_type}"

    @property
    def size(self) -> str:
        """Instances."""
        count = self._machines.instance_count
        return plural(count, "instance")

    def check(self) -> str:
        """What it would count with, once SageMaker has answered us; nothing is created there.

        Raises:
            ReconcileError: SageMaker cannot be asked.
        """
        self._service.describe(_KIND, new_job_name())
        where = f"{self.size} of {self._machines.instance_type} in {self._service.region}"
        return f"SageMaker answers; {where} would count with model {self._model.model_id}"

    def resume(self, bucket: Bucket, output: Output) -> None:
        """Bring in what jobs of earlier runs counted, waiting for those that still count with this run's model.

        What another model counted is brought in, too, once its job has ended: for runs with that model, as `ingest`.
        """
        here = (bucket.location, self._service.region)
        for folder in folders_of(output):
            job = folder.read_job()
            if job is None or job.is_ingested:
                self._clean_up(folder, job)
            elif (job.bucket, job.region) != here:
                self._messages.info(
                    f"{folder.name} counts {job.bucket} with model {job.model_id} in {job.region}: it is left alone"
                )
            elif (described := self._service.describe(_KIND, folder.name)) is None:
                self._clean_up(folder, job)  # the run ended before it had asked for the job
            elif job.model_id != self._model.model_id and described["TransformJobStatus"] not in ENDED:
                self._messages.info(
                    f"{folder.name} still counts with another model, {job.model_id}: a run that finds it ended brings "
                    "its counts in"
                )
            else:
                self._messages.info(f"{folder.name} was begun by an earlier run, and is taken up again")
                with log_stage(self._messages, "counting", FixedWorkload(job.images), "photos", "count") as observer:
                    ingestion, problem = self._bring_in(folder, job, output, observer)
                self._messages.info(f"{ingestion.images:,} photos were brought in from {folder.name}", stage="count")
                if problem is not None:
                    self._messages.warn(f"{problem}; what is left of it is counted anew")

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Have one transform job count everything, and bring in what it answers."""
        started = time.monotonic()
        try:
            images.wait()
            if not images.total:
                return StageResult(0, 0, 0.0)
            folder, job = self._begin(images, source, output)
        except KeyboardInterrupt:
            raise Interrupted(0) from None
        ingestion, problem = self._bring_in(folder, job, output, observer)
        if problem is not None:
            raise ReconcileError(f"{problem}; {ingestion.images:,} of {job.images:,} photos were counted and are kept")
        return StageResult(ingestion.images, ingestion.failed, time.monotonic() - started)

    def _begin(self, images: Backlog, source: Bucket, output: Output) -> tuple[TransformFolder, TransformJob]:
        """Write keys and model, then have the job created. Whatever ends it in between, the next run tidies up."""
        model_url = upload_model(self._model, output)
        folder = TransformFolder(output, new_job_name())
        shards = write_shards(images, images_per_shard(images.total, self._machines.instance_count), folder)
        job = TransformJob(
            folder.name, source.location, self._model.model_id, self._service.region, images.total, shards
        )
        folder.write_job(job)
        environment = job_requests.environment_of_server(self._settings, source, self._service.region)
        with creating_job(self._service, _KIND, folder.name, self._messages, lambda: self._clean_up(folder, job)):
            model = job_requests.create_model(folder.name, self._machines, model_url, environment)
            self._service.create("Model", model)
            self._service.create("TransformJob", job_requests.create_transform_job(folder, self._machines))
            self._messages.info(
                f"transform job {folder.name} is asked for: {images.total:,} photos in {shards:,} files, {self.size} "
                f"of {self._machines.instance_type}; it takes some minutes to begin",
                stage="sagemaker",
                job=folder.name,
            )
        return folder, job

    def _bring_in(
        self, folder: TransformFolder, job: TransformJob, output: Output, observer: CountObserver
    ) -> tuple[Ingestion, str | None]:
        """Follow a job to its end, and ingest what it answers as soon as it is there.

        Returns:
            what was ingested, and why the job did not complete, if it did not.
        """
        labels = self._model.card.labels.names if job.model_id == self._model.model_id else None
        ingestion = Ingestion(folder, job, labels, output, observer)
        with self._telling_that_it_goes_on(folder, ingestion):
            try:
                ended = wait_for_job(self._service, _KIND, folder.name, self._messages, ingestion.ingest_answered)
                ingestion.ingest_answered()
            except ReconcileError as error:
                if ingestion.is_refused:
                    self._give_up(folder, job, error)
                raise
        problem = failure_reason(self._service, _KIND, folder.name, ended)
        if problem is None:
            ingestion.ingest_unanswered()
        self._clean_up(folder, job)
        return ingestion, problem

    def _give_up(self, folder: TransformFolder, job: TransformJob, refusal: ReconcileError) -> None:
        """End a job of which nothing is wanted; why is told by who calls, so that no trouble here may hide it.

        A job that is being stopped still writes answers, so it is tidied up once it has ended. Where that is not
        waited for, the next run finds the job, refuses it again and tidies up.
        """
        this_stops_it = f"this stops it: {self._service.command_to_stop(_KIND, folder.name)}"
        try:
            self._service.stop(_KIND, folder.name)
            wait_for_job(self._service, _KIND, folder.name, self._messages)
        except ReconcileError as error:
            self._messages.warn(f"{_KIND.words} {folder.name} was not seen to stop: {error}; {this_stops_it}")
        except KeyboardInterrupt:
            self._messages.warn(f"{refusal}; whether its job stops was not waited for; {this_stops_it}")
            raise
        else:
            self._clean_up(folder, job)

    @contextmanager
    def _telling_that_it_goes_on(self, folder: TransformFolder, ingestion: Ingestion) -> Iterator[None]:
        """Whoever ends this process ends no job."""
        try:
            yield
        except (KeyboardInterrupt, ReconcileError) as end:
            if not ingestion.is_refused:
                self._messages.warn(still_running_message(self._service, _KIND, folder.name))
            if isinstance(end, KeyboardInterrupt):
                raise Interrupted(ingestion.images) from None
            raise

    def _clean_up(self, folder: TransformFolder, job: TransformJob | None) -> None:
        """Remove keys, answers and model; what stays is tried again by the next run.

        But for a model that may not be deleted: it costs nothing, and no night would ever tidy it up.
        """
        try:
            folder.empty(job)
            try:
                self._service.delete_model(folder.name)
            except ForbiddenError as error:
                self._messages.warn(f"the SageMaker model {folder.name} stays, for it may not be deleted: {error}")
            folder.delete_manifest()
        except ReconcileError as error:
            self._messages.warn(f"{folder.name} could not be tidied up, which the next run tries again: {error}")
