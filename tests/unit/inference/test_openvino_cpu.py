"""Counting with a CPU's matrix tiles: when, and that the answers are those of onnxruntime."""

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
    """uint8 [160, 160, 160, 3], of 0 to 8 items."""
    bins = [Drawing(seed, seed % 9).as_jpeg() for seed in range(160)]
    return np.stack([load_image(jpeg, 160) for jpeg in bins])


def both(monkeypatch):
    counters = []
    for tiles in (False, True):
        monkeypatch.setattr(openvino_cpu, "is_available", lambda tiles=tiles: tiles)
        counters.append(load_predictor(None, "cpu", pytest.fail, cores=2))
    assert [counter.provider for counter in counters] == ["CPUExecutionProvider", "OpenVINO"]
    return counters


def test_the_shipped_model_counts_as_with_onnxruntime(monkeypatch, drawn_bins):
    batches = np.split(drawn_bins, 5)
    plain, tiled = (np.concatenate([counter.count(batch) for batch in batches]) for counter in both(monkeypatch))
    assert (plain.argmax(axis=1) == tiled.argmax(axis=1)).mean() >= 0.95
    assert np.abs(plain - tiled).mean() < 0.005


def test_a_photo_is_counted_alike_alone_and_in_a_batch_and_by_every_worker(monkeypatch, drawn_bins):
    _, counter = both(monkeypatch)
    together = counter.count(drawn_bins[:32])
    for number in range(0, 32, 5):
        assert np.array_equal(counter.count(drawn_bins[number : number + 1], number % 2)[0], together[number])
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: counter.count(drawn_bins[:32], n % 2), (0, 1)))
    assert all(np.array_equal(answer, together) for answer in answers)


@pytest.mark.parametrize(
    ("flags", "usable"),
    [
        ("fpu avx512_vnni amx_bf16 amx_tile amx_int8", True),
        ("fpu avx512_vnni", False),
        ("fpu amx_int8_of_another_kind", False),
    ],
)
def test_they_are_used_where_the_cpu_has_them(tmp_path, flags, usable):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: amx_int8\nflags\t\t: {flags}\nbugs\t: none\n")
    assert openvino_cpu.is_available(tmp_path / "cpuinfo") is usable


def test_they_are_not_used_where_nothing_tells_of_the_cpu_or_openvino_is_missing(tmp_path, monkeypatch):
    assert not openvino_cpu.is_available(tmp_path / "no such file")
    (tmp_path / "cpuinfo").write_text("flags: amx_int8\n")
    monkeypatch.setattr(openvino_cpu.importlib.util, "find_spec", lambda name: None)
    assert not openvino_cpu.is_available(tmp_path / "cpuinfo")


@pytest.fixture
def tiled(monkeypatch):
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: True)


def counted_by_onnxruntime(model, said):
    counter = load_predictor(model, "cpu", said.append, cores=2)
    assert (counter.device, counter.workers) == ("CPU", 2)
    return counter.count(np.full((1, 32, 32, 3), 80, dtype=np.uint8), worker=1).argmax() == 2


@pytest.mark.parametrize("at_least", [1, 32])
def test_what_openvino_would_count_otherwise_is_counted_by_onnxruntime(grey_model, monkeypatch, tiled, at_least):
    [run] = openvino_cpu.open_requests(grey_model, 1, 32)
    wrong = lambda batch: run(batch)[:, :: -1 if len(batch) >= at_least else 1]  # noqa: E731
    monkeypatch.setattr(openvino_cpu, "open_requests", lambda *_: [wrong])
    said = []
    assert counted_by_onnxruntime(grey_model, said)
    assert said == [
        "counting by onnxruntime and not by OpenVINO, which is faster on this CPU: it counts this model otherwise"
    ]


def test_why_openvino_cannot_count_a_model_is_said_in_a_line(tmp_path):
    with pytest.raises(Exception, match="Could not open") as told:
        openvino_cpu.open_requests(tmp_path / "gone.onnx", 1, 32)
    assert openvino_cpu.reason(told.value).startswith("FrontEnd API failed with GeneralFailure: onnx: Could not open")
    assert openvino_cpu.reason(MemoryError()) == "MemoryError"


def test_trouble_with_openvino_does_not_end_a_run_that_onnxruntime_can_do(grey_model, monkeypatch, tiled):
    monkeypatch.setitem(sys.modules, "openvino", None)  # half removed, say
    said = []
    assert counted_by_onnxruntime(grey_model, said)
    [line] = said
    assert line.startswith(
        "counting by onnxruntime and not by OpenVINO, which is faster on this CPU: import of openvino"
    )


def test_each_core_has_a_stream_of_its_own_and_odd_batches_are_padded(grey_model, tiled):
    counter = load_predictor(grey_model, "cpu", pytest.fail, batch_size=12, cores=3)
    assert (counter.device, counter.workers) == ("CPU (OpenVINO)", 3)
    for number in (1, 2, 3, 7, 9, 12, 13):
        counts = np.arange(number) % 7
        batch = np.stack([np.full((32, 32, 3), 40 * count, dtype=np.uint8) for count in counts])
        assert counter.count(batch, number % 3).argmax(axis=1).tolist() == counts.tolist()


def test_openvino_is_asked_for_few_different_numbers_of_images(grey_model, monkeypatch, tiled):
    """Each takes it a while, and memory for good."""
    asked = set()
    infer = openvino_cpu._infer

    def watched(request, batch_size, batch):
        class Watched:
            def infer(self, inputs, **options):
                asked.update(len(images) for images in inputs.values())
                return request.infer(inputs, **options)

        return infer(Watched(), batch_size, batch)

    monkeypatch.setattr(openvino_cpu, "_infer", watched)
    counter = load_predictor(grey_model, "cpu", pytest.fail, batch_size=12, cores=1)
    for number in range(1, 13):
        counter.count(np.zeros((number, 32, 32, 3), dtype=np.uint8))
    assert asked == {1, 2, 4, 8, 12}
