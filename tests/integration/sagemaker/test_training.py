"""`reconcile sagemaker train`: moto keeps the books, and its jobs end as the tests say."""

import io
import signal
import subprocess
import tarfile
import urllib.request
from urllib.parse import urlsplit

import pytest
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from reconcile.cli import app
from reconcile.concurrency import cancellation
from reconcile.config import load_settings
from reconcile.engines.sagemaker.client import SageMaker
from reconcile.errors import ReconcileError, UsageError
from reconcile.inference.model import read_model
from reconcile.logs import RunLog
from reconcile.training.recipe import read_recipe
from reconcile.training.sagemaker_job import train_on_sagemaker
from tests.conftest import SCRIPTS, reconcile, write_grey_model
from tests.integration.sagemaker.transform_stand_in import ACCOUNT, REGION, client, write_log

RECIPE = """version = "ours-1"
start_from = "../start/grey.onnx"
[[stages]]
size = 64
epochs = 1
learning_rate = 1e-3
"""


class TrainingService:
    """One account's training jobs: requests that came, and the state that new jobs are in."""

    def __init__(self, moto_url):
        self.moto_url, self.asked = moto_url, []
        self.end = lambda job: None
        """What becomes of a new job; moto has it completed."""

    @property
    def jobs(self):
        return list(sagemaker_backends[ACCOUNT][REGION].training_jobs.values())

    def install(self, patch):
        answer, create = SageMakerResponse.create_training_job, SageMakerModelBackend.create_training_job

        def create_training_job(response):
            self.asked.append(dict(response._get_params()))
            return answer(response)

        def begin(backend, **asked):
            job = create(backend, **asked)
            self.end(job)
            return job

        patch.setattr(SageMakerResponse, "create_training_job", create_training_job)
        patch.setattr(SageMakerModelBackend, "create_training_job", begin)


@pytest.fixture
def service(s3, moto_server, monkeypatch):
    urllib.request.urlopen(urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")).close()
    (s3.root / "results").mkdir()
    (s3.root / "photos" / "labelled").mkdir(parents=True)
    (s3.root / "photos" / "labelled" / "0.jpg").write_bytes(b"a photo")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", moto_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", moto_server)
    service = TrainingService(moto_server)
    service.install(monkeypatch)
    return service


@pytest.fixture
def command(s3, tmp_path):
    for folder in ("recipes", "start"):
        (tmp_path / folder).mkdir()
    write_grey_model(tmp_path / "start" / "grey.onnx")
    (tmp_path / "recipes" / "ours.toml").write_text(RECIPE)
    return (
        "sagemaker", "train", "--data", "s3://photos/labelled", "--recipe", tmp_path / "recipes" / "ours.toml",
        "--out", "s3://results/training", "--image-uri", "1.dkr.ecr.us-east-1.amazonaws.com/reconcile:1",
        "--role", "arn:aws:iam::1:role/reconcile", "--instance-type", "ml.g5.xlarge", "--region", REGION,
        "--endpoint-url", s3.endpoint_url,
    )  # fmt: skip


def put_artefact(job, s3, tmp_path):
    """What the container leaves in SM_MODEL_DIR, as SageMaker packs it."""
    write_grey_model(tmp_path / "bin-counter-int8.onnx", version="trained")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "bin-counter-int8.onnx", "bin-counter-int8.onnx")
    place = urlsplit(job.model_artifacts["S3ModelArtifacts"])
    client("s3", s3.endpoint_url).upload_file(str(tmp_path / "model.tar.gz"), place.netloc, place.path.lstrip("/"))


