"""The commands and files that the documents show fit the program as it is."""

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from reconcile.cli.commands import app
from reconcile.config import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted({ROOT / "README.md", *DOCS.rglob("*.md")})
USAGE, BAD_INPUT, ALARM, INTERRUPTED = 2, 3, 4, 130  # docs/reference/exit-codes.md
NOT_RETRIED = {USAGE, BAD_INPUT, ALARM}


def page(name):
    return (DOCS / "how-to" / f"{name}.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def options_of(command):
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def flags_of(words):
    return {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}


def shown_commands(text):
    """Yield the words of each `reconcile …` that a page shows, from the name of the program on."""
    lines = [line for block in blocks(text, "(?:sh|cron)") for line in block.replace("\\\n", " ").splitlines()]
    quoted = re.findall(r"`(reconcile [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in (*lines, *quoted):
        for part in re.split(r"&&|[;|}>]|'(?=reconcile )", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a quote that began in another part
                words = part.replace("'", "").split()
            starts = [index for index, word in enumerate(words) if Path(word).name == "reconcile"]
            yield from (words[start:] for start in starts)


def crontab_line():
    [line] = blocks(page("every-night"), "cron")
    return line.strip()


def service(name="reconcile"):
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read(DOCS / "systemd" / f"{name}.service", encoding="utf-8")
    return unit["Service"]


def kubernetes_job():
    text = (DOCS / "kubernetes" / "cronjob.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]


def kubernetes_command():
    [container] = kubernetes_job()["template"]["spec"]["containers"]
    return shlex.join(["/opt/reconcile/bin/reconcile", *container["args"]])


def ray_cluster_files():
    return tuple(
        yaml.safe_load((DOCS / "ray" / name).read_text(encoding="utf-8")) for name in ("kuberay.yaml", "ec2.yaml")
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_shown_on_a_page_have_options_that_exist(path):
    for words in shown_commands(path.read_text(encoding="utf-8")):
        command, rest = get_command(app), words[1:]
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        if rest == words[1:]:  # `docker build -t reconcile .`
            continue
        assert flags_of(rest) <= options_of(command) | {"--help"}, " ".join(words)


def test_shown_commands_when_several_per_line_are_all_returned():
    block = "```sh\n( cd x && a/reconcile run \\\n  --out y; ray exec f 'reconcile run -x' )\n```\n"
    text = f"Say `reconcile doctor --bad`.\n\n{block}"
    assert list(shown_commands(text)) == [
        ["a/reconcile", "run", "--out", "y"],
        ["reconcile", "run", "-x", ")"],
        ["reconcile", "doctor", "--bad"],
    ]


@pytest.mark.parametrize("example", [crontab_line, lambda: service()["ExecStart"], kubernetes_command])
def test_scheduled_commands_have_options_that_exist(example):
    words = shlex.split(example())
    [start] = [index for index, word in enumerate(words) if word.endswith("/bin/reconcile")]
    assert words[start + 1] == "run"
    assert {"--bucket", "--out"} <= flags_of(words) <= options_of(get_command(app).commands["run"])


def test_settings_files_shown_on_pages_are_valid(monkeypatch):
    monkeypatch.setattr("reconcile.config._config_file", Path("nowhere.toml"))
    shown = [tomllib.loads(block) for path in PAGES for block in blocks(path.read_text(encoding="utf-8"), "toml")]
    files = [values for values in shown if "bucket" in values]
    assert len(files) >= 2
    for values in files:
        Settings(**values)


def test_recipes_shown_on_pages_are_valid():
    from reconcile.training.recipe import Recipe

    [recipe] = [tomllib.loads(block) for block in blocks(page("training"), "toml")]
    Recipe.model_validate(recipe)


def test_percent_sign_ends_a_line_of_a_crontab():
    assert not re.search(r"(?<!\\)%", crontab_line())


def test_systemd_unit_retries_only_what_may_succeed_later():
    unit = service()
    assert unit["Restart"] == "on-failure"
    assert {int(code) for code in unit["RestartPreventExitStatus"].split()} == NOT_RETRIED
    assert int(unit["SuccessExitStatus"]) == INTERRUPTED
    assert unit["KillSignal"] == "SIGTERM"


@pytest.mark.parametrize("name", ["reconcile", "reconcile-recount"])
def test_systemd_unit_has_few_rights_and_bounded_memory(name):
    unit = service(name)
    assert (unit["ProtectSystem"], unit["CapabilityBoundingSet"]) == ("strict", "")
    assert {unit[key] for key in ("NoNewPrivileges", "PrivateTmp", "RestrictSUIDSGID", "PrivateDevices")} == {"true"}
    assert unit["MemoryMax"] == "4G"
    assert unit["TimeoutStartSec"]
    assert unit["ReadWritePaths"] in unit["ExecStart"].split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path):
    for path in (DOCS / "systemd").iterdir():
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(encoding="utf-8"))
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", *tmp_path.glob("reconcile*")], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_kubernetes_job_retries_only_what_may_succeed_later():
    job = kubernetes_job()
    failed, disrupted = job["podFailurePolicy"]["rules"]
    assert failed["action"] == "FailJob"
    assert failed["onExitCodes"]["operator"] == "In"
    assert set(failed["onExitCodes"]["values"]) == NOT_RETRIED
    assert disrupted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    pod = job["template"]["spec"]
    assert failed["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy allows nothing else


def test_kubernetes_file_on_the_page_is_the_file():
    [shown] = blocks(page("every-night"), "yaml")
    assert shown == (DOCS / "kubernetes" / "cronjob.yaml").read_text(encoding="utf-8")


def test_commands_for_gpu_clusters_wait_for_gpus():
    kuberay, _ = ray_cluster_files()
    shown = [words for words in shown_commands(page("ray")) if words[1:2] == ["run"] and "--out" in words]
    shown.append(shlex.split(kuberay["spec"]["entrypoint"]))
    assert len(shown) == 5
    for words in shown:
        assert {"--engine", "--bucket", "--out"} <= flags_of(words) <= options_of(get_command(app).commands["run"])
    # A run that starts before the GPUs have joined must not choose the CPUs.
    on_gpus = [words for words in shown if "127.0.0.1:6379" in words or "--ray-address" not in words][1:]
    assert len(on_gpus) == 3
    assert all("--device cuda" in " ".join(words) for words in on_gpus)


def test_ray_job_starts_no_second_cluster_after_an_alarm():
    kuberay, _ = ray_cluster_files()
    assert kuberay["spec"]["backoffLimit"] == 0


def test_ray_clusters_share_one_image_and_count_on_no_head():
    kuberay, ec2 = ray_cluster_files()
    cluster = kuberay["spec"]["rayClusterSpec"]
    head, [workers] = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    containers = [group["template"]["spec"]["containers"][0] for group in (head, workers)]
    assert {container["image"] for container in containers} == {ec2["docker"]["image"]}
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert ec2["available_node_types"][ec2["head_node_type"]]["resources"] == {"CPU": 0}
    assert workers["minReplicas"] == workers["maxReplicas"] == ec2["available_node_types"]["worker"]["min_workers"]


def test_recount_service_starts_the_app_for_the_network():
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read(DOCS / "systemd" / "reconcile-recount.service", encoding="utf-8")
    program, command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert (program, command) == ("/srv/reconcile/.venv/bin/reconcile", "recount")
    known = {option for parameter in get_command(app).commands["recount"].params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known
    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"
    assert unit["Service"]["Environment"] == f"XDG_STATE_HOME=/var/lib/{unit['Service']['StateDirectory']}"
