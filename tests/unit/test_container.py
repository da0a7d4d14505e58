"""The Dockerfile, checked without a container engine, and where `reconcile train` looks for photos in a container."""

import os
import re
import subprocess
from pathlib import Path

from tests.conftest import SCRIPTS, reconcile

ROOT = Path(__file__).resolve().parents[2]


def test_hadolint_finds_no_problem_in_the_dockerfile():
    done = subprocess.run([SCRIPTS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_copied_paths_exist_and_are_not_ignored():
    text = (ROOT / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()]
    ignore_lines = (ROOT / ".dockerignore").read_text().splitlines()
    not_ignored = {line.removeprefix("!") for line in ignore_lines if line[:1] == "!"}
    assert set(copied) == not_ignored
    assert all((ROOT / name).exists() for name in copied)


def test_train_uses_the_channel_folder_of_sagemaker(tmp_path):
    """Run `train` without the variables that SageMaker's toolkit sets. A container without the toolkit has none."""
    done = reconcile("train")
    assert done.returncode == 2
    assert "--data is missing (or SM_CHANNEL_TRAIN)" in done.stderr
    (tmp_path / "input/data/training").mkdir(parents=True)
    done = reconcile("train", "--recipe", "nowhere.toml", env=os.environ | {"SM_INPUT_DIR": str(tmp_path / "input")})
    assert "'--recipe'" in done.stderr