def test_interrupted_it_finds_its_job_again_and_brings_the_model(service, s3, command, tmp_path):
    service.end = lambda job: setattr(job, "training_job_status", "InProgress")
    run = subprocess.Popen([SCRIPTS / "reconcile", *map(str, command)], stderr=subprocess.PIPE, text=True)
    said = []
    for line in run.stderr:
        said.append(line)
        if "InProgress" in line:
            run.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert "aws sagemaker stop-training-job --training-job-name reconcile-" in "".join(said)

    [asked], [job] = service.asked, service.jobs
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in asked["InputDataConfig"]}
    assert channels.keys() == {"train", "recipe"}
    assert channels["train"] == "s3://photos/labelled/"
    for channel in channels:
        assert asked["Environment"][f"SM_CHANNEL_{channel.upper()}"] == f"/opt/ml/input/data/{channel}"
    assert asked["CheckpointConfig"]["S3Uri"].startswith("s3://results/training/checkpoints/")
    sent = s3.root / channels["recipe"].removeprefix("s3://")
    recipe = read_recipe(sent / "recipe.toml")
    assert recipe.version == "ours-1"
    assert read_model(sent / recipe.start_from).card.version == "grey"

    job.training_job_status = "Completed"
    put_artefact(job, s3, tmp_path)
    done = reconcile(*command, "--bring-to", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    assert "is taken up again" in done.stderr
    assert done.stdout.strip() == job.model_artifacts["S3ModelArtifacts"]
    assert read_model(tmp_path / "models" / "bin-counter-int8.onnx").card.version == "trained"
    assert len(service.jobs) == 1


def put_photo(s3, name, content):
    """In the bucket, as its listing shows at once."""
    client("s3", s3.endpoint_url).put_object(Bucket="photos", Key=f"labelled/{name}", Body=content)


def train(s3, recipe, data="s3://photos/labelled", log=None):
    """The same command in this process."""
    flags = {
        "out": "s3://results/training",
        "image_uri": "1.dkr.ecr.us-east-1.amazonaws.com/reconcile:1",
        "role": "arn:aws:iam::1:role/reconcile",
        "instance_type": "ml.g5.xlarge",
        "region": REGION,
        "endpoint_url": s3.endpoint_url,
    }
    messages = RunLog("text", None, log or io.StringIO())
    settings = load_settings(flags, flags_only=True, need_bucket=False)
    return train_on_sagemaker(data, None, recipe, settings, None, messages)


def test_why_it_failed_is_told_and_the_next_job_goes_on_from_its_checkpoints(service, s3, command, tmp_path):
    def fail(job):
        job.training_job_status, job.failure_reason = "Failed", "AlgorithmError: exit code 1"
        write_log(service.moto_url, "/aws/sagemaker/TrainingJobs", f"{job.training_job_name}/algo-1", "no photos there")

    service.end = fail
    recipe = tmp_path / "recipes" / "ours.toml"
    for photo in ("0.jpg", "0.jpg", "1.jpg"):
        put_photo(s3, photo, b"a photo")
        with pytest.raises(ReconcileError, match=r"AlgorithmError: exit code 1; CloudWatch has .*: no photos there; "):
            train(s3, recipe)
    first, same, with_another_photo = (asked["CheckpointConfig"]["S3Uri"] for asked in service.asked)
    assert first == same != with_another_photo
    assert len({asked["TrainingJobName"] for asked in service.asked}) == 3


def test_only_the_same_training_takes_up_a_job(service, s3, command, tmp_path, monkeypatch):
    recipe = tmp_path / "recipes" / "ours.toml"
    train(s3, recipe)
    train(s3, recipe)
    assert len(service.jobs) == 1
    [job] = service.jobs
    recipe.write_text(RECIPE.replace("ours-1", "ours-2"))
    job.training_job_status = "InProgress"
    with pytest.raises(ReconcileError, match="is at work in s3://results/training, on another recipe or other photos"):
        train(s3, recipe)
    job.training_job_status = "Completed"
    train(s3, recipe)
    assert len(service.jobs) == 2
    # Another photo makes it another training, and so do other bytes of one that was there.
    for photo in (b"another", b"another one"):
        put_photo(s3, "1.jpg", photo)
        train(s3, recipe)
    assert len(service.jobs) == len({asked["CheckpointConfig"]["S3Uri"] for asked in service.asked}) == 4
    # One that is being stopped still writes the checkpoints from which the next goes on.
    job = service.jobs[-1]
    job.training_job_status = "Stopping"
    monkeypatch.setattr(cancellation, "sleep", lambda _: setattr(job, "training_job_status", "Stopped"))
    train(s3, recipe)
    assert job.training_job_status == "Stopped"
    assert len(service.jobs) == 5
    assert service.asked[-1]["CheckpointConfig"] == service.asked[-2]["CheckpointConfig"]


def test_interrupted_as_the_job_begins_it_tells_how_to_stop_it(service, s3, command, tmp_path, monkeypatch):
    create, log = SageMaker.create, io.StringIO()

    def create_and_die(*asked):
        create(*asked)
        raise KeyboardInterrupt

    monkeypatch.setattr(SageMaker, "create", create_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(s3, tmp_path / "recipes" / "ours.toml", log=log)
    [job] = service.jobs
    assert f"aws sagemaker stop-training-job --training-job-name {job.training_job_name}" in log.getvalue()


def test_photos_that_are_not_there_or_hold_the_output_are_no_job(service, s3, command, tmp_path):
    recipe = tmp_path / "recipes" / "ours.toml"
    with pytest.raises(ReconcileError, match="there is nothing in s3://photos/nowhere"):
        train(s3, recipe, data="s3://photos/nowhere")
    with pytest.raises(UsageError, match="--out lies in --data"):
        train(s3, recipe, data="s3://results")
    assert service.jobs == []


def test_the_container_trains_after_the_recipe_that_was_sent(tmp_path, monkeypatch):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "recipe.toml").write_text("version = ")
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("SM_CHANNEL_RECIPE", str(tmp_path / "recipe"))
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(tmp_path / "photos"))
    with pytest.raises(UsageError, match=r"recipe/recipe\.toml is no TOML"):
        app(["train"], standalone_mode=False)
