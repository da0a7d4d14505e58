"""The SageMaker engine alone: what is kept, tried again, left alone and tidied up."""

import json

import pandas as pd
import pytest

from reconcile.concurrency.cancellation import Interrupted
from reconcile.engines.sagemaker.client import SageMaker
from reconcile.errors import ReconcileError
from tests.conftest import write_grey_model
from tests.integration.sagemaker.night import Night, counts_in, is_right, left_in
from tests.integration.sagemaker.transform_stand_in import REGION


def test_what_one_process_has_ingested_the_next_does_not_double(service, s3, grey_model):
    def interrupt(_):
        raise KeyboardInterrupt

    service.may_end.clear()
    first = Night(s3, grey_model)
    with pytest.raises(Interrupted) as stop:
        first.count(progress=interrupt)
    assert stop.value.kept == 32
    assert "goes on at SageMaker" in first.log.getvalue()
    service.may_end.set()
    second = Night(s3, grey_model, instance_type="ml.m5.large")
    second.resume()
    assert is_right(counts_in(s3))
    assert left_in(s3) == []
    assert len(service.jobs) == 1


def test_what_is_ingested_is_only_tidied_up_later(service, s3, grey_model, monkeypatch):
    first = Night(s3, grey_model)
    delete = first.output.bucket.delete

    def refuse_keys(key):
        if "/keys/" in key:
            raise ReconcileError("access denied")
        delete(key)

    monkeypatch.setattr(first.output.bucket, "delete", refuse_keys)
    service.forbids_deleting = True
    assert first.count().failed == 0
    assert "could not be tidied up, which the next run tries again: access denied" in first.log.getvalue()
    assert {path.suffix for path in left_in(s3)} == {".jsonl", ".json"}  # the answers are gone
    before = counts_in(s3)
    second, third = Night(s3, grey_model), Night(s3, grey_model)
    second.resume()
    assert left_in(s3) == []
    pd.testing.assert_frame_equal(counts_in(s3), before)
    # A model that may not be deleted is told of once, and brings nothing in again.
    [model] = service.models
    told = (
        f"the SageMaker model {model} stays, for it may not be deleted: SageMaker refuses DeleteModel: the permission"
    )
    assert f"{told} sagemaker:DeleteModel is missing" in second.log.getvalue()
    assert "taken up" not in second.log.getvalue()
    third.resume()
    assert third.log.getvalue() == ""


def test_a_photo_without_an_answer_has_a_row_that_says_so(service, s3, grey_model):
    service.loses = "00003.jsonl"
    night = Night(s3, grey_model)
    work = night.count()
    assert (work.objects, work.failed, night.done) == (100, 4, 100)
    rows = counts_in(s3)
    assert len(rows) == 100
    lost = rows[rows["try_again"]]
    assert list(lost["image_key"]) == [f"bin-images/{number:05d}.jpg" for number in range(96, 100)]
    assert night.complaints == dict(zip(lost["image_key"], lost["reason"], strict=True))
    assert "gave no answer" in lost["reason"].iloc[0]


def test_counts_of_another_model_are_refused(service, s3, grey_model, tmp_path):
    write_grey_model(tmp_path / "other.onnx", version="other")
    service.container["RECONCILE_MODEL"] = str(tmp_path / "other.onnx")
    service.may_end.clear()
    with pytest.raises(ReconcileError, match=r"the container counted with the model other-.* was to count with grey-"):
        Night(s3, grey_model).count()
    assert not list((s3.root / "results").rglob("*.parquet"))
    service.wait()
    assert service.jobs[0].transform_job_status == "Stopped"
    assert left_in(s3) == []


