"""Tests of the requests for models and jobs."""

import json

import pytest

from reconcile.config import load_settings
from reconcile.engines.sagemaker import job_requests
from reconcile.engines.sagemaker.job_store import TransformFolder
from reconcile.errors import UsageError
from reconcile.output.store import Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.unit.engines.sagemaker.settings import VALID


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must be a JSON object of objects"),
        ('{"CreateEndpoint": {}}', "has 'CreateEndpoint'; expected CreateModel"),
        (
            '{"CreateTransformJob": {"TransformOutput": {"S3OutputPath": "s3://x"}}}',
            r"cannot change CreateTransformJob\.TransformOutput\.S3OutputPath",
        ),
    ],
)
def test_invalid_options_are_refused(text, message, tmp_path):
    path = tmp_path / "options.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        job_requests.job_resources(load_settings(VALID | {"sagemaker_options": path}, flags_only=True))


def test_options_are_merged_into_the_request(tmp_path):
    path = tmp_path / "options.json"
    added = {"TransformOutput": {"KmsKeyId": "k"}, "ModelClientConfig": {"InvocationsMaxRetries": 0}}
    path.write_text(json.dumps({"CreateTransformJob": added}))
    resources = job_requests.job_resources(load_settings(VALID | {"sagemaker_options": path}, flags_only=True))
    folder = TransformFolder(Output(open_bucket("./", None, create=True)), "n")
    request = job_requests.create_transform_job(folder, resources)
    assert request["TransformOutput"]["KmsKeyId"] == "k"
    assert request["TransformOutput"]["AssembleWith"] == "Line"
    assert request["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 0}


def test_server_environment_has_the_access_to_the_photos(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.here:9000")
    changes = {"no_sign_request": True, "profile": "night", "device": "cuda"}
    settings = load_settings(VALID | changes, flags_only=True)
    bucket = open_bucket("bins", S3Access(no_sign_request=True))
    assert job_requests.server_environment(settings, bucket, "eu-west-1") == {
        "RECONCILE_BUCKET": "s3://bins",
        "RECONCILE_ENDPOINT_URL": "http://s3.here:9000",
        "RECONCILE_REGION": "eu-west-1",
        "RECONCILE_NO_SIGN_REQUEST": "true",
        "RECONCILE_DEVICE": "cuda",
    }
