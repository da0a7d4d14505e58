"""What SageMaker is asked for, in its own words; --sagemaker-options adds to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from reconcile.engines.sagemaker.shards import CONTENT_TYPE
from reconcile.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.config import Settings
    from reconcile.engines.sagemaker.job_store import TransformFolder
    from reconcile.storage.base import Bucket


RECIPE = "recipe.toml"
"""Its name in the channel `recipe` of a training job."""
_GIGABYTES, _SECONDS_OF_A_TRAINING = 50, 24 * 3600
"""What a training has at most, unless the options say otherwise."""
_SECONDS_OF_A_REQUEST, _TRIES_MORE = 3600, 3
"""The most that SageMaker allows."""
_OURS = {
    "CreateModel": [("ModelName",), ("PrimaryContainer", "ModelDataUrl")],
    "CreateTransformJob": [
        ("TransformJobName",),
        ("ModelName",),
        ("BatchStrategy",),
        ("TransformInput",),
        ("DataProcessing",),
        ("TransformOutput", "S3OutputPath"),
        ("TransformOutput", "Accept"),
        ("TransformOutput", "AssembleWith"),
    ],
    "CreateTrainingJob": [("TrainingJobName",), ("OutputDataConfig", "S3OutputPath"), ("CheckpointConfig",)],
}
"""What options cannot change, since we would not find our own work again."""


class JobResources(NamedTuple):
    """What SageMaker is to run, and on what."""

    image_uri: str
    role: str
    instance_type: str
    instance_count: int
    options: dict[str, dict[str, Any]]
    """Request, such as CreateModel, to what is added to it."""

    @property
    def have_gpus(self) -> bool:
        """Whether the instances are of one of the families with NVIDIA GPUs."""
        return self.instance_type.startswith(("ml.g", "ml.p"))


def job_resources(settings: Settings) -> JobResources:
    """The machines that the settings name.

    Raises:
        UsageError: something that SageMaker needs is missing or malformed.
    """
    missing = [
        flag
        for flag, value in (
            ("--image-uri", settings.image_uri),
            ("--role", settings.role),
            ("--instance-type", settings.instance_type),
        )
        if not value
    ]
    if missing or not (settings.image_uri and settings.role and settings.instance_type):
        raise UsageError(f"SageMaker needs {', '.join(missing)} (docs/how-to/sagemaker.md)")
    if not settings.role.startswith("arn:"):
        raise UsageError(f"--role is the ARN of the role that SageMaker takes on: arn:aws:iam::…:role/{settings.role}")
    return JobResources(
        settings.image_uri,
        settings.role,
        settings.instance_type,
        settings.instance_count,
        {} if settings.sagemaker_options is None else read_options(settings.sagemaker_options),
    )


def read_options(path: Path) -> dict[str, dict[str, Any]]:
    """What --sagemaker-options names: JSON, an object for each request that is to be added to.

    Raises:
        UsageError: it is something else, or changes what cannot be changed.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--sagemaker-options: {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--sagemaker-options: {path} is no JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise UsageError(f"--sagemaker-options: {path} is no object of objects")
    for request, added in found.items():
        if request not in _OURS:
            raise UsageError(f"--sagemaker-options: {path} has {request!r}; there is {', '.join(_OURS)}")
        for place in _OURS[request]:
            if _has(added, place):
                raise UsageError(f"--sagemaker-options: {request}.{'.'.join(place)} is reconcile's own")
    return found


def create_model(name: str, resources: JobResources, model_url: str, environment: dict[str, str]) -> dict[str, Any]:
    """The request for the model that a job uses: image, weights, and what the container is told."""
    container = {"Image": resources.image_uri, "ModelDataUrl": model_url, "Environment": environment}
    request = {"ModelName": name, "ExecutionRoleArn": resources.role, "PrimaryContainer": container}
    return _merged(request, resources.options.get("CreateModel", {}))


def create_transform_job(folder: TransformFolder, resources: JobResources) -> dict[str, Any]:
    """The request for the job that counts all shards of a folder.

    How many requests a container gets at once and how large they are is left to what it says of itself
    (`/execution-parameters`), as SageMaker has it where both are unset.
    """
    request = {
        "TransformJobName": folder.name,
        "ModelName": folder.name,
        "BatchStrategy": "MultiRecord",
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": _SECONDS_OF_A_REQUEST,
            "InvocationsMaxRetries": _TRIES_MORE,
        },
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": folder.keys_url}},
            "ContentType": CONTENT_TYPE,
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": folder.responses_url, "Accept": CONTENT_TYPE, "AssembleWith": "Line"},
        "TransformResources": {
            "InstanceType": resources.instance_type,
            "InstanceCount": resources.instance_count,
        },
    }
    return _merged(request, resources.options.get("CreateTransformJob", {}))


class TrainingUrls(NamedTuple):
    """Where a training job writes."""

    output_url: str
    checkpoints_url: str


def create_training_job(
    name: str, resources: JobResources, channels: dict[str, str | None], where: TrainingUrls
) -> dict[str, Any]:
    """The request for a training job; its container runs `train`, as SageMaker has it.

    Args:
        name: of the job.
        resources: what to run.
        channels: each channel's photos or files, s3://…; None for one that is not used.
        where: it writes.
    """
    used = {channel: url for channel, url in channels.items() if url is not None}
    # The variables that SageMaker's training toolkit would set, which our image has no other use for.
    told = {f"SM_CHANNEL_{channel.upper()}": f"/opt/ml/input/data/{channel}" for channel in used}
    request = {
        "TrainingJobName": name,
        "RoleArn": resources.role,
        "AlgorithmSpecification": {"TrainingImage": resources.image_uri, "TrainingInputMode": "File"},
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": url.rstrip("/") + "/",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for channel, url in used.items()
        ],
        "OutputDataConfig": {"S3OutputPath": where.output_url},
        "CheckpointConfig": {"S3Uri": where.checkpoints_url},
        "ResourceConfig": {
            "InstanceType": resources.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": _GIGABYTES,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": _SECONDS_OF_A_TRAINING},
        "Environment": {**told, "SM_MODEL_DIR": "/opt/ml/model"},
    }
    return _merged(request, resources.options.get("CreateTrainingJob", {}))


def environment_of_server(settings: Settings, bucket: Bucket, region: str) -> dict[str, str]:
    """What the server has to be told of the run: its bucket and how to reach it, and how to count.

    The endpoint is the one that is used here, which the environment of this machine may have named.
    The region is told in any case: in a container boto3 would not find it. A profile is of this machine, and no concern
    of a container that has a role.
    """
    told = {
        "RECONCILE_BUCKET": bucket.location,
        "RECONCILE_ENDPOINT_URL": bucket.access.endpoint_url,
        "RECONCILE_REGION": region,
        "RECONCILE_NO_SIGN_REQUEST": "true" if settings.no_sign_request else None,
        "RECONCILE_DEVICE": None if settings.device == "auto" else settings.device,
        "RECONCILE_BATCH_SIZE": None if settings.batch_size is None else str(settings.batch_size),
    }
    return {name: value for name, value in told.items() if value is not None}


def _has(added: dict[str, Any], place: tuple[str, ...]) -> bool:
    for name in place:
        if not isinstance(added, dict) or name not in added:
            return False
        added = added[name]
    return True


def _merged(request: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """`request` with what is added: objects are merged, anything else replaces what was there."""
    merged = dict(request)
    for name, value in added.items():
        ours = merged.get(name)
        merged[name] = _merged(ours, value) if isinstance(ours, dict) and isinstance(value, dict) else value
    return merged
