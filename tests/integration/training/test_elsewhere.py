"""Training on several GPUs, on SageMaker, and many times over."""

import csv
import os
import shutil
import subprocess

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("torchvision", reason="the extra `train` is not installed")

from reconcile.resources import resource
from reconcile.training.recipe import read_recipe
from tests.conftest import SCRIPTS, reconcile, reconcile_from_scratch
from tests.integration.training.interrupted import run_stopped
from tests.integration.training.recipes import ONE_EPOCH, RECIPE


def test_two_processes_train_together_and_go_on_together(photos, tmp_path):
    """Two stages, started from a model, stopped in between: as on two GPUs, but on CPUs."""
    start_from = f'start_from = "{resource("models", "bin-counter-int8.onnx")}"'
    recipe = RECIPE.format(first=1).replace("batch_size = 8", f"batch_size = 8\n{start_from}")
    (tmp_path / "recipe.toml").write_text(recipe)
    torchrun = [SCRIPTS / "torchrun", "--nproc-per-node", "2"]
    arguments = ["train", "--data", photos, "--recipe", "recipe.toml", "--out", "t"]
    environment = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    stopped = run_stopped(1, arguments, tmp_path, torchrun, **environment)
    assert stopped.stderr.count("held out; 2 x cpu") == 1
    assert "interrupted; finished work is kept" in stopped.stderr

    alone = reconcile("train", "--data", photos, "--recipe", "recipe.toml", "--out", "t", cwd=tmp_path)
    assert alone.returncode == 2
    assert "was made by 2 process(es), not 1" in alone.stderr
    command = [*torchrun, "--no-python", SCRIPTS / "reconcile", *arguments]
    everywhere = {"cwd": tmp_path, "env": os.environ | environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **everywhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best checkpoint") == 1
    rows = list(csv.DictReader((tmp_path / "t" / "metrics.csv").open()))
    assert [(row["size"], row["epoch"]) for row in rows] == [("32", "1"), ("40", "1")]


def test_a_stop_that_comes_with_the_last_checkpoint_is_heard_before_the_export(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH)
    command = ["train", "--data", photos, "--recipe", "recipe.toml", "--out", "t"]
    stopped = run_stopped(1, command, tmp_path, SM_MODEL_DIR=str(tmp_path / "model"))
    assert stopped.returncode == 130, stopped.stderr
    assert "interrupted; finished work is kept" in stopped.stderr
    assert not (tmp_path / "model").exists()
    done = reconcile(*command, cwd=tmp_path, env=os.environ | {"SM_MODEL_DIR": str(tmp_path / "model")})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "bin-counter-int8.onnx").exists()


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
    done = reconcile_from_scratch(*command, "--trials", 2, cwd=tmp_path)
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
