"""What the README and docs/ tell people to put into cron and systemd fits the command as it is."""

import configparser
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from reconcile import summary
from reconcile.cli import app
from reconcile.commands import endings

ROOT = Path(__file__).parents[2]


def crontab_line():
    [line] = re.findall("```cron\n(.*)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))
    return line


def service():
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read(ROOT / "docs" / "systemd" / "reconcile.service", encoding="utf-8")
    return unit["Service"]


@pytest.mark.parametrize("example", [crontab_line, lambda: service()["ExecStart"]])
def test_a_command_that_is_shown_has_options_that_exist(example):
    words = shlex.split(example())
    [start] = [position for position, word in enumerate(words) if word.endswith("/bin/reconcile")]
    assert words[start + 1] == "run"
    known = {option for parameter in get_command(app).commands["run"].params for option in parameter.opts}
    flags = {word for word in words if word.startswith("--")}
    assert {"--bucket", "--out"} <= flags <= known


def test_a_percent_sign_ends_a_line_of_a_crontab():
    assert not re.search(r"(?<!\\)%", crontab_line())


def test_the_unit_tries_again_what_may_go_better_the_next_time():
    unit = service()
    assert unit["Restart"] == "on-failure"
    assert {int(code) for code in unit["RestartPreventExitStatus"].split()} == {
        endings.USAGE,
        summary.EXIT_UNREADABLE,
        summary.EXIT_ALARM,
    }
    assert int(unit["SuccessExitStatus"]) == endings.INTERRUPTED
    assert unit["KillSignal"] == "SIGTERM"
