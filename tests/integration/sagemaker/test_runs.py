"""Whole runs with --engine sagemaker, as a person starts them."""

import json
import shutil
import signal
import subprocess

import pandas as pd
import pytest

from reconcile.doctor.environment import run_checks
from reconcile.resources import resource
from tests.conftest import SCRIPTS, SHARED, last_line, needs_abid, reconcile
from tests.integration.sagemaker.night import BINS, WITH_SAGEMAKER, Night, counts_in, left_in, summary_of
from tests.integration.sagemaker.transform_stand_in import REGION


@needs_abid
@pytest.mark.skipif(not list(resource("models").glob("*.onnx")), reason="no model is shipped")
def test_a_night_on_two_instances_gives_the_rows_of_one_here(service, s3, tmp_path):
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
        "run", "--bucket", "night", "--endpoint-url", s3.endpoint_url, "--region", REGION, "--run-id", "there",
        "--out", "s3://results/nightly", *WITH_SAGEMAKER, "--instance-count", 2, "--sagemaker-options", options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 files, 2 instances of ml.c5.xlarge" in done.stderr
    summary = summary_of(s3, "there")
    assert summary["rows"] == summary["counted"] == 80
    assert summary["totals"]["match"] + summary["totals"]["short"] + summary["totals"]["over"] == 80

    there = counts_in(s3)
    here = Night(s3, None, bucket="night", engine="local", out=f"{tmp_path}/here")
    here.count()
    here = pd.concat(map(pd.read_parquet, (tmp_path / "here").rglob("*.parquet")))
    here = here.sort_values("image_key").reset_index(drop=True)
    here["counted_at"] = there["counted_at"]
    pd.testing.assert_frame_equal(there, here, check_exact=True)
    # Each instance was asked what it takes first, and had work; nothing is left but what the next night needs.
    assert service.asked[:2].count("/invocations") == 0
    assert service.asked.count("/execution-parameters") == 2
    assert all(service.objects.values())
    assert len(service.objects) == 2
    assert service.models == []
    assert left_in(s3) == []
    [job] = service.jobs
    assert job.tags == [{"Key": "team", "Value": "floor"}]


def test_an_interrupted_run_finds_its_job_again(service, s3, command):
    service.may_end.clear()
    run = subprocess.Popen(
        [SCRIPTS / "reconcile", *map(str, command), "--run-id", "first"], stderr=subprocess.PIPE, text=True
    )
    said = []
    for line in run.stderr:
        said.append(line)
        if "InProgress" in line:
            run.send_signal(signal.SIGINT)
    assert run.wait() == 130
    told = "".join(said)
    assert "goes on at SageMaker" in told
    assert "aws sagemaker stop-transform-job --transform-job-name reconcile-" in told
    assert len(left_in(s3)) >= 5  # keys and job.json

    service.may_end.set()
    # Other flags of the machines make it no other job.
    done = reconcile(*command, "--run-id", "second", "--instance-type", "ml.m5.large", "--instance-count", 3)
    assert done.returncode == 0, done.stderr
    assert "is taken up again" in done.stderr
    assert "100 photos were brought in from reconcile-" in done.stderr
    assert len(service.jobs) == 1
    assert sorted(service.sent) == sorted(f"bin-images/{name}.jpg" for name in BINS)
    assert summary_of(s3, "second")["totals"]["match"] == len(BINS)
    assert service.models == []
    assert left_in(s3) == []


def test_of_a_job_that_fails_what_was_counted_is_kept(service, s3, command, grey_model):
    service.fails_at = "00002.jsonl"
    done = reconcile(*command)
    assert done.returncode == 1
    line = last_line(done.stderr)
    assert "failed: ClientError: See job logs for more information" in line
    assert "00002.jsonl: Bad HTTP status received from algorithm: 400" in line
    assert "64 of 100 photos were counted and are kept" in line
    assert left_in(s3) == []
    assert service.models == []
    assert list(counts_in(s3)["image_key"]) == sorted(service.sent)


def test_doctor_asks_sagemaker_and_names_what_is_missing(service, s3, grey_model):
    settings = Night(s3, grey_model).settings
    assert sagemaker_finding(settings) == (
        "ok",
        "SageMaker answers; 1 instance of ml.c5.xlarge in us-east-1 would count with model "
        f"{Night(s3, grey_model).engine.model.model_id}",
    )
    assert sagemaker_finding(settings.model_copy(update={"role": None}))[1] == (
        "SageMaker needs --role (docs/how-to/sagemaker.md)"
    )
    assert service.jobs == []


def sagemaker_finding(settings):
    [finding] = [finding for finding in run_checks(settings) if finding.subject == "sagemaker"]
    return finding.verdict, finding.text
