"""The Dockerfile, as far as it can be judged without a container engine; and where `train` finds photos in it."""

import os
import re
import subprocess
from pathlib import Path

from tests.conftest import SCRIPTS, reconcile

ROOT = Path(__file__).resolve().parents[2]


def test_the_dockerfile_has_nothing_to_complain_of():
    done = subprocess.run([SCRIPTS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_all_that_is_copied_into_the_image_is_there_and_not_ignored():
    text = (ROOT / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()]
    taken = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert set(copied) == taken
    assert all((ROOT / name).exists() for name in copied)


def test_photos_are_found_where_sagemaker_puts_them(tmp_path):
    """In a container that has not SageMaker's toolkit, and so none of its variables."""
    done = reconcile("train")
    assert done.returncode == 2
    assert "--data is missing (or SM_CHANNEL_TRAIN)" in done.stderr
    (tmp_path / "input/data/training").mkdir(parents=True)
    done = reconcile("train", "--recipe", "nowhere.toml", env=os.environ | {"SM_INPUT_DIR": str(tmp_path / "input")})
    assert "'--recipe'" in done.stderr
