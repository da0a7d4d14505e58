"""The command `reconcile train`: metrics, resuming and errors."""

import csv
import re
import subprocess

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("torchvision", reason="the extra `train` is not installed")

import torch

from tests.conftest import SCRIPTS, last_line, reconcile
from tests.integration.training.interrupted import run_interrupted
from tests.integration.training.recipes import ONE_EPOCH, RECIPE


def last_weights(folder):
    return torch.load(folder / "last.pt", weights_only=True)["network"]


def assert_same_weights(one, other):
    expected = last_weights(other)
    for name, tensor in last_weights(one).items():
        torch.testing.assert_close(tensor, expected[name], msg=lambda text, name=name: f"{name}: {text}")


def test_training_logs_its_data_and_writes_metrics(trained, photos):
    folder, done = trained
    assert re.search(r"training on 20 photos and 6 drawings, 20 photos held out; 1 x \w+, float32\n", done.stderr)
    assert f"left out {photos / 'bin-images' / '0.jpg'}: not an image" in done.stderr
    rows = list(csv.DictReader((folder / "t" / "metrics.csv").open()))
    assert [(row["size"], row["epoch"]) for row in rows] == [("32", "1"), ("32", "2"), ("40", "1")]
    assert all(0 < float(row["loss_averaged"]) < 5 and 0 <= float(row["accuracy_current"]) <= 1 for row in rows)
    page = (folder / "t" / "curves.html").read_text()
    assert "<svg" in page
    assert "<td>40 px</td>" in page


def test_finished_training_does_not_train_again(trained, photos):
    folder, _ = trained
    before = (folder / "t" / "metrics.csv").read_text()
    again = reconcile("train", "--data", photos, "--recipe", folder / "recipe.toml", "--out", folder / "t")
    assert again.returncode == 0, again.stderr
    assert (folder / "t" / "metrics.csv").read_text() == before
    assert "epoch" not in again.stderr
    assert f"the training in {folder / 't'} is already finished; --no-resume starts it again" in again.stderr


def test_interrupted_training_ends_with_the_same_weights(trained, photos, tmp_path):
    folder, _ = trained
    command = ["train", "--data", photos, "--recipe", folder / "recipe.toml", "--out", "t"]
    stopped = run_interrupted(1, command, tmp_path)
    assert stopped.returncode == 130, stopped.stderr
    assert last_line(stopped.stderr).startswith("reconcile: interrupted; finished work is kept")
    assert len(list(csv.DictReader((tmp_path / "t" / "metrics.csv").open()))) < 3

    done = reconcile(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_weights(folder / "t", tmp_path / "t")
    assert len(list(csv.DictReader((tmp_path / "t" / "metrics.csv").open()))) == 3


def test_recipe_may_set_the_dtype(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(f'dtype = "bfloat16"\n{ONE_EPOCH}')
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", "--out", "t", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"; 1 x \w+, bfloat16\n", done.stderr)


def test_changed_recipe_is_not_resumed(trained, photos):
    folder, _ = trained
    (folder / "other.toml").write_text(RECIPE.format(first=3))
    done = reconcile("train", "--data", photos, "--recipe", folder / "other.toml", "--out", folder / "t")
    assert done.returncode == 2
    assert "was made with another recipe; start again with --no-resume" in done.stderr


def test_diverging_training_names_the_learning_rate(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH.replace("1e-3", "1e30"))
    done = reconcile("train", "--data", photos, "--recipe", "recipe.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "at 32 px: the learning rate of 1e+30 is too high" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("files", "code", "message"),
    [
        ({}, 1, "holds no labelled photos; it needs a labels.csv (image, count) beside the photos"),
        ({"labels.csv": "image,fold\n"}, 1, "labels.csv has no column count (its columns: image, fold)"),
        ({"labels.csv": "image,count\n"}, 1, "holds no photo with a label"),
        ({"recipe.toml": "version = 1"}, 2, "version: expected text in quotes (got 1); stages: is missing"),
        ({"recipe.toml": 'version = "a"\ndtype = "int8"\n[[stages]]\nsize = 32\nepochs = 1\nlearning_rate = 1'},
         2, "recipe.toml: dtype: expected auto, float32, bfloat16 or float16 (got 'int8')"),
        ({"recipe.toml": 'version = "a"\n[stages]\nsize = 32'}, 2, "stages: expected a list: write [[stages]]"),
        ({"recipe.toml": "version ="}, 2, "recipe.toml is not valid TOML"),
        ({"recipe.toml": 'version = "a"\nlabels = ["2", "1"]\n[[stages]]\nsize = 32\nepochs = 1\nlearning_rate = 1'},
         2, "expected two or more count labels in increasing order, not 2,1"),
        ({"recipe.toml": 'version = "a"\nstart_from = "m.onnx"\n[[stages]]\nsize = 32\nepochs = 1\nlearning_rate = 1'},
         2, "m.onnx; the path is relative to the recipe"),
    ],
)  # fmt: skip
def test_missing_input_ends_with_one_line(tmp_path, files, code, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    recipe = ["--recipe", "recipe.toml"] if "recipe.toml" in files else []
    done = reconcile("train", "--data", ".", "--out", "t", *recipe, cwd=tmp_path)
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    assert message in line


def test_training_without_its_extra_names_it(tmp_path):
    hide = "import sys; sys.modules['torch'] = None; sys.argv = ['reconcile', 'train', '--data', '.']; "
    hide += "from reconcile.cli import main; main()"
    done = subprocess.run([str(SCRIPTS / "python"), "-c", hide], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == "reconcile: training needs the extra `train`: in a checkout, make dev or pip install '.[train]'"
    )
    assert done.stdout == ""
