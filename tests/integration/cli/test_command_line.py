"""The command line: the line that ends a command, usage, help, and logs for people and for programs."""

import json
import os
import subprocess

import pytest

from tests.conftest import SCRIPTS, last_line, reconcile, reconcile_from_scratch, write_bucket


@pytest.fixture
def warehouse(tmp_path):
    """Return a bucket of three bins, one of them short."""
    return write_bucket(tmp_path / "warehouse", {"1": (1, 1), "2": (3, 5), "3": (2, 2)})


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--bucket", "./nowhere"], 1, "no such folder"),
        (["--bucket", "nobodys", "--endpoint-url", "http://127.0.0.1:1"], 1, "no answer"),
        (["--bucket", "./w", "--model", "none.onnx"], 1, "there is no model file none.onnx"),
        (["--bucket", "./w", "--out", "/proc/nowhere"], 1, "/proc/nowhere"),
        (["--bucket", "./w", "--images-prefix", "none/"], 1, "no photos under"),
        (["--bucket", "./w/metadata"], 1, "are --bucket and --images-prefix right?"),
        (["--bucket", "./w", "--records-prefix", "none/"], 1, "no records under"),
        (["--bucket", "./w", "--out", "w/bin-images/out"], 2, "--out lies in"),
        (["--bucket", "b", "--endpoint-url", "localhost:9000"], 2, "--endpoint-url"),
        (["--bucket", "./w", "--records", "broken.parquet"], 1, "broken.parquet cannot be read"),
        (["--bucket", "./w", "--records", "s3://stock.csv"], 1, "names a bucket or a folder in it, but no object"),
        (["--bucket", "./w", "--records", "none.csv"], 1, "--records: there is no file none.csv"),
        (["--bucket", "./w", "--records", "stock.txt"], 2, "expected a file ending in"),
        (["--bucket", "./w", "--records", "stock.csv"], 2, "no column 'bin_id'"),
        (["--bucket", "./w", "--run-id", "done"], 1, "run done has finished already"),
        (["--bucket", "./w", "--batch-size", "0"], 2, "--batch-size"),
        (["--bucket", "./w", "--device", "tpu"], 2, "--device"),
        ([], 2, "--bucket is missing"),
    ],
)
def test_failed_run_ends_in_one_line(grey_model, tmp_path, arguments, code, message):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    (tmp_path / "stock.csv").write_text("location,qty\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "out" / "runs" / "done").mkdir(parents=True)
    (tmp_path / "out" / "runs" / "done" / "summary.json").write_text("{}")
    defaults = ["--model", grey_model] if "--model" not in arguments else []
    defaults += ["--out", "out"] if "--out" not in arguments else []
    done = reconcile("run", *arguments, *defaults)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    last = last_line(done.stderr)
    assert last.startswith("reconcile: ")
    assert message in last
    assert not (tmp_path / "out" / "counts").exists()


def test_failed_run_with_json_log_ends_in_a_json_line(warehouse, grey_model):
    arguments = ["run", "--bucket", warehouse, "--model", grey_model, "--out", "o", "--log-format", "json"]
    messages = {1: "no photos", 2: "--batch-size", 4: "alarm"}
    for more, code in ((["--images-prefix", "none/"], 1), (["--batch-size", "0"], 2), (["--alarm", "1%"], 4)):
        done = reconcile(*arguments, *more)
        assert done.returncode == code
        last = [json.loads(line) for line in done.stderr.splitlines()][-1]
        assert last["level"] == "error"
        assert messages[code] in last["message"]


def test_ascii_log_does_not_end_a_run(warehouse, grey_model):
    done = reconcile_from_scratch(
        "run",
        "--bucket",
        warehouse,
        "--model",
        grey_model,
        "--out",
        "ö",
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr


def test_unknown_variable_is_a_warning_unless_misspelled(warehouse, grey_model, monkeypatch):
    monkeypatch.setenv("RECONCILE_SERVICE_HOST", "10.0.0.1")
    arguments = ["run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--images-prefix", "none/"]
    done = reconcile(*arguments)
    assert "warning: the environment has RECONCILE_SERVICE_HOST, but reconcile has no such setting" in done.stderr
    assert "10.0.0.1" not in done.stderr
    monkeypatch.setenv("RECONCILE_IMAGE_PREFIX", "none/")
    done = reconcile(*arguments)
    assert done.returncode == 2
    line = "reconcile: there is no setting RECONCILE_IMAGE_PREFIX; did you mean RECONCILE_IMAGES_PREFIX?"
    assert last_line(done.stderr) == line


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["run", "--buket", "x"],
            "No such option: --buket (Possible options: --bucket, --keys, --out). Try: reconcile run",
        ),
        (["run", "--limit", "few"], "Invalid value for '--limit': expected a whole number. Try: reconcile run --help"),
        (["report"], "Missing argument 'RUN'. Try: reconcile report --help"),
        (["verdicts", "imprt"], "No such command 'imprt'. Did you mean 'import'? Try: reconcile verdicts --help"),
    ],
)
def test_wrong_usage_ends_in_one_line(typed, message):
    done = reconcile(*typed)
    assert done.returncode == 2
    assert done.stderr.startswith(f"reconcile: {message}")
    assert done.stderr.count("\n") == 1


def test_group_without_a_command_shows_its_help():
    done = reconcile("verdicts")
    assert done.returncode == 2
    assert "import" in done.stdout
    assert done.stderr == ""


def test_json_log_and_result_are_one_object_per_line(warehouse, grey_model):
    done = reconcile(
        "run", "--bucket", warehouse, "--model", grey_model, "--out", "o", "--log-format", "json", "--run-id", "n1"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bins"] == 3
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["run_id"] for line in lines} == {"n1"}
    assert [line.get("counted") for line in lines if line.get("stage") == "count"] == [3]
    timed = [line["stage"] for line in lines if line.get("seconds", -1) >= 0]
    assert sorted(timed[:4]) == ["count", "list", "list", "records"]
    assert timed[4:] == ["reconcile", "report"]
    seconds = {line["stage"]: line["seconds"] for line in lines if "seconds" in line and line["stage"] != "list"}
    assert seconds == json.loads(done.stdout)["seconds"]


def test_help_loads_no_heavy_library():
    heavy = ("duckdb", "pandas", "onnxruntime", "boto3", "torch", "rich")
    code = (
        "import atexit, sys; sys.argv = ['reconcile', '--help']; "
        f"atexit.register(lambda: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)); "
        "from reconcile.cli import main; main()"
    )
    done = subprocess.run([str(SCRIPTS / "python"), "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(command in done.stdout for command in ("run", "demo", "doctor", "train", "export"))


def test_help_groups_options_and_shows_whole_sentences():
    helped = reconcile("run", "--help").stdout
    headings = ["Photos and records:", "Access to S3:", "Model:", "Ray and SageMaker:", "Results:", "Options:"]
    assert [line for line in helped.splitlines() if line in headings] == headings
    assert helped.index("Access to S3:") < helped.index("--endpoint-url <str>") < helped.index("Model:")
    commands = " ".join(reconcile_from_scratch("--help").stdout.split())
    assert "prune Remove old runs, and counts of models that no kept run used. Verdicts and records stay." in commands
    assert "verdicts Import, list and export verdicts: what people found when they recounted bins." in commands
