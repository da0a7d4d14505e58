"""Tests of the SageMaker engine alone: what it keeps, tries again, ignores and cleans up."""

import json

import pandas as pd
import pytest

from reconcile.concurrency.cancellation import Interrupted
from reconcile.engines.sagemaker.client import SageMaker
from reconcile.errors import ReconcileError
from tests.conftest import write_grey_model
from tests.integration.sagemaker.engine_run import EngineRun, are_correct, counts_in, job_files
from tests.integration.sagemaker.transform_stand_in import REGION


def test_next_process_does_not_duplicate_ingested_counts(service, s3, grey_model):
    def interrupt(_):
        raise KeyboardInterrupt

    service.may_end.clear()
    first = EngineRun(s3, grey_model)
    with pytest.raises(Interrupted) as stop:
        first.count(advance=interrupt)
    assert stop.value.kept == 32
    assert "is still running at SageMaker" in first.log.getvalue()
    service.may_end.set()
    second = EngineRun(s3, grey_model, instance_type="ml.m5.large")
    second.resume()
    assert are_correct(counts_in(s3))
    assert job_files(s3) == []
    assert len(service.jobs) == 1


def test_ingested_job_is_only_cleaned_up_later(service, s3, grey_model, monkeypatch):
    first = EngineRun(s3, grey_model)
    delete = first.output.bucket.delete

    def refuse_keys(key):
        if "/keys/" in key:
            raise ReconcileError("access denied")
        delete(key)

    monkeypatch.setattr(first.output.bucket, "delete", refuse_keys)
    service.forbids_deleting = True
    assert first.count().failed == 0
    assert "; the next run tries again: access denied" in first.log.getvalue()
    assert {path.suffix for path in job_files(s3)} == {".jsonl", ".json"}  # the responses are removed
    before = counts_in(s3)
    second, third = EngineRun(s3, grey_model), EngineRun(s3, grey_model)
    second.resume()
    assert job_files(s3) == []
    pd.testing.assert_frame_equal(counts_in(s3), before)
    # A model whose deletion is forbidden is reported once, and its job is not ingested again.
    [model] = service.models
    message = (
        f"cannot delete the SageMaker model {model}, so it stays: SageMaker refused DeleteModel: the permission "
        "sagemaker:DeleteModel is missing"
    )
    assert message in second.log.getvalue()
    assert "resuming" not in second.log.getvalue()
    third.resume()
    assert third.log.getvalue() == ""


def test_photo_without_a_response_gets_a_reason(service, s3, grey_model):
    service.loses = "00003.jsonl"
    run = EngineRun(s3, grey_model)
    result = run.count()
    assert (result.objects, result.failed, run.done) == (100, 4, 100)
    rows = counts_in(s3)
    assert len(rows) == 100
    lost = rows[rows["try_again"]]
    assert list(lost["image_key"]) == [f"bin-images/{number:05d}.jpg" for number in range(96, 100)]
    assert run.failures == dict(zip(lost["image_key"], lost["reason"], strict=True))
    assert "gave no answer" in lost["reason"].iloc[0]


def test_counts_of_another_model_are_rejected(service, s3, grey_model, tmp_path):
    write_grey_model(tmp_path / "other.onnx", version="other")
    service.container["RECONCILE_MODEL"] = str(tmp_path / "other.onnx")
    service.may_end.clear()
    with pytest.raises(ReconcileError, match=r"the container counted with model other-.* instead of grey-"):
        EngineRun(s3, grey_model).count()
    assert not list((s3.root / "results").rglob("*.parquet"))
    service.wait()
    assert service.jobs[0].transform_job_status == "Stopped"
    assert job_files(s3) == []


