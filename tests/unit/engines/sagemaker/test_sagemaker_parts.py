"""Parts of the SageMaker engine that need no server."""

import io
import json
import tarfile
from datetime import UTC, datetime

import pytest
from botocore.stub import Stubber

from reconcile.config import load_settings
from reconcile.engines.open import open_engine
from reconcile.engines.sagemaker import job_requests
from reconcile.engines.sagemaker.client import JobKind, SageMaker
from reconcile.engines.sagemaker.job_store import TransformFolder
from reconcile.engines.sagemaker.model_archive import unpack_models, upload_model
from reconcile.engines.sagemaker.responses import NO_RESPONSE, rows_of_shard
from reconcile.engines.sagemaker.shards import images_per_shard, write_shards
from reconcile.errors import ReconcileError, UsageError
from reconcile.inference.model import read_model
from reconcile.inputs.key_files import UNKNOWN_SIZE
from reconcile.logs import RunLog
from reconcile.output.store import Output
from reconcile.serving.requests import RequestLine, parse_request_lines
from reconcile.storage.base import S3Access, StoredObject
from reconcile.storage.open import open_bucket

GOOD = {
    "engine": "sagemaker",
    "bucket": "bins",
    "out": "s3://results/nightly",
    "image_uri": "1.dkr.ecr.us-east-1.amazonaws.com/reconcile:1",
    "role": "arn:aws:iam::1:role/reconcile",
    "instance_type": "ml.c5.xlarge",
    "region": "us-east-1",
}


