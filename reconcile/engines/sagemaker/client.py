"""SageMaker API client with readable errors."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any

import botocore.exceptions
from botocore.config import Config

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.base import S3Access
from reconcile.storage.s3_endpoint import open_session

if TYPE_CHECKING:
    from reconcile.config import Settings


_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 8})
"""Standard mode waits up to 20 s between attempts, so a run survives a minute without network."""
_LOG_CHARACTERS = 600
"""The largest number of characters of a job's log in one line of our log."""
_LOG_EVENTS = 4
"""The number of log events that are read from each log stream."""
COMPLETED = "Completed"
ENDED = (COMPLETED, "Failed", "Stopped")
"""SageMaker's names for the states of a job that has ended."""
_NOT_AUTHORIZED = re.compile(r"not authorized to perform: ([\w:-]+)")
_ACCESS_DENIED = "AccessDenied"
"""The beginning of the error codes for a missing permission."""
_NOT_FOUND = re.compile("could not find|requested resource not found", re.IGNORECASE)


class JobKind(Enum):
    """A kind of job. The values are SageMaker's names."""

    TRANSFORM = "Transform"
    TRAINING = "Training"

    @property
    def words(self) -> str:
        """The name for people."""
        return f"{self.value.lower()} job"

    @property
    def log_group(self) -> str:
        """The CloudWatch log group of the job's containers."""
        return f"/aws/sagemaker/{self.value}Jobs"


class SageMaker:
    """SageMaker of one account in one region.

    AWS_ENDPOINT_URL_SAGEMAKER sets another endpoint, as in every AWS SDK.

    Raises:
        UsageError: no region is set, or the endpoint is not a web address.
        ReconcileError: the AWS profile does not exist.
    """

    def __init__(self, settings: Settings) -> None:
        session = open_session(S3Access(profile=settings.profile, region=settings.region))
        try:
            self._sagemaker = session.client("sagemaker", config=_CONFIG)
            self._logs = session.client("logs", config=_CONFIG)
        except botocore.exceptions.NoRegionError:
            raise UsageError("SageMaker needs a region; set --region or AWS_REGION") from None
        except ValueError as error:  # an endpoint in the environment is malformed
            raise UsageError(str(error)) from None
        self._profile = settings.profile
        self.region = str(self._sagemaker.meta.region_name)

    def create(self, kind: str, request: dict[str, Any]) -> None:
        """Create a `Model`, a `TransformJob` or a `TrainingJob`.

        If one with this name exists, it is the requested one: each name is made for one job, so the same request was
        sent twice.

        Raises:
            UsageError: the request is malformed, for example by an error in --sagemaker-options.
            ReconcileError: SageMaker refused the request.
        """
        try:
            self._call(f"Create{kind}", request)
        except _RefusedError as error:
            if not error.already_exists:
                raise

    def describe(self, kind: JobKind, name: str) -> dict[str, Any] | None:
        """Return the description of a job, or None if no job has this name.

        Raises:
            ReconcileError: SageMaker cannot be reached, or refused the request.
        """
        try:
            return self._call(f"Describe{kind.value}Job", {f"{kind.value}JobName": name})
        except _RefusedError as error:
            if error.is_not_found:
                return None
            raise

    def stop(self, kind: JobKind, name: str) -> None:
        """Request that a job stops. Do nothing if the job has ended, is stopping or does not exist.

        Raises:
            ReconcileError: SageMaker cannot be reached, or refused the request.
        """
        job = self.describe(kind, name)
        if job is None or job[f"{kind.value}JobStatus"] in (*ENDED, "Stopping"):
            return
        try:
            self._call(f"Stop{kind.value}Job", {f"{kind.value}JobName": name})
        except _RefusedError as error:
            if not error.has_already_ended:
                raise

    def delete_model(self, name: str) -> None:
        """Delete a model. Do nothing if the model does not exist.

        Raises:
            ForbiddenError: the permission is missing.
            ReconcileError: SageMaker cannot be reached, or refused the request for another reason.
        """
        try:
            self._call("DeleteModel", {"ModelName": name})
        except _RefusedError as error:
            if not error.is_not_found:
                raise

    def log_tail(self, kind: JobKind, name: str) -> str:
        """Return the last lines of a job's CloudWatch logs as one line, or the reason why there are none."""
        try:
            streams = self._logs.describe_log_streams(logGroupName=kind.log_group, logStreamNamePrefix=f"{name}/")
            newest = sorted(streams["logStreams"], key=lambda stream: stream.get("lastEventTimestamp", 0))[-2:]
            lines: list[str] = []
            for stream in newest:
                tail = self._logs.get_log_events(
                    logGroupName=kind.log_group,
                    logStreamName=stream["logStreamName"],
                    limit=_LOG_EVENTS,
                    startFromHead=False,
                )
                lines += [event["message"].strip() for event in tail["events"]]
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return f"CloudWatch has no log of it ({kind.log_group})"
            return f"its log cannot be read: {_explain(error)}"
        except botocore.exceptions.BotoCoreError as error:
            return f"its log cannot be read: {error}"
        text = " | ".join(filter(None, lines)) or "nothing"
        return f"its log in CloudWatch ({kind.log_group}) ends with: {text[-_LOG_CHARACTERS:]}"

    def command_to_stop(self, kind: JobKind, name: str) -> str:
        """Return the command with which a person can stop a job."""
        job = kind.words.replace(" ", "-")
        profile = f" --profile {self._profile}" if self._profile else ""
        return f"aws sagemaker stop-{job} --{job}-name {name} --region {self.region}{profile}"

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        method = re.sub("(?<!^)([A-Z])", r"_\1", operation).lower()
        try:
            response: dict[str, Any] = getattr(self._sagemaker, method)(**request)
        except botocore.exceptions.ParamValidationError as error:
            problem = " ".join(str(error).split())
            raise UsageError(f"the {operation} request is malformed; check --sagemaker-options: {problem}") from None
        except botocore.exceptions.ClientError as error:
            is_forbidden = _NOT_AUTHORIZED.search(str(error)) or error.response["Error"]["Code"].startswith(
                _ACCESS_DENIED
            )
            raise (ForbiddenError if is_forbidden else _RefusedError)(operation, error) from None
        except botocore.exceptions.BotoCoreError as error:
            raise ReconcileError(f"SageMaker in {self.region} cannot be reached ({operation}): {error}") from None
        return response


