"""Training, resuming and exporting, on a handful of drawings: that it runs, not that it learns."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("torchvision", reason="the extra `train` is not installed")

from reconcile.counter import load_counter
from reconcile.training import data
from reconcile.training.calibrate import fit_temperature, negative_log_likelihood
from tests.conftest import LABELS, SCRIPTS, reconcile

RECIPE = """
version = "tiny"
labels = ["0", "1", "2", "3+"]
batch_size = 8
drawings = 6
validation_fold = 1
[[stages]]
size = 32
epochs = {first}
learning_rate = 1e-3
[[stages]]
size = 40
epochs = 1
learning_rate = 1e-4
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Forty labelled drawings, one of which is broken, as a folder with labels.csv."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "bin-images").mkdir()
    lines = ["image,count,fold"]
    for number, image in enumerate(data.drawings(40, first_seed=5)):
        (folder / "bin-images" / f"{number}.jpg").write_bytes(data.image_bytes(image) if number else b"broken")
        lines.append(f"{number}.jpg,{image.count},{number % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def test_train_resume_export_and_count(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE.format(first=2))
    arguments = ["train", "--data", photos, "--recipe", "recipe.toml", "--out", "t"]
    done = reconcile(*arguments)
    assert done.returncode == 0, done.stderr
    assert "20 photos and 6 drawings to train on, 20 photos held out" in done.stdout
    assert "0.jpg: not an image" in done.stdout
    metrics = (tmp_path / "t" / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in metrics[1:]] == [["32", "1"], ["32", "2"], ["40", "1"]]

    again = reconcile(*arguments)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "t" / "metrics.csv").read_text().splitlines() == metrics, "a finished training trains no more"

    for precision in ("fp32", "int8"):
        done = reconcile(
            "export",
            "--checkpoint",
            "t/best.pt",
            "--data",
            photos,
            "--to",
            f"{precision}.onnx",
            "--precision",
            precision,
        )
        assert done.returncode == 0, done.stderr
        counter = load_counter(tmp_path / f"{precision}.onnx", "cpu", pytest.fail)
        assert counter.card.labels.names == ("0", "1", "2", "3+")
        assert (counter.card.input_size, counter.card.version) == (40, "tiny")
        assert sum(counter.card.class_prior) == pytest.approx(1, abs=1e-3)
        for number in (1, 5):
            shares = counter.count(np.zeros((number, 40, 40, 3), dtype=np.uint8))
            assert shares.shape == (number, 4)
            np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


def test_a_resumed_training_ends_where_an_undisturbed_one_does(photos, tmp_path):
    import torch

    from reconcile.training.recipe import read_recipe
    from reconcile.training.train import train

    class Stop(Exception):
        pass

    def stop_after_first_epoch(line):
        if "epoch 2" in line:
            raise Stop

    (tmp_path / "recipe.toml").write_text(RECIPE.format(first=2))
    recipe = read_recipe(tmp_path / "recipe.toml")
    train(photos, recipe, tmp_path / "undisturbed", report=lambda _: None)
    # The line of an epoch comes before its checkpoint: what is lost is that epoch, and it is done again.
    with pytest.raises(Stop):
        train(photos, recipe, tmp_path / "resumed", report=stop_after_first_epoch)
    train(photos, recipe, tmp_path / "resumed", report=lambda _: None)
    weights = [
        torch.load(tmp_path / name / "last.pt", weights_only=True)["network"] for name in ("undisturbed", "resumed")
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, msg=lambda text, name=name: f"{name}: {text}")


def test_a_drawing_is_the_same_every_time_and_holds_its_count():
    images = data.drawings(20)
    assert [image.count for image in images[:10]] == list(range(10))
    assert data.image_bytes(images[3]) == data.image_bytes(images[3]) != data.image_bytes(images[13])


def test_folds_decide_the_split(tmp_path):
    (tmp_path / "labels.csv").write_text("image,count,fold\na.jpg,1,0\nb.jpg,2,9\nc.jpg,3,9\nd.jpg,40,1\n")
    training, validation = data.read_labels(tmp_path, LABELS, 9)
    assert [image.source.name for image in training] == ["a.jpg", "d.jpg"]
    assert [image.source.name for image in validation] == ["b.jpg", "c.jpg"]


def test_the_temperature_that_was_put_in_is_found():
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(5, p=row / row.sum()) for row in shares.astype(np.float64)])
    found = fit_temperature(3 * logits, truth)
    assert found == pytest.approx(3, rel=0.1)
    assert negative_log_likelihood(3 * logits, truth, found) < negative_log_likelihood(3 * logits, truth)


@pytest.mark.parametrize(
    ("files", "code", "message"),
    [
        ({}, 1, "there is no labels.csv; it says image, count and fold"),
        ({"labels.csv": "image,count\n"}, 1, "labels.csv has no column fold"),
        ({"recipe.toml": "version = 1"}, 2, "recipe.toml: version: Input should be a valid string"),
        ({"recipe.toml": "version ="}, 2, "recipe.toml is no TOML"),
    ],
)
def test_what_training_lacks_is_said_in_one_line(tmp_path, files, code, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    recipe = ["--recipe", "recipe.toml"] if "recipe.toml" in files else []
    done = reconcile("train", "--data", ".", "--out", "t", *recipe)
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    assert message in line


def test_a_changed_recipe_is_not_resumed(photos, tmp_path):
    arguments = ["train", "--data", photos, "--recipe", "recipe.toml", "--out", "t"]
    (tmp_path / "recipe.toml").write_text(RECIPE.format(first=1))
    assert reconcile(*arguments).returncode == 0
    (tmp_path / "recipe.toml").write_text(RECIPE.format(first=2))
    done = reconcile(*arguments)
    assert done.returncode == 2
    assert "was made after another recipe; say --no-resume" in done.stderr


def test_training_without_its_extra_says_what_to_install(tmp_path):
    import subprocess

    hide = "import sys; sys.modules['torch'] = None; sys.argv = ['reconcile', 'train', '--data', '.']; "
    hide += "from reconcile.cli import main; main()"
    done = subprocess.run([str(SCRIPTS / "python"), "-c", hide], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == "reconcile: training needs the extra `train`: in a checkout, make dev or pip install '.[train]'"
    )
    assert json.dumps(done.stdout) == '""'
