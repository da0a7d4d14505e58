"""The count model: what it reads from its file, and which device it is given."""

import sys

import numpy as np
import onnxruntime as ort
import pytest

from reconcile import counter as module
from reconcile.calibration import softmax
from reconcile.counter import choose_device, load_counter
from reconcile.errors import ReconcileError
from reconcile.labels import CountLabels
from tests.conftest import LABELS, write_grey_model


def test_counts_a_batch_of_any_size(grey_model):
    counter = load_counter(grey_model, "cpu", pytest.fail)
    assert (counter.card.labels, counter.card.input_size, counter.provider) == (LABELS, 32, "CPUExecutionProvider")
    for counts in ([3], [0, 1, 2, 3, 4, 5, 6], [5] * 40):
        batch = np.stack([np.full((32, 32, 3), 40 * count, dtype=np.uint8) for count in counts])
        probabilities = counter.count(batch)
        assert probabilities.shape == (len(counts), 7)
        assert probabilities.dtype == np.float32
        assert probabilities.argmax(axis=1).tolist() == counts
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_temperature_of_the_file_is_applied(tmp_path):
    batch = np.full((1, 32, 32, 3), 50, dtype=np.uint8)
    shares = {}
    for temperature in (1.0, 4.0):
        write_grey_model(tmp_path / "model.onnx", temperature=temperature)
        shares[temperature] = load_counter(tmp_path / "model.onnx", "cpu", pytest.fail).count(batch)[0]
    np.testing.assert_allclose(shares[4.0], softmax(np.log(shares[1.0]) / 4), rtol=1e-4)


def test_what_the_network_was_taught_is_undone(tmp_path):
    batch = np.full((1, 32, 32, 3), 80, dtype=np.uint8)
    taught = 0.8 * np.eye(7) + 0.1 * np.eye(7, k=1) + 0.1 * np.eye(7, k=-1)
    taught[0, 0] = taught[6, 6] = 0.9
    shares = {}
    for name, value in (("as it says", None), ("undone", tuple(map(tuple, taught)))):
        write_grey_model(tmp_path / "model.onnx", taught=value, temperature=2.0)
        shares[name] = load_counter(tmp_path / "model.onnx", "cpu", pytest.fail).count(batch)[0]
    assert shares["as it says"][1] > 0.1 > shares["undone"][1]
    assert shares["undone"].argmax() == 2
    assert shares["undone"].sum() == pytest.approx(1)


@pytest.mark.parametrize("taught", [((1.0,),), ((0.5,) * 7,) * 7, "nonsense"])
def test_a_file_with_a_broken_teaching_is_no_model(tmp_path, taught):
    write_grey_model(tmp_path / "model.onnx", taught=taught)
    with pytest.raises(ReconcileError, match="is no count model"):
        load_counter(tmp_path / "model.onnx", "cpu", pytest.fail)


def test_labels_come_from_the_file_alone(tmp_path):
    write_grey_model(tmp_path / "model.onnx", labels=CountLabels(("1", "2", "3", "4", "5", "6", "9")))
    assert load_counter(tmp_path / "model.onnx", "cpu", pytest.fail).card.labels.names[-1] == "9"


def test_the_model_id_names_these_very_weights(tmp_path, grey_model):
    write_grey_model(tmp_path / "same.onnx")
    write_grey_model(tmp_path / "other.onnx", temperature=1.1)
    ids = [
        load_counter(path, "cpu", pytest.fail).model_id
        for path in (grey_model, tmp_path / "same.onnx", tmp_path / "other.onnx")
    ]
    assert ids[0] == ids[1] != ids[2]


def test_one_session_a_core(grey_model, monkeypatch):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert load_counter(grey_model, "cpu", pytest.fail).workers == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no model file"),
        (lambda path: path.write_bytes(b"not a model"), "cannot be loaded"),
        (lambda path: write_grey_model(path, preprocessing="crop-v9"), "prepared by 'crop-v9'"),
        (lambda path: write_grey_model(path, input_size=None), "no count model"),
        (lambda path: write_grey_model(path, temperature=0), "no count model"),
        (lambda path: write_grey_model(path, version="../../evil"), "no count model"),
        (
            lambda path: write_grey_model(path, labels=CountLabels(("0", "1"))),
            "gives 7 numbers an image for its 2 labels",
        ),
        (lambda path: write_grey_model(path, input_size=48), "does not count"),
    ],
)
def test_what_is_no_model_of_ours(tmp_path, make, message):
    make(tmp_path / "model.onnx")
    with pytest.raises(ReconcileError, match=message):
        load_counter(tmp_path / "model.onnx", "cpu", pytest.fail)


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(module, "_has_nvidia_device", lambda: False)
    assert choose_device("auto", pytest.fail) == "cpu"


def test_auto_takes_cuda_where_it_loads(monkeypatch):
    monkeypatch.setattr(module, "_has_nvidia_device", lambda: True)
    monkeypatch.setattr(module, "_missing_library", lambda device: None)
    assert choose_device("auto", pytest.fail) == "cuda"


def test_auto_says_so_when_it_falls_back(monkeypatch):
    said = []
    monkeypatch.setattr(module, "_has_nvidia_device", lambda: True)
    monkeypatch.setattr(module, "_missing_library", lambda device: "libcudnn.so.9 cannot be loaded")
    assert choose_device("auto", said.append) == "cpu"
    assert said == ["counting on the CPU: there is a GPU, but libcudnn.so.9 cannot be loaded"]


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_that_was_asked_for_must_load(monkeypatch, device):
    monkeypatch.setattr(module, "_missing_library", lambda device: "libcublas.so.13 cannot be loaded")
    with pytest.raises(ReconcileError, match=f"--device {device}: libcublas.so.13 cannot be loaded"):
        choose_device(device, pytest.fail)


@pytest.mark.skipif(sys.platform != "linux", reason="onnxruntime-gpu is installed on Linux only")
@pytest.mark.skipif(module._has_nvidia_device(), reason="this machine has a GPU")
def test_the_missing_library_is_named(grey_model):
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime is built without CUDA")
    with pytest.raises(ReconcileError, match=r"--device cuda: lib\S+\.so\S* cannot be loaded"):
        load_counter(grey_model, "cuda", pytest.fail)


@pytest.mark.parametrize(
    ("device", "providers"),
    [
        ("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        ("tensorrt", ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]),
    ],
)
def test_gpu_sessions_ask_for_the_gpu_first_and_notice_a_silent_fallback(grey_model, monkeypatch, device, providers):
    asked = []

    class Session:
        def __init__(self, path, options, providers):
            asked.append(providers)

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(module.ort, "InferenceSession", Session)
    monkeypatch.setattr(module, "_missing_library", lambda device: None)
    with pytest.raises(ReconcileError, match=f"--device {device}: onnxruntime fell back to CPUExecutionProvider"):
        load_counter(grey_model, device, pytest.fail)
    assert asked == [providers]
