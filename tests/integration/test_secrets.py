"""No log and no file of a run holds a secret."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reconcile.cli import commands
from reconcile.concurrency import cancellation
from reconcile.config import load_settings
from reconcile.errors import UsageError
from tests.conftest import SECRET_KEY, reconcile, write_bucket

TOKEN, PASSWORD, SIGNATURE = "session/token+of//some=length", "pass-of-the-proxy", "f00d5ignature"
SECRETS = [SECRET_KEY, TOKEN, PASSWORD, SIGNATURE, "wrong-secret-key"]
PRESIGNED = f"http://127.0.0.1:1/w/stock.csv?X-Amz-Security-Token={TOKEN}&X-Amz-Signature={SIGNATURE}"


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("RECONCILE_DEBUG", "1")


@pytest.fixture
def leaky_server():
    """Return the address of a server that refuses all requests and repeats the session token, as S3 does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"<Error><Code>Odd</Code><Message>no such luck</Message><Token-0>{TOKEN}</Token-0></Error>".encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def failed(monkeypatch, capfd, grey_model):
    """Return a function that runs a failing command in this process and returns its output."""
    monkeypatch.setattr(cancellation, "install_handlers", lambda: None)
    monkeypatch.setattr(commands, "end_on_signals", lambda code: None)
    monkeypatch.setattr(commands, "any_running", lambda: False)  # otherwise the command would end the tests

    def run(command, *arguments):
        model = ["--model", str(grey_model)]
        monkeypatch.setattr(sys, "argv", ["reconcile", command, *map(str, arguments), *model])
        with pytest.raises(SystemExit) as ended:
            commands.execute()
        assert ended.value.code in (1, 2)
        return "".join(capfd.readouterr())

    return run


