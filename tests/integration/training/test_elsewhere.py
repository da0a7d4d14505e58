"""Training in several processes, with the environment of SageMaker, and in a search."""

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
from tests.integration.training.interrupted import run_interrupted
from tests.integration.training.recipes import ONE_EPOCH, RECIPE


def test_two_processes_train_and_resume_together(photos, tmp_path):
    """Two stages start from a model and are interrupted in between. The processes run on the CPU."""
    start_from = f'start_from = "{resource("models", "bin-counter-int8.onnx")}"'
    recipe = RECIPE.format(first=1).replace("batch_size = 8", f"batch_size = 8\n{start_from}")
    (tmp_path / "recipe.toml").write_text(recipe)
    torchrun = [SCRIPTS / "torchrun", "--nproc-per-node", "2"]
    arguments = ["train", "--data", photos, "--recipe", "recipe.toml", "--out", "t"]
    environment = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    stopped = run_interrupted(1, arguments, tmp_path, torchrun, **environment)
    assert stopped.stderr.count("held out; 2 x cpu") == 1
    assert "interrupted; finished work is kept" in stopped.stderr

    alone = reconcile("train", "--data", photos, "--recipe", "recipe.toml", "--out", "t", cwd=tmp_path)
    assert alone.returncode == 2
    assert "was made by 2 process(es), not 1" in alone.stderr
    command = [*torchrun, "--no-python", SCRIPTS / "reconcile", *arguments]
    options = {"cwd": tmp_path, "env": os.environ | environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best checkpoint") == 1
    rows = list(csv.DictReader((tmp_path / "t" / "metrics.csv").open()))
    assert [(row["size"], row["epoch"]) for row in rows] == [("32", "1"), ("40", "1")]


def test_signal_after_the_last_checkpoint_prevents_the_export(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE.format(first=2))  # three epochs, and one last.pt after each
    command = ["train", "--data", photos, "--recipe", "recipe.toml", "--out", "t"]
    stopped = run_interrupted(3, command, tmp_path, SM_MODEL_DIR=str(tmp_path / "model"))
    assert stopped.returncode == 130, stopped.stderr
    assert "interrupted; finished work is kept" in stopped.stderr
    assert not (tmp_path / "model").exists()
    done = reconcile(*command, cwd=tmp_path, env=os.environ | {"SM_MODEL_DIR": str(tmp_path / "model")})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "bin-counter-int8.onnx").exists()


def test_environment_of_sagemaker_sets_the_folders(photos, tmp_path):
    for number in range(6):
        folder = tmp_path / "valid" / f"{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "bin-images" / f"{number + 5}.jpg", folder)
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH)
    channels = {"SM_CHANNEL_TRAINING": str(photos), "SM_CHANNEL_VALIDATION": str(tmp_path / "valid")}
    environment = os.environ | channels | {"SM_MODEL_DIR": str(tmp_path / "model")}
    done = reconcile("train", "--recipe", "recipe.toml", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "training on 40 photos and 6 drawings, 6 photos held out" in done.stderr
    written = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert written == ["bin-counter-fp16.onnx", "bin-counter-int8.onnx"]


def test_tuning_writes_a_recipe_and_continues(photos, tmp_path):
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH)
    command = ["tune", "--data", photos, "--recipe", "recipe.toml"]
    done = reconcile_from_scratch(*command, "--trials", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trial 1 of 2: learning rate factor 1, weight decay 0.05, label sigma 0.6," in done.stderr, (
        "the first trial is the recipe"
    )
    assert "trial 2 of 2" in done.stderr
    more = reconcile(*command, "--trials", 3, cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "trial 3 of 3" in more.stderr
    assert "trial 1 " not in more.stderr
    (tmp_path / "recipe.toml").write_text(ONE_EPOCH.replace("epochs = 1", "epochs = 2"))
    other = reconcile(*command, "--trials", 4, cwd=tmp_path)
    assert other.returncode == 2
    assert "holds a search of another recipe or other photos" in other.stderr
    best = (tmp_path / "tuning" / "best.toml").read_text()
    assert best.startswith("# Best of 3 finished trials by `reconcile tune`: −ln P ")
    assert read_recipe(tmp_path / "tuning" / "best.toml").stages[0].size == 32
