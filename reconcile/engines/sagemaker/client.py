"""SageMaker's own interface: create, describe, stop, delete; and what its errors mean for a person."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any

import botocore.exceptions
from botocore.config import Config

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.s3_client import open_session

if TYPE_CHECKING:
    from reconcile.config import Settings


_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 8})
"""Standard mode pauses up to 20 s between tries, so that a minute without network ends no run."""
_WORDS_AT_MOST = 600
"""Characters of a log that stand in one line of ours."""
_LINES_OF_A_STREAM = 4
COMPLETED = "Completed"
ENDED = (COMPLETED, "Failed", "Stopped")
"""What SageMaker calls the states of a job that does nothing any more."""
_NOT_AUTHORIZED = re.compile(r"not authorized to perform: ([\w:-]+)")

_DENIED = "AccessDenied"
"""How the codes begin that say so."""
_NOTHING = re.compile("could not find|requested resource not found", re.IGNORECASE)


class JobKind(Enum):
    """A kind of job, by what SageMaker calls it."""

    TRANSFORM = "Transform"
    TRAINING = "Training"

    @property
    def words(self) -> str:
        """What a person calls it."""
        return f"{self.value.lower()} job"

    @property
    def log_group(self) -> str:
        """Where its containers' logs go."""
        return f"/aws/sagemaker/{self.value}Jobs"


class SageMaker:
    """One account's SageMaker in one region; its endpoint may be another by AWS_ENDPOINT_URL_SAGEMAKER, as for any SDK.

    Raises:
        UsageError: no region is known.
        ReconcileError: there is no such profile.
    """

    def __init__(self, settings: Settings) -> None:
        session = open_session(settings.output_access())
        try:
            self._sagemaker = session.client("sagemaker", config=_CONFIG)
            self._logs = session.client("logs", config=_CONFIG)
        except botocore.exceptions.NoRegionError:
            raise UsageError("SageMaker needs a region: say --region, or set AWS_REGION") from None
        except ValueError as error:  # of an endpoint in the environment
            raise UsageError(str(error)) from None
        self._profile = settings.profile
        self.region = str(self._sagemaker.meta.region_name)

    def create(self, what: str, request: dict[str, Any]) -> None:
        """Create a `Model`, a `TransformJob` or a `TrainingJob`; one of that name that is there already is it.

        Names are made for one job, so what is there came from this very request, sent twice.

        Raises:
            UsageError: the request is malformed, as one with a slip in --sagemaker-options is.
            ReconcileError: refused.
        """
        try:
            self._call(f"Create{what}", request)
        except _Refused as error:
            if not error.already_exists:
                raise

    def describe(self, kind: JobKind, name: str) -> dict[str, Any] | None:
        """A job as it is now; None where there is none of that name.

        Raises:
            ReconcileError: SageMaker cannot be asked.
        """
        try:
            return self._call(f"Describe{kind.value}Job", {f"{kind.value}JobName": name})
        except _Refused as error:
            if error.is_not_found:
                return None
            raise

    def stop(self, kind: JobKind, name: str) -> None:
        """Have a job stopped, which takes SageMaker a while; one that has ended, or is being stopped, is as wanted.

        Raises:
            ReconcileError: refused.
        """
        job = self.describe(kind, name)
        if job is None or job[f"{kind.value}JobStatus"] in (*ENDED, "Stopping"):
            return
        try:
            self._call(f"Stop{kind.value}Job", {f"{kind.value}JobName": name})
        except _Refused as error:
            if not error.has_already_ended:
                raise

    def delete_model(self, name: str) -> None:
        """Delete a model, if it is there.

        Raises:
            ForbiddenError: the permission is missing.
            ReconcileError: refused for another reason.
        """
        try:
            self._call("DeleteModel", {"ModelName": name})
        except _Refused as error:
            if not error.is_not_found:
                raise

    def log_tail(self, kind: JobKind, name: str) -> str:
        """The last lines of a job's logs in CloudWatch, in one line; or why there are none to be had."""
        try:
            streams = self._logs.describe_log_streams(logGroupName=kind.log_group, logStreamNamePrefix=f"{name}/")
            newest = sorted(streams["logStreams"], key=lambda stream: stream.get("lastEventTimestamp", 0))[-2:]
            lines: list[str] = []
            for stream in newest:
                found = self._logs.get_log_events(
                    logGroupName=kind.log_group,
                    logStreamName=stream["logStreamName"],
                    limit=_LINES_OF_A_STREAM,
                    startFromHead=False,
                )
                lines += [event["message"].strip() for event in found["events"]]
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return f"there is no log in CloudWatch ({kind.log_group})"
            return f"its log cannot be read: {_explain(error)}"
        except botocore.exceptions.BotoCoreError as error:
            return f"its log cannot be read: {error}"
        words = " | ".join(filter(None, lines)) or "nothing"
        return f"CloudWatch has ({kind.log_group}): {words[-_WORDS_AT_MOST:]}"

    def command_to_stop(self, kind: JobKind, name: str) -> str:
        """What a person types to stop a job."""
        job = kind.words.replace(" ", "-")
        profile = f" --profile {self._profile}" if self._profile else ""
        return f"aws sagemaker stop-{job} --{job}-name {name} --region {self.region}{profile}"

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        method = re.sub("(?<!^)([A-Z])", r"_\1", operation).lower()
        try:
            answer: dict[str, Any] = getattr(self._sagemaker, method)(**request)
        except botocore.exceptions.ParamValidationError as error:
            raise UsageError(f"{operation} cannot be asked for like this: {' '.join(str(error).split())}") from None
        except botocore.exceptions.ClientError as error:
            is_forbidden = _NOT_AUTHORIZED.search(str(error)) or error.response["Error"]["Code"].startswith(_DENIED)
            raise (ForbiddenError if is_forbidden else _Refused)(operation, error) from None
        except botocore.exceptions.BotoCoreError as error:
            raise ReconcileError(f"SageMaker in {self.region} cannot be asked ({operation}): {error}") from None
        return answer


class _Refused(ReconcileError):
    """SageMaker has answered, with an error."""

    def __init__(self, operation: str, error: botocore.exceptions.ClientError) -> None:
        super().__init__(f"SageMaker refuses {operation}: {_explain(error)}")
        self.code: str = error.response["Error"]["Code"]

    @property
    def is_not_found(self) -> bool:
        """Whether what was asked for is not there; SageMaker has several ways to say so."""
        return self.code.startswith("ResourceNotFound") or _NOTHING.search(str(self)) is not None

    @property
    def has_already_ended(self) -> bool:
        """Whether a job was to be stopped that has ended meanwhile."""
        return self.code == "ValidationException" and "in status" in str(self)

    @property
    def already_exists(self) -> bool:
        """Whether what was to be created is there already."""
        return self.code == "ResourceInUse" or "already exist" in str(self).lower()


class ForbiddenError(_Refused):
    """Nobody gave the permission, and to ask again is of no use."""


def _explain(error: botocore.exceptions.ClientError) -> str:
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    missing = _NOT_AUTHORIZED.search(text)
    if missing:
        return f"the permission {missing[1]} is missing (docs/how-to/sagemaker.md has them all): {text}"
    if text.lstrip().startswith("<"):  # SageMaker speaks JSON
        return (
            "what answered is no SageMaker, but an S3 server perhaps: AWS_ENDPOINT_URL is for all services; "
            "set AWS_ENDPOINT_URL_S3 instead, or say --endpoint-url"
        )
    return f"{text} ({code})"
