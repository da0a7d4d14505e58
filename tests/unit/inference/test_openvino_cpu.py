"""Counting with OpenVINO: on which CPUs, and that it agrees with ONNX Runtime."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reconcile.images import load_image
from reconcile.inference import openvino_cpu
from reconcile.inference.counter import load_predictor
from reconcile.training.dataset import Drawing
from tests.conftest import needs_openvino

pytestmark = needs_openvino


@pytest.fixture(scope="module")
def drawn_bins():
    """Return drawings of 0 to 8 items, uint8 [160, 160, 160, 3]."""
    bins = [Drawing(seed, seed % 9).as_jpeg() for seed in range(160)]
    return np.stack([load_image(jpeg, 160) for jpeg in bins])


def load_both(monkeypatch):
    predictors = []
    for amx in (False, True):
        monkeypatch.setattr(openvino_cpu, "is_available", lambda amx=amx: amx)
        predictors.append(load_predictor(None, "cpu", pytest.fail, cores=2))
    assert [predictor.provider for predictor in predictors] == ["CPUExecutionProvider", "OpenVINO"]
    return predictors


def test_shipped_model_counts_as_with_onnxruntime(monkeypatch, drawn_bins):
    batches = np.split(drawn_bins, 5)
    plain, openvino = (
        np.concatenate([predictor.count(batch) for batch in batches]) for predictor in load_both(monkeypatch)
    )
    assert (plain.argmax(axis=1) == openvino.argmax(axis=1)).mean() >= 0.95
    assert np.abs(plain - openvino).mean() < 0.005


def test_photo_has_the_same_probabilities_in_any_batch_and_worker(monkeypatch, drawn_bins):
    _, predictor = load_both(monkeypatch)
    whole_batch = predictor.count(drawn_bins[:32])
    for number in range(0, 32, 5):
        assert np.array_equal(predictor.count(drawn_bins[number : number + 1], number % 2)[0], whole_batch[number])
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda n: predictor.count(drawn_bins[:32], n % 2), (0, 1)))
    assert all(np.array_equal(result, whole_batch) for result in results)


@pytest.mark.parametrize(
    ("flags", "available"),
    [
        ("fpu avx512_vnni amx_bf16 amx_tile amx_int8", True),
        ("fpu avx512_vnni", False),
        ("fpu amx_int8_of_another_kind", False),
    ],
)
def test_available_if_the_cpu_has_amx(tmp_path, flags, available):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: amx_int8\nflags\t\t: {flags}\nbugs\t: none\n")
    assert openvino_cpu.is_available(tmp_path / "cpuinfo") is available


def test_unavailable_without_cpu_flags_or_without_openvino(tmp_path, monkeypatch):
    assert not openvino_cpu.is_available(tmp_path / "no such file")
    (tmp_path / "cpuinfo").write_text("flags: amx_int8\n")
    monkeypatch.setattr(openvino_cpu.importlib.util, "find_spec", lambda name: None)
    assert not openvino_cpu.is_available(tmp_path / "cpuinfo")


@pytest.fixture
def amx(monkeypatch):
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: True)


def counts_with_onnxruntime(model, warnings):
    predictor = load_predictor(model, "cpu", warnings.append, cores=2)
    assert (predictor.device, predictor.workers) == ("CPU", 2)
    return predictor.count(np.full((1, 32, 32, 3), 80, dtype=np.uint8), worker=1).argmax() == 2


@pytest.mark.parametrize("at_least", [1, 32])
def test_onnxruntime_counts_if_openvino_disagrees(grey_model, monkeypatch, amx, at_least):
    [run] = openvino_cpu.open_requests(grey_model, 1, 32)
    wrong = lambda batch: run(batch)[:, :: -1 if len(batch) >= at_least else 1]  # noqa: E731
    monkeypatch.setattr(openvino_cpu, "open_requests", lambda *_: [wrong])
    warnings = []
    assert counts_with_onnxruntime(grey_model, warnings)
    assert warnings == [
        "counting with ONNX Runtime, although OpenVINO would be faster on this CPU: "
        "OpenVINO computes other logits for this model"
    ]


def test_openvino_error_becomes_one_line(tmp_path):
    with pytest.raises(Exception, match="Could not open") as raised:
        openvino_cpu.open_requests(tmp_path / "gone.onnx", 1, 32)
    assert openvino_cpu.error_message(raised.value).startswith(
        "FrontEnd API failed with GeneralFailure: onnx: Could not open"
    )
    assert openvino_cpu.error_message(MemoryError()) == "MemoryError"


def test_onnxruntime_counts_if_openvino_cannot_be_imported(grey_model, monkeypatch, amx):
    monkeypatch.setitem(sys.modules, "openvino", None)  # as after an incomplete removal
    warnings = []
    assert counts_with_onnxruntime(grey_model, warnings)
    [warning] = warnings
    assert warning.startswith(
        "counting with ONNX Runtime, although OpenVINO would be faster on this CPU: import of openvino"
    )


def test_each_core_has_its_own_stream_and_batches_are_padded(grey_model, amx):
    predictor = load_predictor(grey_model, "cpu", pytest.fail, batch_size=12, cores=3)
    assert (predictor.device, predictor.workers) == ("CPU (OpenVINO)", 3)
    for number in (1, 2, 3, 7, 9, 12, 13):
        counts = np.arange(number) % 7
        batch = np.stack([np.full((32, 32, 3), 40 * count, dtype=np.uint8) for count in counts])
        assert predictor.count(batch, number % 3).argmax(axis=1).tolist() == counts.tolist()


def test_openvino_gets_few_different_batch_sizes(grey_model, monkeypatch, amx):
    """Each new batch size costs time and permanent memory."""
    sizes = set()
    infer = openvino_cpu._infer

    def watched(request, batch_size, batch):
        class Watched:
            def infer(self, inputs, **options):
                sizes.update(len(images) for images in inputs.values())
                return request.infer(inputs, **options)

        return infer(Watched(), batch_size, batch)

    monkeypatch.setattr(openvino_cpu, "_infer", watched)
    predictor = load_predictor(grey_model, "cpu", pytest.fail, batch_size=12, cores=1)
    for number in range(1, 13):
        predictor.count(np.zeros((number, 32, 32, 3), dtype=np.uint8))
    assert sizes == {1, 2, 4, 8, 12}
