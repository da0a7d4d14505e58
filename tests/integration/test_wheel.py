"""A wheel contains SQL, templates and models, and finds them."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.conftest import SCRIPTS, write_bucket

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a folder with the unpacked wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [SCRIPTS / "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_wheel_runs_without_its_checkout(installed, grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"1": (1, 1), "2": (2, 4)})
    code = "import reconcile; print(reconcile.__file__); from reconcile.cli import main; main()"
    done = subprocess.run(
        [SCRIPTS / "python", "-c", code, "run", "--bucket", "./w", "--model", grey_model, "--out", "out"],
        env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert list((tmp_path / "out").rglob("report.html"))


def test_wheel_has_all_shipped_files(installed):
    shipped = installed / "reconcile" / "_resources"
    for folder in ("sql", "reports", "models"):
        expected = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert expected == {
            path.relative_to(shipped / folder) for path in (shipped / folder).rglob("*") if path.is_file()
        }