def opened(**changes):
    return open_engine(load_settings(GOOD | changes, flags_only=True), RunLog("text"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_uri": None, "role": None}, "^SageMaker needs --image-uri, --role "),
        ({"role": "reconcile"}, "--role is the ARN"),
        ({"out": "nightly"}, "--out has to be s3://"),
        ({"bucket": "./photos"}, "is the folder ./photos"),
        ({"region": None}, "^SageMaker needs a region"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_done(changes, message, grey_model):
    with pytest.raises(UsageError, match=message):
        opened(model=grey_model, **changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "no object of objects"),
        ('{"CreateEndpoint": {}}', "has 'CreateEndpoint'; there is CreateModel"),
        ('{"CreateTransformJob": {"TransformOutput": {"S3OutputPath": "s3://x"}}}', "S3OutputPath is reconcile's own"),
    ],
)
def test_options_that_cannot_be_are_refused(text, message, tmp_path, grey_model):
    path = tmp_path / "options.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        opened(model=grey_model, sagemaker_options=path)


def test_options_are_merged_into_the_request(tmp_path):
    path = tmp_path / "options.json"
    added = {"TransformOutput": {"KmsKeyId": "k"}, "ModelClientConfig": {"InvocationsMaxRetries": 0}}
    path.write_text(json.dumps({"CreateTransformJob": added}))
    machines = job_requests.job_resources(load_settings(GOOD | {"sagemaker_options": path}, flags_only=True))
    asked = job_requests.create_transform_job(
        TransformFolder(Output(open_bucket("./", None, create=True)), "n"), machines
    )
    assert asked["TransformOutput"]["KmsKeyId"] == "k"
    assert asked["TransformOutput"]["AssembleWith"] == "Line"
    assert asked["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 0}


@pytest.mark.parametrize(("instance", "precision"), [("ml.g4dn.xlarge", "fp16"), ("ml.c5.xlarge", "int8")])
def test_the_shipped_model_that_suits_the_instances_is_taken(instance, precision):
    assert opened(instance_type=instance).model.path.name == f"bin-counter-{precision}.onnx"


def test_the_container_is_told_how_to_reach_the_photos(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.here:9000")
    settings = load_settings(GOOD | {"no_sign_request": True, "profile": "night", "device": "cuda"}, flags_only=True)
    bucket = open_bucket("bins", S3Access(no_sign_request=True))
    assert job_requests.environment_of_server(settings, bucket, "eu-west-1") == {
        "RECONCILE_BUCKET": "s3://bins",
        "RECONCILE_ENDPOINT_URL": "http://s3.here:9000",
        "RECONCILE_REGION": "eu-west-1",
        "RECONCILE_NO_SIGN_REQUEST": "true",
        "RECONCILE_DEVICE": "cuda",
    }


@pytest.mark.parametrize(
    ("images", "instances", "size"), [(10, 1, 32), (1401, 1, 176), (1401, 2, 88), (5_000_000, 20, 8192)]
)
def test_every_instance_has_several_shards_and_none_is_tiny(images, instances, size):
    assert images_per_shard(images, instances) == size


def test_keys_come_back_from_shards_as_they_were(tmp_path):
    folder = TransformFolder(Output(open_bucket(str(tmp_path), None)), "job")
    now = datetime.now(UTC)
    images = [StoredObject(f"bin-images/{name}.jpg", 7, f"e{name}", now) for name in ('a"b', "ü", "line\nbreak")]
    assert write_shards(images, 2, folder) == 2
    lines = (folder.read_shard(0) + folder.read_shard(1)).splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == [(i.key, i.etag, i.size) for i in images]


def test_the_server_takes_a_key_whose_size_is_not_known(tmp_path):
    folder = TransformFolder(Output(open_bucket(str(tmp_path), None)), "job")
    write_shards([StoredObject("a.jpg", UNKNOWN_SIZE, "e", datetime.now(UTC))], 1, folder)
    assert list(parse_request_lines(io.BytesIO(folder.read_shard(0)))) == [
        RequestLine(key="a.jpg", etag="e", size=None)
    ]


def answer(key, model_id, **changes):
    shares = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    row = {"image_key": key, "etag": "e", "predicted_label": "2", "predicted_count": 2, "probabilities": shares}
    row |= {"reason": None, "try_again": False, "counted_at": "2026-11-24T02:15:00+00:00", "model_id": model_id}
    return json.dumps(row | changes).encode() + b"\n"


def test_each_key_of_a_shard_becomes_one_row_whatever_the_answer(grey_model):
    model = read_model(grey_model)
    keys = b"".join(json.dumps({"key": key, "etag": "e"}).encode() + b"\n" for key in "abcdefg")
    unknown = {"predicted_label": None, "predicted_count": None, "probabilities": None}
    answers = b"\n".join(
        [
            answer("b", model.model_id),  # in another order, and with blank lines between
            answer("a", model.model_id, etag="another"),
            answer("c", model.model_id, **unknown, reason="broken"),
            answer("d", model.model_id, **unknown),
            answer("e", model.model_id, probabilities=[1.0]),
            answer("f", model.model_id)[:-40],  # cut off
            answer("g", model.model_id, probabilities=[2.0] * 7),
            answer("z", model.model_id),
            b"null\n[]\n\xff\n",
        ]
    )
    labels = model.card.labels.names
    rows = rows_of_shard(keys, answers, model.model_id, labels)
    assert [row["image_key"] for row in rows] == list("abcdefg")
    assert [row["reason"] for row in rows] == [NO_RESPONSE, None, "broken", *[NO_RESPONSE] * 4]
    assert [row["try_again"] for row in rows] == [True, False, False, *[True] * 4]
    assert rows[1]["predicted_count"] == 2
    with pytest.raises(ReconcileError, match="counted with the model other-1"):
        rows_of_shard(keys, answers + answer("a", "other-1"), model.model_id, labels)


def test_a_model_is_sent_once_and_is_whole(tmp_path, grey_model):
    output, model = Output(open_bucket(str(tmp_path / "out"), None, create=True)), read_model(grey_model)
    url = upload_model(model, output)
    written = (tmp_path / "out" / "transform" / "models" / model.model_id / "model.tar.gz").stat().st_mtime_ns
    assert upload_model(model, output) == url
    archive = tmp_path / "out" / "transform" / "models" / model.model_id / "model.tar.gz"
    assert archive.stat().st_mtime_ns == written
    [path] = unpack_models(archive.read_bytes(), tmp_path / "back")
    assert read_model(path).model_id == model.model_id


def test_an_archive_puts_nothing_elsewhere(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("../outside.onnx")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(ReconcileError, match="cannot be unpacked"):
        unpack_models(packed.getvalue(), tmp_path / "inside")
    assert not (tmp_path / "outside.onnx").exists()


@pytest.fixture
def service():
    """SageMaker, and what it is to answer."""
    service = SageMaker(load_settings(GOOD, flags_only=True))
    with Stubber(service._sagemaker) as stub:
        yield service, stub


def test_a_missing_permission_is_named(service):
    sagemaker, stub = service
    text = (
        "User: arn:aws:iam::1:user/cron is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/x"
    )
    stub.add_client_error("create_model", "AccessDeniedException", text)
    request = {"ModelName": "m", "ExecutionRoleArn": "arn:aws:iam::1:role/reconcile"}
    with pytest.raises(ReconcileError, match=r"SageMaker refuses CreateModel: the permission iam:PassRole is missing"):
        sagemaker.create("Model", request)


def test_an_s3_server_in_its_place_is_told_in_one_line(service):
    sagemaker, stub = service
    xml = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidArgument</Code></Error>'
    stub.add_client_error("describe_transform_job", "400", xml)
    with pytest.raises(ReconcileError, match=r"no SageMaker, .* set AWS_ENDPOINT_URL_S3 instead") as error:
        sagemaker.describe(JobKind.TRANSFORM, "reconcile-1")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ResourceInUse", "Job name must be unique"),
        ("ValidationException", 'Cannot create already existing model "arn:x"'),
    ],
)
def test_what_was_created_already_is_taken_for_created(service, code, text):
    sagemaker, stub = service
    stub.add_client_error("create_model", code, text)
    sagemaker.create("Model", {"ModelName": "m"})
    stub.assert_no_pending_responses()


def test_a_job_that_ends_before_it_is_stopped_is_as_wanted(service):
    sagemaker, stub = service
    text = "The request was rejected because the transform job is in status {}."
    stub.add_client_error("describe_transform_job", "ResourceNotFound", "")
    sagemaker.stop(JobKind.TRANSFORM, "j")
    for code in ("ValidationException", "AccessDeniedException"):
        stub.add_response("describe_transform_job", described("InProgress"))
        stub.add_client_error("stop_transform_job", code, text.format("Completed"))
    sagemaker.stop(JobKind.TRANSFORM, "j")
    with pytest.raises(ReconcileError, match="refuses StopTransformJob"):
        sagemaker.stop(JobKind.TRANSFORM, "j")


def described(status):
    """A transform job."""
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


def test_a_job_that_is_not_there_is_none_and_any_other_refusal_an_error(service):
    sagemaker, stub = service
    stub.add_client_error("describe_transform_job", "ResourceNotFound", "")
    stub.add_client_error("describe_transform_job", "ValidationException", "Could not find requested job with name: j")
    stub.add_client_error("describe_transform_job", "ValidationException", "Requested resource not found.")
    stub.add_client_error("describe_training_job", "ValidationException", "Requested resource not found.")
    stub.add_client_error("describe_transform_job", "ThrottlingException", "Rate exceeded")
    for kind in (JobKind.TRANSFORM, JobKind.TRANSFORM, JobKind.TRANSFORM, JobKind.TRAINING):
        assert sagemaker.describe(kind, "j") is None
    with pytest.raises(ReconcileError, match="refuses DescribeTransformJob: Rate exceeded"):
        sagemaker.describe(JobKind.TRANSFORM, "j")
