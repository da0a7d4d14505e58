"""Tests of how `reconcile serve` ends: after SIGTERM, or with an error before it serves."""

import signal
import socket
import subprocess
import sys
import time

from tests.conftest import grey_photo, reconcile
from tests.serving_process import Server


def test_sigterm_waits_for_open_requests(grey_model, tmp_path):
    server = Server(tmp_path, "--model", grey_model, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv")
    server.wait_until_ready()
    assert (
        "names no bucket, and RECONCILE_BUCKET is not set"
        in server.count_keys([{"key": "a", "etag": "b"}]).json["error"]
    )
    photo = grey_photo(5)
    connection = server.connect()
    connection.putrequest("POST", "/invocations")
    connection.putheader("content-type", "image/jpeg")
    connection.putheader("content-length", str(len(photo)))
    connection.endheaders(photo[:100])
    server.request("GET", "/ping")  # after this answer, the server has received the other request, too
    server.process.send_signal(signal.SIGTERM)
    while server.accepts_connections():
        pass
    time.sleep(0.5)  # a server that does not wait for open requests would end now
    connection.send(photo[100:])
    response = connection.getresponse()
    assert response.status == 200
    assert response.read().startswith(b",,5,5,")
    assert server.process.wait(60) == 0
    assert server.log.read_text().endswith("stopped; counted 1 image in 1 batch\n")


def test_half_sent_request_does_not_block_shutdown(grey_model, tmp_path):
    # The real server, except for the time limit.
    shorten = "from reconcile.serving import server; server._SHUTDOWN_SECONDS = 1"
    command = [sys.executable, "-c", f"{shorten}; from reconcile.cli import main; main()"]
    server = Server(tmp_path, "--model", grey_model, command=command).wait_until_ready()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nhal")
        server.request("GET", "/ping")  # after this answer, the server has received the other request, too
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert server.log.read_text().endswith("stopped; counted 0 images in 0 batches\n")


def test_server_that_cannot_start_prints_one_line(grey_model, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = reconcile("serve", "--host", "127.0.0.1", "--port", port, "--model", grey_model)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: " in done.stderr
    done = reconcile("serve", "--port", 0, "--model", "nowhere.onnx")
    assert done.returncode == 1
    assert done.stderr.endswith("reconcile: there is no model file nowhere.onnx\n")
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/x-npy")
    done = reconcile("serve", "--model", grey_model)
    assert done.returncode == 2
    assert (
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is application/x-npy; expected one of application/json, " in done.stderr
    )


def test_missing_extra_names_what_to_install():
    code = "import sys; sys.modules['uvicorn'] = None; from reconcile.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    wanted = "serving needs the extra `serve`: in a checkout, make dev or pip install '.[serve]'"
    assert done.stderr == f"reconcile: {wanted}\n"
