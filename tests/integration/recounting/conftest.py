"""Fixtures of the recount tests: a finished run, and the app over copies of it."""

import shutil

import pytest

from tests.conftest import reconcile, write_bucket
from tests.recount_phones import AppInProcess
from tests.recount_process import RecountProcess

# bin id: (items in the photo, items on record). The records of A-1-2, A-2-1 and B-1-10 are wrong by the photo.
BINS = {
    "A-1-1": (2, 2),
    "A-1-2": (1, 4),
    "A-2-1": (5, 2),
    "A-10-1": (3, 3),
    "B-1-9": (4, 4),
    "B-1-10": (0, 3),
}
WHERE = r"(?P<aisle>[A-Z])-(?P<rack>\d+)-(?P<shelf>\d+)"


@pytest.fixture(scope="session")
def counted_bins(tmp_path_factory, grey_model):
    """Return a folder with the bucket `w` and the output folder `out` with the run n1. Tests must not change them."""
    folder = tmp_path_factory.mktemp("recount")
    bucket = write_bucket(folder / "w", BINS)
    arguments = ["--model", grey_model, "--out", folder / "out", "--run-id", "n1", "--where", WHERE]
    done = reconcile("run", "--bucket", bucket, *arguments)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def out(counted_bins, tmp_path):
    """Return an output folder with the run n1 that nobody has counted yet."""
    shutil.copytree(counted_bins / "out", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def start_app(out, tmp_path):
    """Return a function that starts the app in this process. All apps end after the test."""
    running = []

    def start(folder=tmp_path, location=out, **options):
        folder.mkdir(exist_ok=True)
        running.append(AppInProcess(folder, location, **options))
        return running[-1]

    yield start
    for app in running:
        app.close()


@pytest.fixture
def app(start_app):
    """Return the app over bins that nobody has counted yet."""
    return start_app()


@pytest.fixture
def start_process(out, tmp_path):
    """Return a function that starts `reconcile recount`. All processes end after the test."""
    running = []

    def start(*arguments, **options):
        running.append(RecountProcess(tmp_path, "--out", out, *arguments, **options))
        return running[-1]

    yield start
    for server in running:
        if server.process.poll() is None:
            server.kill()
