"""The count model: what it reads from its file, and the probabilities it returns."""

import numpy as np
import onnxruntime as ort
import pytest

from reconcile.config import load_settings
from reconcile.doctor.environment import _check_model
from reconcile.errors import ReconcileError
from reconcile.inference import counter, openvino_cpu
from reconcile.inference.calibration import softmax
from reconcile.inference.counter import IOBoundSession, load_predictor
from reconcile.labels import CountLabels
from tests.conftest import LABELS, needs_openvino, write_grey_model


@pytest.mark.parametrize(
    ("amx", "provider"), [(False, "CPUExecutionProvider"), pytest.param(True, "OpenVINO", marks=needs_openvino)]
)
def test_predictor_counts_batches_of_any_size(grey_model, monkeypatch, amx, provider):
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: amx)
    predictor = load_predictor(grey_model, "cpu", pytest.fail)
    assert (predictor.card.labels, predictor.card.input_size, predictor.provider) == (LABELS, 32, provider)
    for counts in ([3], [0, 1, 2, 3, 4, 5, 6], [5] * 40):
        batch = np.stack([np.full((32, 32, 3), 40 * count, dtype=np.uint8) for count in counts])
        probabilities = predictor.count(batch)
        assert probabilities.shape == (len(counts), 7)
        assert probabilities.dtype == np.float32
        assert probabilities.argmax(axis=1).tolist() == counts
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_temperature_of_the_file_is_applied(tmp_path):
    batch = np.full((1, 32, 32, 3), 50, dtype=np.uint8)
    probabilities = {}
    for temperature in (1.0, 4.0):
        write_grey_model(tmp_path / "model.onnx", temperature=temperature)
        probabilities[temperature] = load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail).count(batch)[0]
    np.testing.assert_allclose(probabilities[4.0], softmax(np.log(probabilities[1.0]) / 4), rtol=1e-4)


def test_soft_targets_of_the_file_are_removed(tmp_path):
    batch = np.full((1, 32, 32, 3), 80, dtype=np.uint8)
    soft_targets = 0.8 * np.eye(7) + 0.1 * np.eye(7, k=1) + 0.1 * np.eye(7, k=-1)
    soft_targets[0, 0] = soft_targets[6, 6] = 0.9
    probabilities = {}
    for name, value in (("raw", None), ("deconvolved", tuple(map(tuple, soft_targets)))):
        write_grey_model(tmp_path / "model.onnx", soft_targets=value, temperature=2.0)
        probabilities[name] = load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail).count(batch)[0]
    assert probabilities["raw"][1] > 0.1 > probabilities["deconvolved"][1]
    assert probabilities["deconvolved"].argmax() == 2
    assert probabilities["deconvolved"].sum() == pytest.approx(1)


@pytest.mark.parametrize("soft_targets", [((1.0,),), ((0.5,) * 7,) * 7, "nonsense"])
def test_file_with_malformed_soft_targets_is_refused(tmp_path, soft_targets):
    write_grey_model(tmp_path / "model.onnx", soft_targets=soft_targets)
    with pytest.raises(ReconcileError, match="is not a count model"):
        load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail)


def test_labels_come_only_from_the_file(tmp_path):
    write_grey_model(tmp_path / "model.onnx", labels=CountLabels(("1", "2", "3", "4", "5", "6", "9")))
    assert load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail).card.labels.names[-1] == "9"


def test_model_id_identifies_the_weights(tmp_path, grey_model):
    write_grey_model(tmp_path / "same.onnx")
    write_grey_model(tmp_path / "other.onnx", temperature=1.1)
    ids = [
        load_predictor(path, "cpu", pytest.fail).model_id
        for path in (grey_model, tmp_path / "same.onnx", tmp_path / "other.onnx")
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no model file"),
        (lambda path: path.write_bytes(b"not a model"), r"model\.onnx is not an ONNX file, or it is damaged"),
        (lambda path: write_grey_model(path, preprocessing="crop-v9"), "prepared by 'crop-v9'"),
        (lambda path: write_grey_model(path, input_size=None), "not a count model"),
        (lambda path: write_grey_model(path, temperature=0), "not a count model"),
        (lambda path: write_grey_model(path, version="../../evil"), "not a count model"),
        (
            lambda path: write_grey_model(path, labels=CountLabels(("0", "1"))),
            "returns 7 numbers per image, but has 2 labels",
        ),
        (lambda path: write_grey_model(path, input_size=48), "cannot count a blank image"),
    ],
)
def test_file_that_is_not_a_usable_model_is_refused(tmp_path, make, message):
    make(tmp_path / "model.onnx")
    with pytest.raises(ReconcileError, match=message):
        load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail)


def test_bound_session_agrees_with_plain_one_on_full_batches(grey_model):
    plain = load_predictor(grey_model, "cpu", pytest.fail)
    shapes = []

    class Session(ort.InferenceSession):
        def run_with_iobinding(self, binding, run_options=None):
            super().run_with_iobinding(binding, run_options)
            shapes.append(binding.get_outputs()[0].shape())

    session = Session(str(grey_model), providers=["CPUExecutionProvider"])
    spare = np.zeros((5, 32, 32, 3), dtype=np.uint8)
    bound = IOBoundSession(session, plain.card, spare)
    address = bound._input.data_ptr()
    results = []
    for counts in ([6, 5, 4, 3, 2], [1, 2], [3]):
        batch = np.stack([np.full((32, 32, 3), 40 * count, dtype=np.uint8) for count in counts])
        results.append((counts, bound(batch)))
    for counts, logits in results:  # the first result must survive the later runs
        assert logits.shape == (len(counts), 7)
        assert logits.argmax(axis=1).tolist() == counts
    assert shapes == [[5, 7]] * 3
    assert bound._input.data_ptr() == address, "every batch is copied into the same memory"


@pytest.mark.parametrize("can_pin", [True, False])
def test_doctor_says_whether_batches_are_pinned(grey_model, monkeypatch, can_pin):
    class Session(ort.InferenceSession):
        def get_providers(self):
            return ["CUDAExecutionProvider"]

    def open_sessions(path, *_):
        return [Session(str(path), providers=["CPUExecutionProvider"]) for _ in range(2)]

    devices = []

    def bind(session, card, spare, device, number):
        devices.append((device, number))
        return IOBoundSession(session, card, spare)

    monkeypatch.setattr(counter, "choose_device", lambda *_: "cuda")
    monkeypatch.setattr(counter, "open_gpu_sessions", open_sessions)
    monkeypatch.setattr(counter, "IOBoundSession", bind)
    monkeypatch.setattr(counter, "pin", lambda *_: can_pin)
    text = _check_model(load_settings({"model": grey_model}, need_bucket=False))
    assert devices == [("cuda", 0), ("cuda", 0), ("cuda", 1), ("cuda", 1)]
    assert ("counts on CUDA with 4 threads from pinned memory" in text) == can_pin
    assert ("; batches are copied to the GPU more slowly, because the driver cannot pin" in text) != can_pin


def test_new_batch_has_the_batch_size_of_the_predictor(grey_model):
    assert load_predictor(grey_model, "cpu", pytest.fail).new_batch().shape == (32, 32, 32, 3)
    assert load_predictor(grey_model, "cpu", pytest.fail, 5).new_batch().shape == (5, 32, 32, 3)
