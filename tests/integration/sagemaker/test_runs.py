"""Tests of whole runs with `--engine sagemaker`."""

import json
import shutil
import signal
import subprocess

import pandas as pd
import pytest

from reconcile.doctor.environment import run_checks
from reconcile.resources import resource
from tests.conftest import SCRIPTS, SHARED, last_line, needs_abid, reconcile
from tests.integration.sagemaker.engine_run import (
    BINS,
    SAGEMAKER_FLAGS,
    EngineRun,
    counts_in,
    job_files,
    read_summary,
)
from tests.integration.sagemaker.transform_stand_in import REGION


@needs_abid
@pytest.mark.skipif(not list(resource("models").glob("*.onnx")), reason="no model is shipped")
def test_two_instances_give_the_rows_of_a_local_run(service, s3, tmp_path):
    for kind in ("bin-images", "metadata"):
        (s3.root / "night" / kind).mkdir(parents=True)
        for path in sorted((SHARED / "night" / kind).iterdir())[:80]:
            shutil.copy(path, s3.root / "night" / kind)
    options = tmp_path / "options.json"
    options.write_text(
        json.dumps(
            {
                "CreateTransformJob": {"Tags": [{"Key": "team", "Value": "floor"}]},
                "CreateModel": {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
            }
        )
    )
    done = reconcile(
        "run", "--bucket", "night", "--endpoint-url", s3.endpoint_url, "--region", REGION, "--run-id", "remote",
        "--out", "s3://results/nightly", *SAGEMAKER_FLAGS, "--instance-count", 2, "--sagemaker-options", options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 files, 2 instances of ml.c5.xlarge" in done.stderr
    summary = read_summary(s3, "remote")
    assert summary["rows"] == summary["counted"] == 80
    assert summary["totals"]["match"] + summary["totals"]["short"] + summary["totals"]["over"] == 80

    remote = counts_in(s3)
    EngineRun(s3, None, bucket="night", engine="local", out=f"{tmp_path}/local").count()
    local = pd.concat(map(pd.read_parquet, (tmp_path / "local").rglob("*.parquet")))
    local = local.sort_values("image_key").reset_index(drop=True)
    local["counted_at"] = remote["counted_at"]
    pd.testing.assert_frame_equal(remote, local, check_exact=True)
    # Each instance was asked for its parameters first, and each had work. Only what the next run needs is left.
    assert service.requests[:2].count("/invocations") == 0
    assert service.requests.count("/execution-parameters") == 2
    assert all(service.objects.values())
    assert len(service.objects) == 2
    assert service.models == []
    assert job_files(s3) == []
    [job] = service.jobs
    assert job.tags == [{"Key": "team", "Value": "floor"}]


def test_run_after_an_interruption_resumes_the_job(service, s3, command):
    service.may_end.clear()
    run = subprocess.Popen(
        [SCRIPTS / "reconcile", *map(str, command), "--run-id", "first"], stderr=subprocess.PIPE, text=True
    )
    lines = []
    for line in run.stderr:
        lines.append(line)
        if "InProgress" in line:
            run.send_signal(signal.SIGINT)
    assert run.wait() == 130
    log = "".join(lines)
    assert "is still running at SageMaker" in log
    assert "aws sagemaker stop-transform-job --transform-job-name reconcile-" in log
    assert len(job_files(s3)) >= 5  # keys and job.json

    service.may_end.set()
    # Other machines do not make it another job.
    done = reconcile(*command, "--run-id", "second", "--instance-type", "ml.m5.large", "--instance-count", 3)
    assert done.returncode == 0, done.stderr
    assert "resuming transform job reconcile-" in done.stderr
    assert "imported the counts of 100 photos from transform job reconcile-" in done.stderr
    assert len(service.jobs) == 1
    assert sorted(service.sent) == sorted(f"bin-images/{name}.jpg" for name in BINS)
    assert read_summary(s3, "second")["totals"]["match"] == len(BINS)
    assert service.models == []
    assert job_files(s3) == []


def test_failed_job_keeps_its_counts(service, s3, command, grey_model):
    service.fails_at = "00002.jsonl"
    done = reconcile(*command)
    assert done.returncode == 1
    line = last_line(done.stderr)
    assert "failed: ClientError: See job logs for more information" in line
    assert "00002.jsonl: Bad HTTP status received from algorithm: 400" in line
    assert "the counts of 64 of 100 photos are kept" in line
    assert job_files(s3) == []
    assert service.models == []
    assert list(counts_in(s3)["image_key"]) == sorted(service.sent)


def test_doctor_checks_sagemaker_and_its_settings(service, s3, grey_model):
    settings = EngineRun(s3, grey_model).settings
    assert sagemaker_check(settings) == (
        "ok",
        "SageMaker answers; 1 instance of ml.c5.xlarge in us-east-1 would count with model "
        f"{EngineRun(s3, grey_model).engine.model.model_id}",
    )
    assert sagemaker_check(settings.model_copy(update={"role": None}))[1] == (
        "SageMaker needs --role (docs/how-to/sagemaker.md)"
    )
    assert service.jobs == []


def sagemaker_check(settings):
    """Return status and text of doctor's SageMaker check."""
    [check] = [check for check in run_checks(settings) if check.subject == "sagemaker"]
    return check.status, check.text
