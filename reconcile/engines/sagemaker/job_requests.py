"""Build the requests for models, transform jobs and training jobs. --sagemaker-options adds to them."""

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
"""The name of the recipe in the channel `recipe` of a training job."""
_TRAINING_GIGABYTES, _TRAINING_SECONDS = 50, 24 * 3600
"""The disk space and the time limit of a training job, unless the options set others."""
_REQUEST_SECONDS, _REQUEST_RETRIES = 3600, 3
"""The largest values that SageMaker allows."""
_PROTECTED = {
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
"""The fields that options cannot change, because a later run finds its job by them."""


class JobResources(NamedTuple):
    """The container image, the role and the machines of a job."""

    image_uri: str
    role: str
    instance_type: str
    instance_count: int
    options: dict[str, dict[str, Any]]
    """The name of a request, such as CreateModel, to the fields that are added to it."""

    @property
    def have_gpus(self) -> bool:
        """True if the instances have NVIDIA GPUs. The name of their family decides."""
        return self.instance_type.startswith(("ml.g", "ml.p"))


def job_resources(settings: Settings) -> JobResources:
    """Return the resources that the settings name.

    Raises:
        UsageError: a setting that SageMaker needs is missing or malformed.
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
        raise UsageError(f"--role must be the ARN of an IAM role, such as arn:aws:iam::…:role/{settings.role}")
    return JobResources(
        settings.image_uri,
        settings.role,
        settings.instance_type,
        settings.instance_count,
        {} if settings.sagemaker_options is None else read_options(settings.sagemaker_options),
    )


def read_options(path: Path) -> dict[str, dict[str, Any]]:
    """Read the file of --sagemaker-options: a JSON object with one object for each request to extend.

    Raises:
        UsageError: the file has another form, or changes a protected field.
    """
    try:
        options = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--sagemaker-options: {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--sagemaker-options: {path} is not valid JSON: {error}") from None
    if not isinstance(options, dict) or not all(isinstance(value, dict) for value in options.values()):
        raise UsageError(f"--sagemaker-options: {path} must be a JSON object of objects")
    for request, added in options.items():
        if request not in _PROTECTED:
            raise UsageError(f"--sagemaker-options: {path} has {request!r}; expected {', '.join(_PROTECTED)}")
        for names in _PROTECTED[request]:
            if _contains(added, names):
                raise UsageError(f"--sagemaker-options: {path} cannot change {request}.{'.'.join(names)}")
    return options


def create_model(name: str, resources: JobResources, model_url: str, environment: dict[str, str]) -> dict[str, Any]:
    """Return the request for the model of a job: image, weights, and environment of the container."""
    container = {"Image": resources.image_uri, "ModelDataUrl": model_url, "Environment": environment}
    request = {"ModelName": name, "ExecutionRoleArn": resources.role, "PrimaryContainer": container}
    return _merged(request, resources.options.get("CreateModel", {}))


def create_transform_job(folder: TransformFolder, resources: JobResources) -> dict[str, Any]:
    """Return the request for the job that counts all shards of a folder.

    The request does not set the number and the size of concurrent requests. So SageMaker asks the container for them
    (`/execution-parameters`).
    """
    request = {
        "TransformJobName": folder.name,
        "ModelName": folder.name,
        "BatchStrategy": "MultiRecord",
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": _REQUEST_SECONDS,
            "InvocationsMaxRetries": _REQUEST_RETRIES,
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
    """The addresses that a training job writes to."""

    output_url: str
    checkpoints_url: str


def create_training_job(
    name: str, resources: JobResources, channels: dict[str, str | None], urls: TrainingUrls
) -> dict[str, Any]:
    """Return the request for a training job. SageMaker runs the container with the argument `train`.

    Args:
        name: the name of the job.
        resources: the image, role and machines.
        channels: channel to the s3://… address of its photos or files; None for a channel that is not used.
        urls: the addresses that the job writes to.
    """
    used = {channel: url for channel, url in channels.items() if url is not None}
    # SageMaker's training toolkit would set these variables. The image needs nothing else of the toolkit.
    variables = {f"SM_CHANNEL_{channel.upper()}": f"/opt/ml/input/data/{channel}" for channel in used}
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
        "OutputDataConfig": {"S3OutputPath": urls.output_url},
        "CheckpointConfig": {"S3Uri": urls.checkpoints_url},
        "ResourceConfig": {
            "InstanceType": resources.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": _TRAINING_GIGABYTES,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": _TRAINING_SECONDS},
        "Environment": {**variables, "SM_MODEL_DIR": "/opt/ml/model"},
    }
    return _merged(request, resources.options.get("CreateTrainingJob", {}))


def server_environment(settings: Settings, source: Bucket, region: str) -> dict[str, str]:
    """Return the environment of the server: the bucket, how to reach it, and how to count.

    The endpoint is the one in use here, which may come from the environment of this machine. The region is always set,
    because boto3 does not find it in a container. The profile is not passed on, because the container has a role.
    """
    variables = {
        "RECONCILE_BUCKET": source.location,
        "RECONCILE_ENDPOINT_URL": source.access.endpoint_url,
        "RECONCILE_REGION": region,
        "RECONCILE_NO_SIGN_REQUEST": "true" if settings.no_sign_request else None,
        "RECONCILE_DEVICE": None if settings.device == "auto" else settings.device,
        "RECONCILE_BATCH_SIZE": None if settings.batch_size is None else str(settings.batch_size),
    }
    return {name: value for name, value in variables.items() if value is not None}


def _contains(added: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Return whether nested objects have a value under these names."""
    for name in names:
        if not isinstance(added, dict) or name not in added:
            return False
        added = added[name]
    return True


def _merged(request: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Return `request` with the added fields. Objects are merged; any other value replaces the one of `request`."""
    merged = dict(request)
    for name, value in added.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
