"""Export of a checkpoint to ONNX files, and trainings that start from such a file."""

import shutil

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("torchvision", reason="the extra `train` is not installed")

import onnx

from reconcile.errors import ReconcileError
from reconcile.images import load_image
from reconcile.inference import openvino_cpu
from reconcile.inference.calibration import calibrated, softmax
from reconcile.inference.counter import load_predictor
from reconcile.inference.precision import Precision
from reconcile.resources import resource
from reconcile.training.export import check_bound
from reconcile.training.network import CountNetwork, predict_logits
from reconcile.training.warm_start import start_from
from tests.conftest import reconcile, reconcile_from_scratch
from tests.integration.training.recipes import ONE_EPOCH


@pytest.fixture
def no_openvino(monkeypatch):
    """Count without OpenVINO, because it may differ from ONNX Runtime for a network that is hardly trained."""
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: False)


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.usefixtures("no_openvino")
def test_exported_model_counts(exported, precision):
    files, lines = exported
    expected = f"{precision} compared with torch on 20 held-out photos: same count in"
    assert any(line.startswith(expected) for line in lines)
    predictor = load_predictor(files[precision], "cpu", pytest.fail)
    assert predictor.card.labels.names == ("0", "1", "2", "3+")
    assert (predictor.card.input_size, predictor.card.version) == (40, "tiny")
    assert sum(predictor.card.class_prior) == pytest.approx(1, abs=1e-3)
    for number in (1, 5):
        probabilities = predictor.count(np.zeros((number, 40, 40, 3), dtype=np.uint8))
        assert probabilities.shape == (number, 4)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_export_warns_if_the_model_learned_nothing(exported):
    _, lines = exported
    for precision in Precision:
        [line] = [line for line in lines if line.startswith(f"{precision}: ") and "held-out photos correct" in line]
        accuracy = float(line.removeprefix(f"{precision}: ").split("%")[0])
        warning = f"warning: {precision} is not better than a model that always answers the most frequent count"
        assert (warning in lines) == (accuracy <= 40), "eight of twenty photos have three items or more"


def test_int8_weights_use_7_bits(exported):
    """With 8 bits, a CPU without VNNI would overflow the 16 bits of its sums."""
    for path in (exported[0][Precision.INT8], resource("models", "bin-counter-int8.onnx")):
        weights = [
            onnx.numpy_helper.to_array(tensor)
            for tensor in onnx.load(path).graph.initializer
            if tensor.data_type == onnx.TensorProto.INT8 and tensor.name.endswith("weight_quantized")
        ]
        assert len(weights) == 36  # the convolutions
        assert max(np.abs(array.astype(int)).max() for array in weights) <= 64


def test_fp16_weights_have_8_significant_bits(exported):
    for path in (exported[0][Precision.FP16], resource("models", "bin-counter-fp16.onnx")):
        tensors = [tensor for tensor in onnx.load(path).graph.initializer if tensor.name.endswith(".weight")]
        weights = [onnx.numpy_helper.to_array(tensor) for tensor in tensors]
        assert len(weights) == 37  # the convolutions and the last layer
        assert all(not (array.view(np.uint16) & 7).any() for array in weights)


def test_bound_accepts_two_changed_counts_of_six():
    reference = np.full((6, 4), 0.25) + np.eye(6, 4) * 0.02
    changed = reference.copy()
    changed[:2] = reference[:2, ::-1]
    assert "same count in 66.7%" in check_bound(Precision.INT8, changed, reference)
    changed[:3] = reference[:3, ::-1]
    with pytest.raises(ReconcileError, match=r"same count in 50\.0%"):
        check_bound(Precision.INT8, changed, reference)


def test_export_command_writes_one_file(trained, photos, exported, tmp_path):
    folder, _ = trained
    arguments = ["--checkpoint", folder / "t" / "best.pt", "--data", photos, "--to", tmp_path / "model.onnx"]
    done = reconcile_from_scratch("export", *arguments, "--precision", "fp32", "--input-size", 48)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'model.onnx'}: fp32, 48 px" in done.stderr
    assert load_predictor(tmp_path / "model.onnx", "cpu", pytest.fail).card.input_size == 48


def test_export_that_differs_from_torch_is_refused():
    reference = softmax(np.random.default_rng(1).normal(0, 3, (50, 4)))
    assert "same count in 100.0%" in check_bound(Precision.FP16, reference + 1e-3, reference)
    broken = reference.copy()
    broken[:, 1] = np.nan
    for wrong in (reference[:, ::-1], broken):
        with pytest.raises(
            ReconcileError, match=r"fp16 compared with torch on 50 held-out photos: .*; at least 98\.0%"
        ):
            check_bound(Precision.FP16, wrong, reference)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_bound_accepts_one_changed_count_of_few(precision):
    undecided, other = [0.2502, 0.2500, 0.2499, 0.2499], [0.2500, 0.2502, 0.2499, 0.2499]
    sure = [0.97, 0.01, 0.01, 0.01]
    for photos in range(2, 200):
        reference = np.array([undecided, undecided, *[sure] * (photos - 2)], dtype=np.float32)
        probabilities = reference.copy()
        probabilities[0] = other
        check_bound(precision, probabilities, reference)
    probabilities[1] = other
    if precision is Precision.FP32:  # of 199 photos
        with pytest.raises(ReconcileError, match=r"same count in 99\.0%, .* at least 99\.5%"):
            check_bound(precision, probabilities, reference)


def test_export_with_other_photos_is_refused(trained, photos, tmp_path):
    folder, _ = trained
    shutil.copytree(photos, tmp_path / "others")
    table = tmp_path / "others" / "labels.csv"
    table.write_text(table.read_text().replace("\n4.jpg,4,", "\n4.jpg,3,"))
    done = reconcile(
        "export", "--checkpoint", folder / "t" / "best.pt", "--data", tmp_path / "others", "--to", tmp_path / "m.onnx"
    )
    assert done.returncode == 1
    assert "was trained on other photos" in done.stderr
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.usefixtures("no_openvino")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.001), ("fp16", 0.02), ("int8", 0.15)])
def test_warm_start_gives_the_output_of_the_exported_model(exported, photos, precision, tolerance):
    files, _ = exported
    paths = sorted((photos / "bin-images").glob("1*.jpg"))
    pixels = np.stack([load_image(path.read_bytes(), 40) for path in paths])
    network = CountNetwork(4)
    start_from(str(files[precision]), network, pixels)
    predictor = load_predictor(files[precision], "cpu", pytest.fail)
    soft_targets = np.array(predictor.card.soft_targets, dtype=np.float32)
    probabilities = calibrated(predict_logits(network, pixels), predictor.card.temperature, soft_targets)
    assert np.abs(probabilities - predictor.count(pixels)).max() < tolerance


def test_recipe_may_start_from_a_model_with_other_labels(exported, photos, tmp_path):
    files, _ = exported
    shutil.copy(files["int8"], tmp_path)
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH.replace('"3+"]', '"3", "4"]\nstart_from = "int8.onnx"'))
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "int8.onnx").unlink()
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", "--export-to", "models", cwd=tmp_path)
    assert done.returncode == 0, "it continues from its own checkpoint: " + done.stderr
    (tmp_path / "int8.onnx").write_bytes(b"no model")
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", "--no-resume", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("int8.onnx is not an ONNX file")
