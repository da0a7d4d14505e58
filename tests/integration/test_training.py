"""Training, resuming and exporting, on a handful of drawings: that it runs, not that it learns."""

import csv
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("torchvision", reason="the extra `train` is not installed")

import onnx
import torch

from reconcile.calibration import calibrated, softmax
from reconcile.counter import load_counter
from reconcile.errors import ReconcileError
from reconcile.images import load_image
from reconcile.precision import Precision
from reconcile.resources import resource
from reconcile.training.data import Drawing
from reconcile.training.export import check_bound, export
from reconcile.training.network import CountNetwork, predict_logits
from reconcile.training.recipe import read_recipe
from reconcile.training.start import start_from
from tests.conftest import SCRIPTS, last_line, reconcile

RECIPE = """
version = "tiny"
labels = ["0", "1", "2", "3+"]
batch_size = 8
drawings = 6
validation_fold = 1
stitched = 0.25
erased = 0.5
[[stages]]
size = 32
epochs = {first}
learning_rate = 1e-3
[[stages]]
size = 40
epochs = 1
learning_rate = 1e-4
"""

ONE_EPOCH = RECIPE.format(first=1)[: RECIPE.format(first=1).rindex("[[stages]]")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Forty labelled drawings, one of which is broken, as a folder with labels.csv."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "bin-images").mkdir()
    lines = ["image,count,fold"]
    for number in range(40):
        drawing = Drawing(number + 5, number % 5)
        (folder / "bin-images" / f"{number}.jpg").write_bytes(drawing.as_jpeg() if number else b"broken")
        lines.append(f"{number}.jpg,{drawing.count},{number % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A finished training: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "recipe.toml").write_text(RECIPE.format(first=2))
    arguments = ["train", "--data", photos, "--recipe", folder / "recipe.toml", "--out", folder / "t"]
    done = reconcile(*arguments)
    assert done.returncode == 0, done.stderr
    return folder, done


def last_weights(folder):
    return torch.load(folder / "last.pt", weights_only=True)["network"]


def assert_same_weights(one, other):
    wanted = last_weights(other)
    for name, tensor in last_weights(one).items():
        torch.testing.assert_close(tensor, wanted[name], msg=lambda text, name=name: f"{name}: {text}")


def test_a_training_says_what_it_does_and_keeps_its_metrics(trained, photos):
    folder, done = trained
    assert "20 photos and 6 drawings to train on, 20 photos held out; 1 x" in done.stderr
    assert f"left out {photos / 'bin-images' / '0.jpg'}: not an image" in done.stderr
    rows = list(csv.DictReader((folder / "t" / "metrics.csv").open()))
    assert [(row["size"], row["epoch"]) for row in rows] == [("32", "1"), ("32", "2"), ("40", "1")]
    assert all(0 < float(row["loss_averaged"]) < 5 and 0 <= float(row["accuracy_current"]) <= 1 for row in rows)
    page = (folder / "t" / "curves.html").read_text()
    assert "<svg" in page
    assert "<td>40 px</td>" in page


def test_a_finished_training_trains_no_more(trained, photos):
    folder, _ = trained
    before = (folder / "t" / "metrics.csv").read_text()
    again = reconcile("train", "--data", photos, "--recipe", folder / "recipe.toml", "--out", folder / "t")
    assert again.returncode == 0, again.stderr
    assert (folder / "t" / "metrics.csv").read_text() == before
    assert "epoch" not in again.stderr


@pytest.fixture(scope="module")
def exported(trained, photos):
    """The trained model in every precision: files and what was said of them."""
    folder, _ = trained
    files = {precision: folder / f"{precision}.onnx" for precision in Precision}
    said = []
    export(folder / "t" / "best.pt", photos, files, said.append)
    return files, said


@pytest.mark.parametrize("precision", list(Precision))
def test_an_exported_model_counts(exported, precision):
    files, said = exported
    assert any(line.startswith(f"{precision} against torch on 20 held-out photos: the same count in") for line in said)
    counter = load_counter(files[precision], "cpu", pytest.fail)
    assert counter.card.labels.names == ("0", "1", "2", "3+")
    assert (counter.card.input_size, counter.card.version) == (40, "tiny")
    assert sum(counter.card.class_prior) == pytest.approx(1, abs=1e-3)
    for number in (1, 5):
        shares = counter.count(np.zeros((number, 40, 40, 3), dtype=np.uint8))
        assert shares.shape == (number, 4)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


def test_int8_weights_leave_a_bit_free_so_that_every_cpu_counts_the_same(exported):
    """Two products of 8 bits each overflow the 16 bits that a CPU without VNNI adds them in."""
    for path in (exported[0][Precision.INT8], resource("models", "bin-counter-int8.onnx")):
        weights = [
            onnx.numpy_helper.to_array(tensor)
            for tensor in onnx.load(path).graph.initializer
            if tensor.data_type == onnx.TensorProto.INT8 and tensor.name.endswith("weight_quantized")
        ]
        assert len(weights) == 37  # 36 convolutions and the last layer
        assert max(np.abs(array.astype(int)).max() for array in weights) <= 64


def test_the_export_command_writes_one_file(trained, photos, exported, tmp_path):
    folder, _ = trained
    arguments = ["--checkpoint", folder / "t" / "best.pt", "--data", photos, "--to", tmp_path / "model.onnx"]
    done = reconcile("export", *arguments, "--precision", "fp32", "--input-size", 48)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'model.onnx'}: fp32, 48 px" in done.stderr
    assert load_counter(tmp_path / "model.onnx", "cpu", pytest.fail).card.input_size == 48


def test_an_export_that_strays_from_torch_is_refused():
    reference = softmax(np.random.default_rng(1).normal(0, 3, (50, 4)))
    assert "the same count in 100.0%" in check_bound(Precision.FP16, reference + 1e-3, reference)
    broken = reference.copy()
    broken[:, 1] = np.nan
    for wrong in (reference[:, ::-1], broken):
        with pytest.raises(ReconcileError, match=r"fp16 against torch on 50 held-out photos: .*; allowed are 99\.0%"):
            check_bound(Precision.FP16, wrong, reference)


def test_an_export_from_other_photos_is_refused(trained, photos, tmp_path):
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


def test_a_stopped_training_ends_where_an_undisturbed_one_does(trained, photos, tmp_path):
    folder, _ = trained
    command = ["train", "--data", photos, "--recipe", folder / "recipe.toml", "--out", "t"]
    process = subprocess.Popen(
        [SCRIPTS / "reconcile", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    while not (tmp_path / "t" / "last.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert last_line(told).startswith("reconcile: interrupted; what was done is kept")
    assert len(list(csv.DictReader((tmp_path / "t" / "metrics.csv").open()))) < 3

    done = reconcile(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_weights(folder / "t", tmp_path / "t")
    assert len(list(csv.DictReader((tmp_path / "t" / "metrics.csv").open()))) == 3


def test_two_processes_train_together_and_go_on_together(photos, exported, tmp_path):
    """Two stages, started from a model, stopped in between: as on two GPUs, but on CPUs."""
    files, _ = exported
    shutil.copy(files["int8"], tmp_path)
    recipe = RECIPE.format(first=1).replace("batch_size = 8", 'batch_size = 8\nstart_from = "int8.onnx"')
    (tmp_path / "recipe.toml").write_text(recipe)
    command = [SCRIPTS / "torchrun", "--nproc-per-node", "2", "--no-python", SCRIPTS / "reconcile"]
    command += ["train", "--data", photos, "--recipe", "recipe.toml", "--out", "t"]
    together = {"cwd": tmp_path, "text": True, "env": os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, **together)
    while not (tmp_path / "t" / "last.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert told.count("held out; 2 x cpu") == 1
    assert "interrupted; what was done is kept" in told

    alone = reconcile("train", "--data", photos, "--recipe", "recipe.toml", "--out", "t", cwd=tmp_path)
    assert alone.returncode == 2
    assert "was made by 2 process(es), not 1" in alone.stderr
    done = subprocess.run(command, capture_output=True, timeout=300, check=False, **together)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best checkpoint") == 1
    rows = list(csv.DictReader((tmp_path / "t" / "metrics.csv").open()))
    assert [(row["size"], row["epoch"]) for row in rows] == [("32", "1"), ("40", "1")]


def test_a_learning_rate_that_blows_up_is_named(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH.replace("1e-3", "1e30"))
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "at 32 px: the learning rate of 1e+30 is too high" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("precision", "apart"), [("fp32", 0.001), ("fp16", 0.02), ("int8", 0.15)])
def test_a_network_that_starts_from_an_exported_model_answers_as_it(exported, photos, precision, apart):
    files, _ = exported
    paths = sorted((photos / "bin-images").glob("1*.jpg"))
    pixels = np.stack([load_image(path.read_bytes(), 40) for path in paths])
    network = CountNetwork(4)
    start_from(files[precision], network, pixels)
    counter = load_counter(files[precision], "cpu", pytest.fail)
    taught = np.array(counter.card.taught, dtype=np.float32)
    answers = calibrated(predict_logits(network, pixels), counter.card.temperature, taught)
    assert np.abs(answers - counter.count(pixels)).max() < apart


def test_a_recipe_may_start_from_an_exported_model_with_other_labels(exported, photos, tmp_path):
    files, _ = exported
    shutil.copy(files["int8"], tmp_path)
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH.replace('"3+"]', '"3", "4"]\nstart_from = "int8.onnx"'))
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "int8.onnx").write_bytes(b"no model")
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", "--no-resume", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("int8.onnx is no ONNX file")


def test_sagemaker_says_where_by_its_environment(photos, tmp_path):
    for number in range(6):
        place = tmp_path / "valid" / f"{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "bin-images" / f"{number + 5}.jpg", place)
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH)
    channels = {"SM_CHANNEL_TRAINING": str(photos), "SM_CHANNEL_VALIDATION": str(tmp_path / "valid")}
    environment = os.environ | channels | {"SM_MODEL_DIR": str(tmp_path / "model")}
    done = reconcile("train", "--recipe", "recipe.toml", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "40 photos and 6 drawings to train on, 6 photos held out" in done.stderr
    written = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert written == ["bin-counter-fp16.onnx", "bin-counter-int8.onnx"]


def test_tuning_ends_in_a_recipe_and_goes_on_where_it_was(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH)
    command = ["tune", "--data", photos, "--recipe", "recipe.toml"]
    done = reconcile(*command, "--trials", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trial 1 of 2: learning rate factor 1, weight decay 0.05, label sigma 0.6," in done.stderr, (
        "the recipe as it is"
    )
    assert "trial 2 of 2" in done.stderr
    more = reconcile(*command, "--trials", 3, cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "trial 3 of 3" in more.stderr
    assert "trial 1 " not in more.stderr
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH.replace("epochs = 1", "epochs = 2"))
    other = reconcile(*command, "--trials", 4, cwd=tmp_path)
    assert other.returncode == 2
    assert "holds a search from another recipe or other photos" in other.stderr
    best = (tmp_path / "tuning" / "best.toml").read_text()
    assert best.startswith("# Best of 3 finished trials by `reconcile tune`: −ln P ")
    assert read_recipe(tmp_path / "tuning" / "best.toml").stages[0].size == 32


@pytest.mark.parametrize(
    ("files", "code", "message"),
    [
        ({}, 1, "holds no labelled photos: it needs a labels.csv (image, count) beside the photos"),
        ({"labels.csv": "image,fold\n"}, 1, "labels.csv has no column count"),
        ({"labels.csv": "image,count\n"}, 1, "holds no photo with a label"),
        ({"recipe.toml": "version = 1"}, 2, "recipe.toml: version: Input should be a valid string"),
        ({"recipe.toml": "version ="}, 2, "recipe.toml is no TOML"),
        ({"recipe.toml": 'version = "a"\nlabels = ["2", "1"]\n[[stages]]\nsize = 32\nepochs = 1\nlearning_rate = 1'},
         2, "count labels must be at least two and rise: 2,1"),
    ],
)  # fmt: skip
def test_what_training_lacks_is_said_in_one_line(tmp_path, files, code, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    recipe = ["--recipe", "recipe.toml"] if "recipe.toml" in files else []
    done = reconcile("train", "--data", ".", "--out", "t", *recipe, cwd=tmp_path)
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    assert message in line


def test_a_changed_recipe_is_not_resumed(trained, photos):
    folder, _ = trained
    (folder / "other.toml").write_text(RECIPE.format(first=3))
    done = reconcile("train", "--data", photos, "--recipe", folder / "other.toml", "--out", folder / "t")
    assert done.returncode == 2
    assert "was made after another recipe; say --no-resume" in done.stderr


def test_training_without_its_extra_says_what_to_install(tmp_path):
    hide = "import sys; sys.modules['torch'] = None; sys.argv = ['reconcile', 'train', '--data', '.']; "
    hide += "from reconcile.cli import main; main()"
    done = subprocess.run([str(SCRIPTS / "python"), "-c", hide], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == "reconcile: training needs the extra `train`: in a checkout, make dev or pip install '.[train]'"
    )
    assert done.stdout == ""
