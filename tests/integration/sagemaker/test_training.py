"""Tests of `reconcile sagemaker train`. moto simulates the API, and the tests set the state of the jobs."""

import io
import signal
import subprocess
import tarfile
import urllib.request
from urllib.parse import urlsplit

import pytest
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from reconcile.cli.commands import app
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
    """The training jobs of one account: the requests that arrived, and the state of new jobs."""

    def __init__(self, moto_url):
        self.moto_url, self.requests = moto_url, []
        self.on_create = lambda job: None
        """Called with each new job, which is Completed by default."""

    @property
    def jobs(self):
        return list(sagemaker_backends[ACCOUNT][REGION].training_jobs.values())

    def install(self, patch):
        respond, create = SageMakerResponse.create_training_job, SageMakerModelBackend.create_training_job

        def create_training_job(response):
            self.requests.append(dict(response._get_params()))
            return respond(response)

        def create_job(backend, **request):
            job = create(backend, **request)
            self.on_create(job)
            return job

        patch.setattr(SageMakerResponse, "create_training_job", create_training_job)
        patch.setattr(SageMakerModelBackend, "create_training_job", create_job)


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


def upload_trained_model(job, s3, tmp_path):
    """Upload the content of SM_MODEL_DIR as SageMaker packs it."""
    write_grey_model(tmp_path / "bin-counter-int8.onnx", version="trained")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "bin-counter-int8.onnx", "bin-counter-int8.onnx")
    url = urlsplit(job.model_artifacts["S3ModelArtifacts"])
    client("s3", s3.endpoint_url).upload_file(str(tmp_path / "model.tar.gz"), url.netloc, url.path.lstrip("/"))


def test_interrupted_command_resumes_and_downloads_the_model(service, s3, command, tmp_path):
    service.on_create = lambda job: setattr(job, "training_job_status", "InProgress")
    run = subprocess.Popen([SCRIPTS / "reconcile", *map(str, command)], stderr=subprocess.PIPE, text=True)
    lines = []
    for line in run.stderr:
        lines.append(line)
        if "InProgress" in line:
            run.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert "aws sagemaker stop-training-job --training-job-name reconcile-" in "".join(lines)

    [request], [job] = service.requests, service.jobs
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in request["InputDataConfig"]}
    assert channels.keys() == {"train", "recipe"}
    assert channels["train"] == "s3://photos/labelled/"
    for channel in channels:
        assert request["Environment"][f"SM_CHANNEL_{channel.upper()}"] == f"/opt/ml/input/data/{channel}"
    assert request["CheckpointConfig"]["S3Uri"].startswith("s3://results/training/checkpoints/")
    sent = s3.root / channels["recipe"].removeprefix("s3://")
    recipe = read_recipe(sent / "recipe.toml")
    assert recipe.version == "ours-1"
    assert read_model(sent / recipe.start_from).card.version == "grey"

    job.training_job_status = "Completed"
    upload_trained_model(job, s3, tmp_path)
    done = reconcile(*command, "--bring-to", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    assert "resuming training job reconcile-" in done.stderr
    assert done.stdout.strip() == job.model_artifacts["S3ModelArtifacts"]
    assert read_model(tmp_path / "models" / "bin-counter-int8.onnx").card.version == "trained"
    assert len(service.jobs) == 1


def put_photo(s3, name, content):
    """Upload a photo, so that the next listing has it."""
    client("s3", s3.endpoint_url).put_object(Bucket="photos", Key=f"labelled/{name}", Body=content)


def train(s3, recipe, data="s3://photos/labelled", log=None):
    """Run the command in this process."""
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


def test_failed_job_gives_its_reason_and_checkpoints(service, s3, command, tmp_path):
    def fail(job):
        job.training_job_status, job.failure_reason = "Failed", "AlgorithmError: exit code 1"
        write_log(service.moto_url, "/aws/sagemaker/TrainingJobs", f"{job.training_job_name}/algo-1", "no photos there")

    service.on_create = fail
    recipe = tmp_path / "recipes" / "ours.toml"
    for photo in ("0.jpg", "0.jpg", "1.jpg"):
        put_photo(s3, photo, b"a photo")
        with pytest.raises(
            ReconcileError, match=r"AlgorithmError: exit code 1; its log in CloudWatch .* ends with: no photos there; "
        ):
            train(s3, recipe)
    first, same, with_another_photo = (request["CheckpointConfig"]["S3Uri"] for request in service.requests)
    assert first == same != with_another_photo
    assert len({request["TrainingJobName"] for request in service.requests}) == 3


def test_only_the_same_training_resumes_a_job(service, s3, command, tmp_path, monkeypatch):
    recipe = tmp_path / "recipes" / "ours.toml"
    train(s3, recipe)
    train(s3, recipe)
    assert len(service.jobs) == 1
    [job] = service.jobs
    recipe.write_text(RECIPE.replace("ours-1", "ours-2"))
    job.training_job_status = "InProgress"
    with pytest.raises(ReconcileError, match="is running in s3://results/training with another recipe or other photos"):
        train(s3, recipe)
    job.training_job_status = "Completed"
    train(s3, recipe)
    assert len(service.jobs) == 2
    # A new photo makes it another training, and so does a photo with other bytes.
    for photo in (b"another", b"another one"):
        put_photo(s3, "1.jpg", photo)
        train(s3, recipe)
    assert len(service.jobs) == len({request["CheckpointConfig"]["S3Uri"] for request in service.requests}) == 4
    # A stopping job still writes the checkpoints from which the next job continues.
    job = service.jobs[-1]
    job.training_job_status = "Stopping"
    monkeypatch.setattr(cancellation, "sleep", lambda _: setattr(job, "training_job_status", "Stopped"))
    train(s3, recipe)
    assert job.training_job_status == "Stopped"
    assert len(service.jobs) == 5
    assert service.requests[-1]["CheckpointConfig"] == service.requests[-2]["CheckpointConfig"]


def test_interruption_after_creation_logs_how_to_stop_the_job(service, s3, command, tmp_path, monkeypatch):
    create, log = SageMaker.create, io.StringIO()

    def create_and_interrupt(*arguments):
        create(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(SageMaker, "create", create_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(s3, tmp_path / "recipes" / "ours.toml", log=log)
    [job] = service.jobs
    assert f"aws sagemaker stop-training-job --training-job-name {job.training_job_name}" in log.getvalue()


def test_missing_photos_or_output_among_them_create_no_job(service, s3, command, tmp_path):
    recipe = tmp_path / "recipes" / "ours.toml"
    with pytest.raises(ReconcileError, match="s3://photos/nowhere is empty"):
        train(s3, recipe, data="s3://photos/nowhere")
    with pytest.raises(UsageError, match="--out is inside --data"):
        train(s3, recipe, data="s3://results")
    assert service.jobs == []


def test_container_trains_with_the_sent_recipe(tmp_path, monkeypatch):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "recipe.toml").write_text("version = ")
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("SM_CHANNEL_RECIPE", str(tmp_path / "recipe"))
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(tmp_path / "photos"))
    with pytest.raises(UsageError, match=r"recipe/recipe\.toml is not valid TOML"):
        app(["train"], standalone_mode=False)
