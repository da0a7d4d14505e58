"""Temporary folders: a folder that the user chose and that cannot be used is an error, and /tmp is no substitute."""

import os
import tempfile

import pytest

from reconcile.errors import ReconcileError
from reconcile.output.scratch import scratch_folder
from reconcile.temporary import temporary_folder, temporary_parent
from tests.conftest import reconcile, write_bucket


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)


def test_first_variable_names_the_folder(monkeypatch, tmp_path):
    assert str(temporary_parent()) == tempfile.gettempdir()
    monkeypatch.setenv("TMP", str(tmp_path))
    assert temporary_parent() == tmp_path
    (tmp_path / "first").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", "first")
    with temporary_folder() as folder:
        assert folder.parent == tmp_path / "first"
    with scratch_folder() as folder:
        assert folder.parent == tmp_path / "first"
    assert list((tmp_path / "first").iterdir()) == []


@pytest.mark.parametrize("variable", ["TMPDIR", "TEMP", "TMP"])
@pytest.mark.parametrize(("name", "reason"), [("missing", "No such file or directory"), ("file", "Not a directory")])
@pytest.mark.parametrize("provide", [temporary_folder, scratch_folder])
def test_unusable_folder_is_one_line_that_names_the_variable(monkeypatch, tmp_path, variable, name, reason, provide):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / name))
    with pytest.raises(ReconcileError) as raised, provide():
        pytest.fail("another folder was taken")
    assert str(raised.value) == (
        f"cannot create a temporary file in {tmp_path / name}: {reason}; {variable} must name a folder that exists, "
        "can be written and has space"
    )


COMMANDS = [
    ["run", "--bucket", "w", "--out", "out"],
    ["report", "r", "--out", "out"],
    ["verdicts", "list", "--out", "out"],
    ["verdicts", "export", "v.csv", "--out", "out"],
    ["verdicts", "import", "v.csv", "--out", "out"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_command_without_its_temporary_folder_is_one_line(grey_model, tmp_path, command):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    (tmp_path / "out").mkdir()
    command = [f"./{word}" if word == "w" else word for word in command]
    model = ["--model", grey_model] if command[0] == "run" else []
    done = reconcile(*command, *model, env=os.environ | {"TMPDIR": "/nowhere"})
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "reconcile: cannot create a temporary file in /nowhere: No such file or directory; TMPDIR must name" in line
    assert not (tmp_path / "out" / "run.lock").exists()