def test_interrupted_rejection_logs_how_to_stop_the_job(service, s3, grey_model, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    write_grey_model(tmp_path / "other.onnx", version="other")
    service.container["RECONCILE_MODEL"] = str(tmp_path / "other.onnx")
    service.may_end.clear()
    run = EngineRun(s3, grey_model)
    stop = SageMaker.stop
    monkeypatch.setattr(SageMaker, "stop", interrupt)
    with pytest.raises(Interrupted):
        run.count()
    monkeypatch.setattr(SageMaker, "stop", stop)
    log = run.log.getvalue()
    assert "the container counted with model other-" in log
    assert "to stop it: aws sagemaker stop-transform-job --transform-job-name reconcile-" in log
    with pytest.raises(ReconcileError, match="the container counted with model other-"):
        EngineRun(s3, grey_model).resume()
    service.wait()
    assert job_files(s3) == []


def test_ended_job_with_a_wrong_model_is_rejected_once(service, s3, grey_model, tmp_path, monkeypatch):
    write_grey_model(tmp_path / "other.onnx", version="other")
    service.container["RECONCILE_MODEL"] = str(tmp_path / "other.onnx")
    interrupt_after_job_creation(EngineRun(s3, grey_model), monkeypatch, keys=("bin-images/00000.jpg",))
    service.wait()
    run = EngineRun(s3, grey_model)
    with pytest.raises(ReconcileError, match="the container counted with model other-"):
        run.resume()
    assert "stop" not in run.log.getvalue()
    assert job_files(s3) == []
    assert service.models == []
    run.resume()


def test_job_of_another_model_is_imported_after_its_end(service, s3, grey_model, tmp_path, monkeypatch):
    service.may_work.clear()
    first, keys = EngineRun(s3, grey_model), ("bin-images/00000.jpg", "bin-images/00001.jpg")
    interrupt_after_job_creation(first, monkeypatch, keys)
    upgraded = EngineRun(s3, write_grey_model(tmp_path / "new.onnx", version="new"))
    upgraded.resume()
    old_model = first.engine.model.model_id
    message = f"{service.jobs[0].transform_job_name} still counts with another model, {old_model}"
    assert message in upgraded.log.getvalue()
    assert job_files(s3) != []
    service.may_work.set()
    service.wait()
    upgraded.resume()
    assert job_files(s3) == []
    assert service.models == []
    assert list(counts_in(s3)["image_key"]) == list(keys)
    assert [path.name for path in (s3.root / "results" / "nightly" / "counts").iterdir()] == [old_model]


def test_foreign_jobs_are_ignored_and_uncreated_jobs_removed(service, s3, grey_model):
    folder = s3.root / "results" / "nightly" / "transform"
    run = EngineRun(s3, grey_model)
    job = {"model_id": run.engine.model.model_id, "region": REGION, "images": 1, "shards": 1}
    for name, state in {
        "reconcile-another-bucket": {**job, "bucket": "s3://elsewhere"},
        "reconcile-another-region": {**job, "bucket": "s3://warehouse", "region": "eu-west-1"},
        "reconcile-never-created": {**job, "bucket": "s3://warehouse"},
        "reconcile-killed-while-writing": None,
    }.items():
        run.output.bucket.put(f"transform/{name}/keys/00000.jsonl", b"{}\n")
        if state is not None:
            run.output.bucket.put(f"transform/{name}/job.json", json.dumps({"name": name, **state}).encode())
    run.resume()
    assert {path.parts[len(folder.parts)] for path in job_files(s3)} == {
        "reconcile-another-bucket",
        "reconcile-another-region",
    }
    assert "reconcile-another-bucket counts s3://elsewhere with model grey-" in run.log.getvalue()
    assert service.jobs == []


def test_failed_job_creation_leaves_nothing(service, s3, grey_model, tmp_path):
    options = tmp_path / "options.json"
    options.write_text('{"CreateTransformJob": {"MaxPayload": 6}}')
    with pytest.raises(
        ReconcileError, match=r"the CreateTransformJob request is malformed; check --sagemaker-options: .*MaxPayload"
    ):
        EngineRun(s3, grey_model, sagemaker_options=options).count()
    assert job_files(s3) == []
    assert service.models == []


def test_unclear_creation_logs_how_to_stop_the_job(service, s3, grey_model, monkeypatch):
    def refuse(why):
        def call(*_):
            raise ReconcileError(why)

        return call

    monkeypatch.setattr(SageMaker, "create", refuse("CreateModel: no answer"))
    monkeypatch.setattr(SageMaker, "describe", refuse("DescribeTransformJob: no answer either"))
    run = EngineRun(s3, grey_model)
    with pytest.raises(ReconcileError, match="CreateModel: no answer"):
        run.count(("bin-images/00000.jpg",))
    assert "it may be that transform job reconcile-" in run.log.getvalue()
    assert "aws sagemaker stop-transform-job" in run.log.getvalue()
    assert len(job_files(s3)) == 2  # the next run finds the job by them, if it exists


def test_nothing_to_count_creates_no_job(service, s3, grey_model):
    assert EngineRun(s3, grey_model).count(keys=()).objects == 0
    assert service.jobs == []


def test_job_of_an_interrupted_run_is_not_lost(service, s3, grey_model, monkeypatch):
    first = EngineRun(s3, grey_model)
    interrupt_after_job_creation(first, monkeypatch)
    assert "is still running at SageMaker" in first.log.getvalue()
    EngineRun(s3, grey_model).resume()
    assert are_correct(counts_in(s3))
    assert len(service.jobs) == 1


def interrupt_after_job_creation(run, monkeypatch, keys=None):
    """Press Ctrl-C as soon as the job exists."""
    create = SageMaker.create

    def create_and_interrupt(sagemaker, kind, request):
        create(sagemaker, kind, request)
        if kind == "TransformJob":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SageMaker, "create", create_and_interrupt)
        with pytest.raises(Interrupted):
            run.count(keys)