def test_who_does_not_wait_for_a_refused_job_to_end_is_told_how_to_stop_it(
    service, s3, grey_model, tmp_path, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    write_grey_model(tmp_path / "other.onnx", version="other")
    service.container["RECONCILE_MODEL"] = str(tmp_path / "other.onnx")
    service.may_end.clear()
    night = Night(s3, grey_model)
    stop = SageMaker.stop
    monkeypatch.setattr(SageMaker, "stop", interrupt)
    with pytest.raises(Interrupted):
        night.count()
    monkeypatch.setattr(SageMaker, "stop", stop)
    told = night.log.getvalue()
    assert "the container counted with the model other-" in told
    assert "this stops it: aws sagemaker stop-transform-job --transform-job-name reconcile-" in told
    with pytest.raises(ReconcileError, match="the container counted with the model other-"):
        Night(s3, grey_model).resume()
    service.wait()
    assert left_in(s3) == []


def test_a_job_of_another_model_that_has_ended_is_refused_once(service, s3, grey_model, tmp_path, monkeypatch):
    write_grey_model(tmp_path / "other.onnx", version="other")
    service.container["RECONCILE_MODEL"] = str(tmp_path / "other.onnx")
    end_as_the_job_begins(Night(s3, grey_model), monkeypatch, keys=("bin-images/00000.jpg",))
    service.wait()
    night = Night(s3, grey_model)
    with pytest.raises(ReconcileError, match="the container counted with the model other-"):
        night.resume()
    assert "stop" not in night.log.getvalue()
    assert left_in(s3) == []
    assert service.models == []
    night.resume()


def test_a_job_of_another_model_is_brought_in_for_that_model_once_it_has_ended(
    service, s3, grey_model, tmp_path, monkeypatch
):
    service.may_work.clear()
    first, keys = Night(s3, grey_model), ("bin-images/00000.jpg", "bin-images/00001.jpg")
    end_as_the_job_begins(first, monkeypatch, keys)
    upgraded = Night(s3, write_grey_model(tmp_path / "new.onnx", version="new"))
    upgraded.resume()
    theirs = first.engine.model.model_id
    assert f"{service.jobs[0].transform_job_name} still counts with another model, {theirs}" in upgraded.log.getvalue()
    assert left_in(s3) != []
    service.may_work.set()
    service.wait()
    upgraded.resume()
    assert left_in(s3) == []
    assert service.models == []
    assert list(counts_in(s3)["image_key"]) == list(keys)
    assert [path.name for path in (s3.root / "results" / "nightly" / "counts").iterdir()] == [theirs]


def test_jobs_of_others_are_left_alone_and_what_never_became_one_is_removed(service, s3, grey_model):
    folder = s3.root / "results" / "nightly" / "transform"
    night = Night(s3, grey_model)
    job = {"model_id": night.engine.model.model_id, "region": REGION, "images": 1, "shards": 1}
    for name, state in {
        "reconcile-another-bucket": {**job, "bucket": "s3://elsewhere"},
        "reconcile-another-region": {**job, "bucket": "s3://warehouse", "region": "eu-west-1"},
        "reconcile-never-asked-for": {**job, "bucket": "s3://warehouse"},
        "reconcile-killed-while-writing": None,
    }.items():
        night.output.bucket.put(f"transform/{name}/keys/00000.jsonl", b"{}\n")
        if state is not None:
            night.output.bucket.put(f"transform/{name}/job.json", json.dumps({"name": name, **state}).encode())
    night.resume()
    assert {path.parts[len(folder.parts)] for path in left_in(s3)} == {
        "reconcile-another-bucket",
        "reconcile-another-region",
    }
    assert "reconcile-another-bucket counts s3://elsewhere with model grey-" in night.log.getvalue()
    assert service.jobs == []


def test_a_job_that_cannot_be_created_leaves_nothing(service, s3, grey_model, tmp_path):
    options = tmp_path / "options.json"
    options.write_text('{"CreateTransformJob": {"MaxPayload": 6}}')
    with pytest.raises(ReconcileError, match=r"CreateTransformJob cannot be asked for like this: .*MaxPayload"):
        Night(s3, grey_model, sagemaker_options=options).count()
    assert left_in(s3) == []
    assert service.models == []


def test_an_error_after_which_nobody_knows_of_a_job_is_told_with_how_to_stop_it(service, s3, grey_model, monkeypatch):
    def refuse(why):
        def call(*_):
            raise ReconcileError(why)

        return call

    monkeypatch.setattr(SageMaker, "create", refuse("CreateModel: no answer"))
    monkeypatch.setattr(SageMaker, "describe", refuse("DescribeTransformJob: no answer either"))
    night = Night(s3, grey_model)
    with pytest.raises(ReconcileError, match="CreateModel: no answer"):
        night.count(("bin-images/00000.jpg",))
    assert "it may be that transform job reconcile-" in night.log.getvalue()
    assert "aws sagemaker stop-transform-job" in night.log.getvalue()
    assert len(left_in(s3)) == 2  # by which the next run finds it, if there is one


def test_nothing_to_count_is_no_job(service, s3, grey_model):
    assert Night(s3, grey_model).count(keys=()).objects == 0
    assert service.jobs == []


def test_a_run_that_ends_as_its_job_begins_does_not_lose_it(service, s3, grey_model, monkeypatch):
    first = Night(s3, grey_model)
    end_as_the_job_begins(first, monkeypatch)
    assert "goes on at SageMaker" in first.log.getvalue()
    Night(s3, grey_model).resume()
    assert is_right(counts_in(s3))
    assert len(service.jobs) == 1


def end_as_the_job_begins(night, monkeypatch, keys=None):
    """Ctrl-C, as soon as there is a job."""
    create = SageMaker.create

    def create_and_die(sagemaker, what, request):
        create(sagemaker, what, request)
        if what == "TransformJob":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SageMaker, "create", create_and_die)
        with pytest.raises(Interrupted):
            night.count(keys)