class _RefusedError(ReconcileError):
    """An error that SageMaker answered with."""

    def __init__(self, operation: str, error: botocore.exceptions.ClientError) -> None:
        super().__init__(f"SageMaker refused {operation}: {_explain(error)}")
        self.code: str = error.response["Error"]["Code"]

    @property
    def is_not_found(self) -> bool:
        """True if the requested object does not exist. SageMaker reports this in several ways."""
        return self.code.startswith("ResourceNotFound") or _NOT_FOUND.search(str(self)) is not None

    @property
    def has_already_ended(self) -> bool:
        """True if a job could not be stopped because it has ended meanwhile."""
        return self.code == "ValidationException" and "in status" in str(self)

    @property
    def already_exists(self) -> bool:
        """True if the object to create exists already."""
        return self.code == "ResourceInUse" or "already exist" in str(self).lower()


class ForbiddenError(_RefusedError):
    """An error for a missing permission. Another attempt would fail, too."""


def _explain(error: botocore.exceptions.ClientError) -> str:
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    missing = _NOT_AUTHORIZED.search(text)
    if missing:
        return f"the permission {missing[1]} is missing (docs/how-to/sagemaker.md lists all permissions): {text}"
    if text.lstrip().startswith("<"):  # SageMaker answers in JSON
        return (
            "the answer is not from SageMaker, but perhaps from an S3 server. AWS_ENDPOINT_URL applies to all "
            "services; set AWS_ENDPOINT_URL_S3 or --endpoint-url instead"
        )
    return f"{text} ({code})"