def secrets_in(text):
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--bucket", "b", "--endpoint-url", "LEAKY-SERVER"], "Odd no such luck"),
        (["--bucket", "./w", "--out", "s3://b/out", "--endpoint-url", "LEAKY-SERVER"], "Odd no such luck"),
        (["--bucket", "./w", "--records", "s3://b/stock.csv", "--endpoint-url", "LEAKY-SERVER"], "Odd no such luck"),
        (["--bucket", "b", "--endpoint-url", "http://127.0.0.1:1"], "no answer"),
        (["--bucket", "b", "--endpoint-url", f"http://me:{PASSWORD}@h"], "holds credentials"),
        (["--bucket", "b", "--endpoint-url", PRESIGNED], "holds credentials"),
        (["--bucket", PRESIGNED], "--bucket: is a web address"),
        (["--bucket", "./w", "--records", PRESIGNED], "--records: is a web address"),
        (["--bucket", "./w", "--costs", PRESIGNED], "--costs: is a web address"),
        (["--bucket", "./w", "--out", PRESIGNED], "--out: is a web address"),
        (["--bucket", f"s3://AKIAKEY:{PASSWORD}@b"], "--bucket: holds credentials"),
        (["--bucket", f"AKIAKEY:{PASSWORD}@b/prefix"], "--bucket: holds credentials"),
        (["--bucket", "./w", f"--records=postgresql://me:{PASSWORD}@db/stock"], "--records: has the scheme postgresql"),
        (["--bucket", "./w", "--costs", f"https://me:{PASSWORD}@h/costs.csv"], "--costs: is a web address"),
        (["--bucket", "./w", "--keys", f"s3://k:{PASSWORD}/x@b/keys.csv"], "--keys: holds credentials"),
        (["--bucket", "./w", "--out", f"s3a://k:{PASSWORD}@b/out"], "--out: holds credentials"),
        (["--bucket", "./w", "--out", f"gs://b/out?token={PASSWORD}"], "--out: has the scheme gs://"),
        (["--bucket", "./w", "--sagemaker-options", f"https://me:{PASSWORD}@h/o"], "--sagemaker-options: "),
        (["--bucket", "./w", "--ray-address", f"ray://me:{PASSWORD}@h:1"], "--ray-address: "),
        (["--bucket", "./w", "--capacity", f"https://me:{PASSWORD}@h"], "--capacity: is a web address"),
        (["--bucket", "./w", f"postgresql://me:{PASSWORD}@db/stock"], "argument 4: has the scheme postgresql://"),
    ],
)
def test_failed_run_prints_no_secret(failed, leaky_server, tmp_path, arguments, line, log_format):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    arguments = [leaky_server if argument == "LEAKY-SERVER" else argument for argument in arguments]
    output = failed("run", *arguments, "--log-format", log_format)
    assert line in output
    assert secrets_in(output) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", f"https://me:{PASSWORD}@h/runs/1"],
        ["report", "1", "--bucket", f"postgresql://me:{PASSWORD}@db"],
        ["ingest", f"s3://k:{PASSWORD}@b/out"],
        ["verdicts", "import", f"postgresql://db/verdicts?password={PASSWORD}"],
        ["verdicts", "export", PRESIGNED],
        ["train", "--data", f"https://me:{PASSWORD}@h/photos", "--out", "o"],
        ["evaluate", "--data", f"https://me:{PASSWORD}@h/photos"],
        ["export", f"https://me:{PASSWORD}@h/last.pt"],
        ["sagemaker", "train", "--data", f"s3://k:{PASSWORD}@b/photos", "--out", "s3://b/o"],
        ["serve", "--bucket", f"s3://k:{PASSWORD}@b"],
        ["doctor", "--model", f"https://me:{PASSWORD}@h/m.onnx"],
        [f"https://me:{PASSWORD}@h"],
    ],
    ids=lambda arguments: " ".join(arguments)[:16],
)
def test_no_command_repeats_a_secret_of_its_arguments(arguments):
    done = reconcile(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("reconcile: ")
    assert len(done.stderr.splitlines()) == 1
    assert secrets_in(done.stdout + done.stderr) == []


SECRET_SETTINGS = {
    "bucket": f"s3://AKIAKEY:{PASSWORD}@b",
    "records": f"postgresql://me:{PASSWORD}@db/stock",
    "costs": f"https://me:{PASSWORD}@h/costs.csv",
    "keys": f"s3://k:{PASSWORD}@b/keys.csv",
    "out": f"k:{PASSWORD}@b/out",
    "model": f"https://me:{PASSWORD}@h/m.onnx",
    "sagemaker_options": f"file:/h/o?password={PASSWORD}",
    "image_uri": f"https://me:{PASSWORD}@registry/reconcile:1",
    "ray_address": f"ray://me:{PASSWORD}@h:1",
    "endpoint_url": f"me:{PASSWORD}@h:9000",
    "capacity": f"https://me:{PASSWORD}@h",
    "where": f"https://me:{PASSWORD}@(?P<a>.)",
}


@pytest.mark.parametrize("name", SECRET_SETTINGS)
def test_setting_is_checked_before_a_message_repeats_it(name, monkeypatch):
    values = {"bucket": "b"} | {name: SECRET_SETTINGS[name]}
    monkeypatch.setenv(f"RECONCILE_{name.upper()}", SECRET_SETTINGS[name])
    with pytest.raises(UsageError) as raised:
        load_settings({}, need_bucket=False)
    assert f"RECONCILE_{name.upper()}: " in str(raised.value)
    assert secrets_in(str(raised.value)) == []
    monkeypatch.delenv(f"RECONCILE_{name.upper()}")
    Path("reconcile.toml").write_text("".join(f"{key} = '{value}'\n" for key, value in values.items()))
    with pytest.raises(UsageError, match=f"^{name} in reconcile.toml: ") as raised:
        load_settings({})
    assert secrets_in(str(raised.value)) == []


def test_failed_command_prints_no_secret_of_the_environment(failed, s3, leaky_server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{PASSWORD}@127.0.0.1:1")
    output = failed("run", "--bucket", "b")
    assert "the S3 endpoint holds credentials" in output
    assert secrets_in(output) == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", leaky_server)
    output = failed("doctor", "--bucket", "b")
    assert output.count("Odd no such luck") == 2
    assert secrets_in(output) == []
    (s3.root / "b").mkdir()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint_url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-key")
    output = failed("run", "--bucket", "b")
    assert "cannot list s3://b" in output
    assert secrets_in(output) == []


def test_files_of_a_run_hold_no_secret(s3, grey_model, tmp_path):
    write_bucket(s3.root / "w", {"1": (1, 1), "2": (1, 3), "3": (None, 2)})
    (s3.root / "w" / "bin-images" / "4.jpg").write_bytes(b"")
    done = reconcile(
        "run", "--bucket", "w", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out",
        "--log-format", "json", "--max-unreadable", "50%",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert secrets_in(done.stdout + done.stderr) == []
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet", ".csv", ".html", ".json"}
    for path in files:
        assert secrets_in(path.read_bytes().decode("latin-1")) == [], path
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            assert secrets_in(f"{table.to_pylist()} {table.schema.metadata}") == [], path
