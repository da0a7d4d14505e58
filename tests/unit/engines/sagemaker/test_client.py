"""Tests of the SageMaker client, with stubbed answers of the API."""

from datetime import UTC, datetime

import pytest
from botocore.stub import Stubber

from reconcile.config import load_settings
from reconcile.engines.sagemaker.client import JobKind, SageMaker
from reconcile.errors import ReconcileError
from tests.unit.engines.sagemaker.settings import VALID


@pytest.fixture
def client():
    """Return a client, and the stub that answers it."""
    client = SageMaker(load_settings(VALID, flags_only=True))
    with Stubber(client._sagemaker) as stub:
        yield client, stub


def describe_response(status):
    """Return the description of a transform job."""
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://x"}}
    return {
        "TransformJobName": "j",
        "TransformJobArn": "arn:aws:sagemaker:us-east-1:123456789012:transform-job/j",
        "TransformJobStatus": status,
        "ModelName": "j",
        "TransformInput": {"DataSource": source},
        "TransformResources": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        "CreationTime": datetime.now(UTC),
    }


def test_missing_permission_is_named(client):
    sagemaker, stub = client
    text = (
        "User: arn:aws:iam::1:user/cron is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/x"
    )
    stub.add_client_error("create_model", "AccessDeniedException", text)
    request = {"ModelName": "m", "ExecutionRoleArn": "arn:aws:iam::1:role/reconcile"}
    with pytest.raises(ReconcileError, match=r"SageMaker refused CreateModel: the permission iam:PassRole is missing"):
        sagemaker.create("Model", request)


def test_answer_of_an_s3_server_is_explained_in_one_line(client):
    sagemaker, stub = client
    xml = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidArgument</Code></Error>'
    stub.add_client_error("describe_transform_job", "400", xml)
    with pytest.raises(
        ReconcileError, match=r"the answer is not from SageMaker, .* set AWS_ENDPOINT_URL_S3 or --endpoint-url instead"
    ) as error:
        sagemaker.describe(JobKind.TRANSFORM, "reconcile-1")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ResourceInUse", "Job name must be unique"),
        ("ValidationException", 'Cannot create already existing model "arn:x"'),
    ],
)
def test_create_accepts_what_already_exists(client, code, text):
    sagemaker, stub = client
    stub.add_client_error("create_model", code, text)
    sagemaker.create("Model", {"ModelName": "m"})
    stub.assert_no_pending_responses()


def test_stop_accepts_a_job_that_has_ended(client):
    sagemaker, stub = client
    text = "The request was rejected because the transform job is in status {}."
    stub.add_client_error("describe_transform_job", "ResourceNotFound", "")
    sagemaker.stop(JobKind.TRANSFORM, "j")
    for code in ("ValidationException", "AccessDeniedException"):
        stub.add_response("describe_transform_job", describe_response("InProgress"))
        stub.add_client_error("stop_transform_job", code, text.format("Completed"))
    sagemaker.stop(JobKind.TRANSFORM, "j")
    with pytest.raises(ReconcileError, match="refused StopTransformJob"):
        sagemaker.stop(JobKind.TRANSFORM, "j")


def test_describe_returns_none_only_for_unknown_jobs(client):
    sagemaker, stub = client
    stub.add_client_error("describe_transform_job", "ResourceNotFound", "")
    stub.add_client_error("describe_transform_job", "ValidationException", "Could not find requested job with name: j")
    stub.add_client_error("describe_transform_job", "ValidationException", "Requested resource not found.")
    stub.add_client_error("describe_training_job", "ValidationException", "Requested resource not found.")
    stub.add_client_error("describe_transform_job", "ThrottlingException", "Rate exceeded")
    for kind in (JobKind.TRANSFORM, JobKind.TRANSFORM, JobKind.TRANSFORM, JobKind.TRAINING):
        assert sagemaker.describe(kind, "j") is None
    with pytest.raises(ReconcileError, match="refused DescribeTransformJob: Rate exceeded"):
        sagemaker.describe(JobKind.TRANSFORM, "j")
