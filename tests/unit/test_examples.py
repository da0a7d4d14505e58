"""The examples in docs/ for cron, systemd and Ray fit the command line."""

import configparser
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from reconcile.cli import app, exits
from reconcile.output import summary

ROOT = Path(__file__).parents[2]


def crontab_line():
    [line] = re.findall("```cron\n(.*)\n```", (ROOT / "docs/how-to/every-night.md").read_text(encoding="utf-8"))
    return line


def ray_documents():
    """The files for a cluster, and the page about them, as YAML and as text."""
    folder = ROOT / "docs" / "ray"
    kuberay, ec2 = (
        yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in ("kuberay.yaml", "ec2.yaml")
    )
    return kuberay, ec2, (ROOT / "docs" / "how-to" / "ray.md").read_text(encoding="utf-8")


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


def test_what_is_run_on_a_ray_cluster_has_options_that_exist():
    kuberay, _, page = ray_documents()
    known = {option for parameter in get_command(app).commands["run"].params for option in parameter.opts}
    shown = [kuberay["spec"]["entrypoint"], *re.findall(r"reconcile run --[^\n']*", page)]
    assert len(shown) == 5
    for command in shown:
        flags = {word for word in shlex.split(command, comments=True) if word.startswith("--")}
        assert {"--engine", "--bucket", "--out"} <= flags <= known
    # Whoever starts before the GPUs have joined must not choose the CPUs for that.
    clusters_of_gpus = [
        command for command in shown if "HEAD" not in command and "--engine ray --bucket" not in command
    ]
    assert len(clusters_of_gpus) == 3
    assert all("--device cuda" in command for command in clusters_of_gpus)


def test_a_night_that_is_done_but_alarms_starts_no_further_clusters():
    kuberay, _, _ = ray_documents()
    assert kuberay["spec"]["backoffLimit"] == 0


def test_the_clusters_that_are_shown_are_of_one_image_and_count_on_no_head():
    kuberay, ec2, _ = ray_documents()
    cluster = kuberay["spec"]["rayClusterSpec"]
    head, [workers] = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    containers = [group["template"]["spec"]["containers"][0] for group in (head, workers)]
    assert {container["image"] for container in containers} == {ec2["docker"]["image"]}
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert ec2["available_node_types"][ec2["head_node_type"]]["resources"] == {"CPU": 0}
    assert workers["minReplicas"] == workers["maxReplicas"] == ec2["available_node_types"]["worker"]["min_workers"]


def test_a_percent_sign_ends_a_line_of_a_crontab():
    assert not re.search(r"(?<!\\)%", crontab_line())


def test_the_unit_tries_again_what_may_go_better_the_next_time():
    unit = service()
    assert unit["Restart"] == "on-failure"
    assert {int(code) for code in unit["RestartPreventExitStatus"].split()} == {
        exits.USAGE,
        summary.EXIT_BAD_INPUT,
        summary.EXIT_ALARM,
    }
    assert int(unit["SuccessExitStatus"]) == exits.INTERRUPTED
    assert unit["KillSignal"] == "SIGTERM"
