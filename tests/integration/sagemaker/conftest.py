"""An AWS account for the tests: moto simulates the API, a stand-in runs transform jobs, the server and S3 are real."""

import urllib.request

import pytest

from tests.conftest import write_bucket
from tests.integration.sagemaker.engine_run import BINS, SAGEMAKER_FLAGS
from tests.integration.sagemaker.transform_stand_in import REGION, TransformService


@pytest.fixture
def service(s3, moto_server, monkeypatch):
    """Return an account with the bucket `warehouse` for the photos and the bucket `results` for `<out>`."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")).close()
    write_bucket(s3.root / "warehouse", BINS)
    (s3.root / "results").mkdir()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", moto_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", moto_server)
    service = TransformService(s3.endpoint_url, moto_server)
    service.install(monkeypatch)
    return service


@pytest.fixture
def command(s3, grey_model):
    """Return the arguments of `reconcile run` with this account."""
    return (
        "run", "--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--region", REGION, "--model", grey_model,
        "--out", "s3://results/nightly", *SAGEMAKER_FLAGS,
    )  # fmt: skip
