"""How `reconcile serve` ends: at SIGTERM, once what has begun is answered, or before it has begun."""

import signal
import socket
import subprocess
import sys
import time

from tests.conftest import grey_photo, reconcile
from tests.serving_process import Server


def test_sigterm_is_obeyed_when_what_has_begun_is_answered(grey_model, tmp_path):
    server = Server(tmp_path, "--model", grey_model, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv")
    server.wait_until_ready()
    assert (
        "names no bucket, and RECONCILE_BUCKET is not set"
        in server.count_keys([{"key": "a", "etag": "b"}]).json["error"]
    )
    photo = grey_photo(5)
    begun = server.connect()
    begun.putrequest("POST", "/invocations")
    begun.putheader("content-type", "image/jpeg")
    begun.putheader("content-length", str(len(photo)))
    begun.endheaders(photo[:100])
    server.ask("GET", "/ping")  # it has been heard
    server.process.send_signal(signal.SIGTERM)
    while server.accepts_connections():
        pass
    time.sleep(0.5)  # one that did not wait would have ended
    begun.send(photo[100:])
    response = begun.getresponse()
    assert response.status == 200
    assert response.read().startswith(b",,5,5,")
    assert server.process.wait(60) == 0
    assert server.log.read_text().endswith("stopped; 1 image was counted in 1 batch\n")


def test_one_half_sent_request_does_not_keep_the_server_from_ending(grey_model, tmp_path):
    # As the server is, but for its patience.
    patience = "from reconcile.serving import server; server._LAST_ANSWERS_SECONDS = 1"
    command = [sys.executable, "-c", f"{patience}; from reconcile.cli import main; main()"]
    server = Server(tmp_path, "--model", grey_model, command=command).wait_until_ready()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nhal")
        server.ask("GET", "/ping")  # it has been heard
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert server.log.read_text().endswith("stopped; 0 images were counted in 0 batches\n")


def test_what_cannot_serve_ends_with_one_line(grey_model, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = reconcile("serve", "--host", "127.0.0.1", "--port", port, "--model", grey_model)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: " in done.stderr
    done = reconcile("serve", "--port", 0, "--model", "nowhere.onnx")
    assert done.returncode == 1
    assert done.stderr.endswith("reconcile: there is no model file nowhere.onnx\n")
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/x-npy")
    done = reconcile("serve", "--model", grey_model)
    assert done.returncode == 2
    assert "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is application/x-npy; there is application/json, " in done.stderr


def test_serving_without_its_extra_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['uvicorn'] = None; from reconcile.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    wanted = "serving needs the extra `serve`: in a checkout, make dev or pip install '.[serve]'"
    assert done.stderr == f"reconcile: {wanted}\n"
