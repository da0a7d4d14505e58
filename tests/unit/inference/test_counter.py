"""The count model: what it reads from its file, and what it answers."""

import numpy as np
import onnxruntime as ort
import pytest

from reconcile.errors import ReconcileError
from reconcile.inference import openvino_cpu
from reconcile.inference.calibration import softmax
from reconcile.inference.counter import IOBoundSession, load_predictor
from reconcile.labels import CountLabels
from tests.conftest import LABELS, needs_openvino, write_grey_model


@pytest.mark.parametrize(
    ("tiles", "provider"), [(False, "CPUExecutionProvider"), pytest.param(True, "OpenVINO", marks=needs_openvino)]
)
def test_counts_a_batch_of_any_size(grey_model, monkeypatch, tiles, provider):
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: tiles)
    counter = load_predictor(grey_model, "cpu", pytest.fail)
    assert (counter.card.labels, counter.card.input_size, counter.provider) == (LABELS, 32, provider)
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
        shares[temperature] = load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail).count(batch)[0]
    np.testing.assert_allclose(shares[4.0], softmax(np.log(shares[1.0]) / 4), rtol=1e-4)


def test_what_the_network_was_taught_is_undone(tmp_path):
    batch = np.full((1, 32, 32, 3), 80, dtype=np.uint8)
    taught = 0.8 * np.eye(7) + 0.1 * np.eye(7, k=1) + 0.1 * np.eye(7, k=-1)
    taught[0, 0] = taught[6, 6] = 0.9
    shares = {}
    for name, value in (("as it says", None), ("undone", tuple(map(tuple, taught)))):
        write_grey_model(tmp_path / "model.onnx", soft_targets=value, temperature=2.0)
        shares[name] = load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail).count(batch)[0]
    assert shares["as it says"][1] > 0.1 > shares["undone"][1]
    assert shares["undone"].argmax() == 2
    assert shares["undone"].sum() == pytest.approx(1)


@pytest.mark.parametrize("taught", [((1.0,),), ((0.5,) * 7,) * 7, "nonsense"])
def test_a_file_with_a_broken_teaching_is_no_model(tmp_path, taught):
    write_grey_model(tmp_path / "model.onnx", soft_targets=taught)
    with pytest.raises(ReconcileError, match="is no count model"):
        load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail)


def test_labels_come_from_the_file_alone(tmp_path):
    write_grey_model(tmp_path / "model.onnx", labels=CountLabels(("1", "2", "3", "4", "5", "6", "9")))
    assert load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail).card.labels.names[-1] == "9"


def test_the_model_id_names_these_very_weights(tmp_path, grey_model):
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
        (lambda path: path.write_bytes(b"not a model"), r"model\.onnx is no ONNX file, or is damaged"),
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
        load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail)


def test_a_bound_session_answers_as_a_plain_one_and_is_always_given_a_full_batch(grey_model):
    plain = load_predictor(grey_model, "cpu", pytest.fail)
    given = []

    class Session(ort.InferenceSession):
        def run_with_iobinding(self, binding, run_options=None):
            super().run_with_iobinding(binding, run_options)
            given.append(binding.get_outputs()[0].shape())

    session = Session(str(grey_model), providers=["CPUExecutionProvider"])
    spare = np.zeros((5, 32, 32, 3), dtype=np.uint8)
    bound = IOBoundSession(session, plain.card, spare)
    answers = []
    for counts in ([6, 5, 4, 3, 2], [1, 2], [3]):
        batch = np.stack([np.full((32, 32, 3), 40 * count, dtype=np.uint8) for count in counts])
        answers.append((counts, bound(batch)))
    for counts, logits in answers:  # the first answer has outlived the later runs
        assert logits.shape == (len(counts), 7)
        assert logits.argmax(axis=1).tolist() == counts
    assert given == [[5, 7]] * 3


def test_a_batch_to_fill_is_as_large_as_the_counter_takes(grey_model):
    assert load_predictor(grey_model, "cpu", pytest.fail).new_batch().shape == (32, 32, 32, 3)
    assert load_predictor(grey_model, "cpu", pytest.fail, 5).new_batch().shape == (5, 32, 32, 3)
