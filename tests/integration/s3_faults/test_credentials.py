"""Renewal of credentials that expire during a run."""

import http.server
import json
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest

from reconcile.storage import s3_client
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket
from tests.integration.s3_faults.faulty_proxy import (
    Rule,
    faulty_proxy,
    forward,
    s3_error,
)
from tests.integration.s3_faults.s3_helpers import boto_client, list_keys


@pytest.fixture
def short_lived_credentials(monkeypatch):
    """Serve credentials over HTTP, as AWS does for containers and instances. Return the list of issued tokens."""
    tokens = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            tokens.append(f"token-{len(tokens) + 1}")
            body = {
                "AccessKeyId": "TESTACCESSKEY00",
                "SecretAccessKey": "a-secret-of-an-hour",
                "Token": tokens[-1],
                "Expiration": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            }
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/")
        yield tokens
        server.shutdown()


def test_expired_credentials_are_fetched_again(moto, short_lived_credentials):
    """Read with both libraries: boto3 reads the keys with `//`, which obstore does not support."""
    keys = [f"p/{n // 2}{'//' if n % 2 else '/'}x.jpg" for n in range(40)]
    with faulty_proxy(moto) as proxy:
        bucket = open_bucket("results", S3Access(proxy.url))
        for key in keys:
            if "//" not in key:
                bucket.put(key, b"photo")
        client = boto_client(moto)
        for key in keys:
            client.put_object(Bucket="results", Key=key, Body=b"photo")
        used_tokens = []

        def expire_after_five_requests(exchange):
            """Accept each token for five requests."""
            token = exchange.handler.headers["X-Amz-Security-Token"]
            used_tokens.append(token)
            if used_tokens.count(token) > 5:
                s3_error(400, "ExpiredToken")(exchange)
            else:
                forward(exchange)

        proxy.rules.append(Rule("", expire_after_five_requests))
        assert sorted(list_keys(bucket, "p/")) == sorted(keys)
        assert all(bucket.get(key) == b"photo" for key in keys)
        bucket.put("p/new", b"part")
    assert len(set(used_tokens)) > 8
    # The client uses each expired token in one more request only.
    assert max(used_tokens.count(token) for token in used_tokens) == 6


def test_credentials_are_not_cached_beyond_their_expiry(short_lived_credentials):
    """boto3 renews credentials ten minutes before their end, so a cache must not keep them longer."""
    provider = s3_client.S3Connection("b", "", S3Access()).reading.credential_provider
    cached_for = provider()["expires_at"] - datetime.now(UTC) - timedelta(minutes=5)  # obstore renews that much earlier
    assert cached_for < timedelta(minutes=10)


def test_permanently_expired_credentials_raise_an_error(moto):
    with faulty_proxy(moto, Rule("GET", s3_error(400, "ExpiredToken"))) as proxy:
        bucket = open_bucket("results", S3Access(proxy.url))
        with pytest.raises(FetchError, match=re.escape("the credentials have expired (ExpiredToken); 2 tries")):
            bucket.get("x")
