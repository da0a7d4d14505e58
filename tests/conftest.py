"""Fixtures and helpers of all tests: an S3 server, a model that counts grey tones, and photos for that model."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from reconcile.images import PREPROCESSING
from reconcile.inference.model import ModelCard
from reconcile.labels import CountLabels
from reconcile.storage.base import S3Access
from tests.forked import run_forked
from tests.process_log import wait_for

# Several tests run at the same time, so each gets one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

LABELS = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))
ACCESS_KEY, SECRET_KEY = "TESTACCESSKEY00", "test-secret-key-that-is-long"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "abid"
SCRIPTS = Path(sys.executable).parent

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO has no wheel for this machine")
needs_abid = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the photos of the Amazon Bin Image Dataset are not in {SHARED}"
)


# One process runs all tests of a file, because these share a server or a run. The longest files start first, so that
# no process has to wait for them at the end.
LONGEST_FIRST = [
    "integration/training/test_elsewhere.py",
    "integration/training/test_export.py",
    "integration/runs/test_real_photos.py",
    "integration/recounting/test_durability.py",
    "browser/test_recount.py",
    "integration/training/test_training.py",
    "browser/test_report.py",
    "browser/test_evaluation.py",
    "integration/runs/test_run.py",
    "integration/evaluation/test_model_card.py",
    "browser/test_report_command.py",
    "integration/sagemaker/test_runs.py",
    "integration/engines/test_ray.py",
    "integration/verdicts/test_recounting.py",
    "browser/test_queue_table.py",
    "integration/runs/test_full_disk.py",
    "integration/s3_faults/test_reading.py",
    "integration/runs/test_killed.py",
    "browser/test_report_lead.py",
    "integration/evaluation/test_evaluate.py",
    "browser/test_report_size.py",
    "browser/test_marks.py",
    "integration/output/test_lock.py",
    "integration/serving/test_keys.py",
    "integration/runs/test_exit_codes.py",
    "unit/inference/test_openvino_cpu.py",
    "unit/evaluation/planted/test_benchmark.py",
    "integration/runs/test_many_records.py",
]


def pytest_collection_modifyitems(items):
    """Put the longest files first, and keep the order of the others."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """Hide the settings of the person who runs the tests, and give each test a working directory of its own."""
    for name in list(os.environ):
        if name.startswith(("RECONCILE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


def grey_photo(count: int, size: tuple[int, int] = (64, 48), comment: str = "") -> bytes:
    """Return a JPEG in which `grey_model` counts `count` items (6 is six or more).

    It has one grey tone and two stripes, one lighter and one darker, because a photo of one tone is blank. Photos with
    different comments have different bytes.
    """
    width, height = size
    photo = Image.new("RGB", size, (40 * count,) * 3)
    for position, change in ((width // 4, 15), (width // 2, -15)):
        tone = max(40 * count + change, 0)
        photo.paste((tone,) * 3, (position, 0, position + width // 16, height))
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=95, comment=comment.encode())
    return buffer.getvalue()


def abid_record(quantity: object, **items: int) -> bytes:
    """Return a record in the form of the Amazon Bin Image Dataset; `items` maps ASINs to quantities."""
    described = {
        asin: {"asin": asin, "name": f"name of {asin}", "quantity": number, "weight": {"unit": "pounds", "value": 0.5}}
        for asin, number in items.items()
    }
    return json.dumps({"BIN_FCSKU_DATA": described, "EXPECTED_QUANTITY": quantity}).encode()


@pytest.fixture(scope="session")
def grey_model(tmp_path_factory) -> Path:
    """Return an ONNX file that counts grey tones. The count is the mean pixel divided by 40, rounded."""
    path = tmp_path_factory.mktemp("model") / "grey.onnx"
    write_grey_model(path)
    return path


def write_grey_model(path: Path, **changes: object) -> None:
    """Write a model that counts grey tones. `changes` replace entries of its card."""
    counts = np.arange(7, dtype=np.float32).reshape(1, 7)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
            helper.make_node("Div", ["column", "forty"], ["count"]),
            helper.make_node("Sub", ["count", "counts"], ["distance"]),
            helper.make_node("Mul", ["distance", "distance"], ["square"]),
            helper.make_node("Mul", ["square", "sharpness"], ["logits"]),
        ],
        "grey",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 7])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
            helper.make_tensor("last", TensorProto.INT64, [1], [1]),
            helper.make_tensor("forty", TensorProto.FLOAT, [1], [40.0]),
            helper.make_tensor("counts", TensorProto.FLOAT, [1, 7], counts.ravel()),
            helper.make_tensor("sharpness", TensorProto.FLOAT, [1], [-4.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    card = {
        "labels": LABELS,
        "input_size": 32,
        "temperature": 1.0,
        "class_prior": (1 / 7,) * 7,
        "version": "grey",
        "data_fingerprint": "none",
        "preprocessing": PREPROCESSING,
    }
    helper.set_model_props(model, ModelCard(**(card | changes)).as_metadata())
    onnx.save(model, path)


def write_bucket(folder: Path, bins: dict[str, tuple[int | None, int | None]]) -> Path:
    """Write a bucket of grey photos and records.

    Args:
        folder: the bucket.
        bins: bin id to (items in the photo, items on record); None for no photo or no record.
    """
    (folder / "bin-images").mkdir(parents=True, exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    for bin_id, (photographed, recorded) in bins.items():
        if photographed is not None:
            (folder / "bin-images" / f"{bin_id}.jpg").write_bytes(grey_photo(photographed, comment=bin_id))
        if recorded is not None:
            (folder / "metadata" / f"{bin_id}.json").write_bytes(abid_record(recorded, B0TEST=recorded))
    return folder


@dataclass
class S3Server:
    """An rclone process that serves the folders of `root` as buckets."""

    root: Path
    endpoint_url: str
    process: subprocess.Popen[bytes]

    def refresh(self) -> None:
        """Make rclone list folders again that a test changed directly. After SIGHUP it soon forgets their contents."""
        self.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)


@pytest.fixture(scope="session")
def start_s3_server(tmp_path_factory):
    """Return a function that starts `rclone serve s3` on a folder. All servers stop after the last test."""
    processes = []

    def start(root: Path) -> S3Server:
        log = tmp_path_factory.mktemp("rclone") / "log"
        command = [SCRIPTS / "rclone", "serve", "s3", root, "--addr", "127.0.0.1:0"]
        command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
        with log.open("w") as file:
            processes.append(subprocess.Popen(command, stderr=file))
        endpoint_url = wait_for(r"\[(http://127\.0\.0\.1:\d+)/\]", log, processes[-1])[1]
        return S3Server(root, endpoint_url, processes[-1])

    yield start
    for process in processes:
        process.terminate()
        process.wait()


@pytest.fixture
def s3(start_s3_server, tmp_path) -> S3Server:
    """Return an S3 server without buckets."""
    root = tmp_path / "s3"
    root.mkdir()
    return start_s3_server(root)


@pytest.fixture(scope="session")
def moto_server():
    """Return the address of moto's S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto(moto_server) -> S3Access:
    """Return access to moto's S3 server, emptied. Unlike rclone, it accepts any key and obeys conditional writes."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")).close()
    return S3Access(endpoint_url=moto_server)


def reconcile(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `reconcile` in a process that is forked and may have run other commands, which is faster than a new one."""
    return run_forked([str(SCRIPTS / "reconcile"), *map(str, arguments)], **options)


def reconcile_from_scratch(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `reconcile` in a new process: each command once, and tests of how a process starts and ends."""
    command = [str(SCRIPTS / "reconcile"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def last_line(log: str) -> str:
    """Return the last line of a log without its time. Every line of a log that is not on a terminal has a time."""
    match = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ (.*)", log.splitlines()[-1])
    assert match, log
    return match[1]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    return path
