"""Options of an engine that is not chosen are an error."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from reconcile.cli.commands import app


def run_without_bucket(*arguments):
    """Run `reconcile run` on a folder that does not exist. Return exit code and standard error."""
    done = CliRunner().invoke(app, ["run", "--bucket", "./nowhere", "--out", "out", *arguments])
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--ray-address", "h:1"], "--ray-address needs --engine ray, but the engine is local"),
        (
            ["--ray-address", "h:1", "--instance-count", "4", "--role", "r"],
            "--role, --instance-count need --engine sagemaker, but the engine is local",
        ),
        (
            ["--engine", "ray", "--instance-type", "t"],
            "--instance-type needs --engine sagemaker, but the engine is ray",
        ),
        (
            ["--engine", "sagemaker", "--ray-gpus-per-actor", "1"],
            "--ray-gpus-per-actor needs --engine ray, but the engine is sagemaker",
        ),
    ],
)
def test_options_of_another_engine_are_refused(arguments, line):
    code, stderr = run_without_bucket(*arguments)
    assert code == 2
    assert stderr.endswith(f" reconcile: {line}\n")
    assert stderr.count("\n") == 1


def test_environment_and_file_may_keep_settings_of_any_engine(monkeypatch):
    Path("reconcile.toml").write_text('ray_address = "h:1"\n')
    monkeypatch.setenv("RECONCILE_INSTANCE_COUNT", "4")
    code, stderr = run_without_bucket()
    assert code == 1
    assert "there is no such folder" in stderr
