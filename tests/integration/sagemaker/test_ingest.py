"""Tests of `reconcile ingest`: import the counts of a job that was started elsewhere."""

import json

import pandas as pd

from reconcile.engines.sagemaker.external_ingest import ingest_responses
from reconcile.engines.sagemaker.model_archive import upload_model
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import reconcile, reconcile_from_scratch
from tests.integration.sagemaker.engine_run import IMAGE, ROLE, EngineRun, are_correct, counts_in


def test_foreign_job_is_ingested_once(service, s3, grey_model):
    model = EngineRun(s3, grey_model).engine.model
    output = EngineRun(s3, grey_model, out="s3://results/theirs").output
    service.client("s3").put_object(Bucket="results", Key="theirs/keys/a.jsonl", Body=request_lines(s3))
    sagemaker = service.client("sagemaker")
    container = {
        "Image": IMAGE,
        "ModelDataUrl": upload_model(model, output),
        "Environment": {"RECONCILE_BUCKET": "warehouse", "RECONCILE_ENDPOINT_URL": s3.endpoint_url},
    }
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    sagemaker.create_transform_job(
        TransformJobName="theirs",
        ModelName="m",
        BatchStrategy="MultiRecord",
        ModelClientConfig={"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 1},
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://results/theirs/keys/"}},
            "ContentType": "application/jsonlines",
            "SplitType": "Line",
        },
        TransformOutput={
            "S3OutputPath": "s3://results/theirs/out",
            "Accept": "application/jsonlines",
            "AssembleWith": "Line",
        },
        TransformResources={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
    )
    service.wait()
    assert service.jobs[0].transform_job_status == "Completed"
    arguments = ("s3://results/theirs/out", "--out", "s3://results/nightly", "--endpoint-url", s3.endpoint_url)
    done = reconcile_from_scratch("ingest", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"imported counts of 100 photos by model {model.model_id}\n"
    before = counts_in(s3)
    assert are_correct(before)
    assert list(before["etag"]) == [json.loads(line)["etag"] for line in request_lines(s3).splitlines()]
    run = EngineRun(s3, grey_model)
    ingest_responses(open_bucket("s3://results/theirs/out", S3Access(s3.endpoint_url)), run.output)
    pd.testing.assert_frame_equal(counts_in(s3), before)


def request_lines(s3):
    """Return a request line for every photo of the bucket, in the form of a file from elsewhere."""
    pages = open_bucket("warehouse", S3Access(s3.endpoint_url)).list_pages("bin-images/")
    return b"".join(json.dumps({"key": one.key, "etag": one.etag}).encode() + b"\n" for page in pages for one in page)


def test_invalid_lines_are_listed_and_the_others_imported(tmp_path):
    (tmp_path / "responses").mkdir()
    probs = [0.1, 0.9]
    row = {"image_key": "a.jpg", "etag": "e", "predicted_label": "1", "predicted_count": 1, "probabilities": probs}
    row |= {"reason": None, "try_again": False, "counted_at": "2026-11-24T02:15:00Z", "model_id": "theirs-1"}
    lines = [json.dumps(row), "", "[[0.1, 0.9]]", json.dumps(row | {"model_id": "../elsewhere"}), json.dumps(row)]
    (tmp_path / "responses" / "x.jsonl.out").write_text("\n".join(lines))
    done = reconcile("ingest", "responses", "--out", "out")
    assert done.returncode == 1
    assert [line.partition("x.jsonl.out, ")[2] for line in done.stderr.splitlines()] == [
        "line 3: not a response of `reconcile serve` to a key",
        "line 4: not a response of `reconcile serve` to a key",
    ]
    assert done.stdout == "imported counts of 2 photos by model theirs-1\n"
    assert [path.name for path in (tmp_path / "out" / "counts").iterdir()] == ["theirs-1"]
