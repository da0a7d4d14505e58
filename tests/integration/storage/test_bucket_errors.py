"""Messages about buckets that cannot be reached, found or named."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage import retry
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import reconcile


@pytest.fixture
def https_url(certificate):
    """Return the address of a server with a self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # the test expects that clients hang up
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_unusable_bucket_raises_an_error_of_one_line(s3, https_url, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.01)
    access = S3Access(endpoint_url=s3.endpoint_url)

    def listing_error(location, access):
        with pytest.raises(ReconcileError) as raised:
            list(open_bucket(location, access).list_pages())
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert listing_error("nobodys", access) == f"there is no bucket s3://nobodys at {s3.endpoint_url}"
    (s3.root / "here").mkdir()
    Path("photos").mkdir()
    assert listing_error("photos", access).endswith("(to use the folder of that name, write ./photos)")
    for url, reason in (
        ("http://127.0.0.1:1", "no server listens there"),
        ("http://no.such.host.invalid", "there is no host of that name"),
        (s3.endpoint_url.replace("http:", "https:"), "the server there does not speak https"),
        (https_url, "this machine does not trust the server's certificate"),
    ):
        assert f"no answer ({reason}); check --endpoint-url" in listing_error("here", S3Access(endpoint_url=url))
    assert "AWS profile" in listing_error("here", S3Access(profile="nobody"))
    assert "no such folder" in listing_error("./nowhere", access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-altogether")
    assert "SignatureDoesNotMatch" in listing_error("here", access)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "no AWS credentials found for s3://here; set AWS_ACCESS_KEY_ID" in listing_error("here", access)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "message"),
    [
        (
            "localhost:9000",
            "bins",
            "the S3 endpoint 'localhost:9000' is not a valid address: expected http://HOST:PORT",
        ),
        ("http://127.0.0.1:1", "my bins", "'my bins' is not a valid bucket name"),
        ("http://127.0.0.1:1", "s3://bins/x//y", "a folder inside a bucket must not be empty"),
    ],
)
def test_invalid_address_is_reported_in_one_line(endpoint, bucket, message, grey_model, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    done = reconcile("run", "--bucket", bucket, "--model", grey_model, "--out", "./out")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert message in line


def test_unsigned_request_raises_when_the_server_needs_signatures(s3):
    (s3.root / "private").mkdir()
    with pytest.raises(ReconcileError, match="S3 refuses unsigned requests; drop --no-sign-request"):
        list(open_bucket("private", S3Access(endpoint_url=s3.endpoint_url, no_sign_request=True)).list_pages())
