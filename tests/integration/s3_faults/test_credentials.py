"""Credentials that expire in the middle of a run."""

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
    passed_on,
    refused,
)
from tests.integration.s3_faults.night import api, listed


@pytest.fixture
def short_lived_credentials(monkeypatch):
    """What a container or an instance has: an address that gives out credentials; the tokens given so far."""
    given = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            given.append(f"token-{len(given) + 1}")
            body = {
                "AccessKeyId": "TESTACCESSKEY00",
                "SecretAccessKey": "a-secret-of-an-hour",
                "Token": given[-1],
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
        yield given
        server.shutdown()


def test_credentials_that_s3_takes_for_expired_are_fetched_anew(moto, short_lived_credentials):
    """In both of the libraries that read: boto3 gets the keys that obstore has no word for."""
    keys = [f"p/{n // 2}{'//' if n % 2 else '/'}x.jpg" for n in range(40)]
    with faulty_proxy(moto) as proxy:
        bucket = open_bucket("results", S3Access(proxy.url))
        for key in keys:
            if "//" not in key:
                bucket.put(key, b"photo")
        client = api(moto)
        for key in keys:
            client.put_object(Bucket="results", Key=key, Body=b"photo")
        seen = []

        def expiring(exchange):
            """Each token is good for five requests."""
            token = exchange.handler.headers["X-Amz-Security-Token"]
            seen.append(token)
            if seen.count(token) > 5:
                refused(400, "ExpiredToken")(exchange)
            else:
                passed_on(exchange)

        proxy.rules.append(Rule("", expiring))
        assert sorted(listed(bucket, "p/")) == sorted(keys)
        assert all(bucket.get(key) == b"photo" for key in keys)
        bucket.put("p/new", b"part")
    assert len(set(seen)) > 8
    # Asked once more with each token that had expired, and no more.
    assert max(seen.count(token) for token in seen) == 6


def test_credentials_are_not_kept_longer_than_they_last(short_lived_credentials):
    """boto3 renews them ten minutes before they end, so nobody may hold on to them for longer."""
    provider = s3_client.S3Connection("b", "", S3Access()).reading.credential_provider
    held_for = provider()["expires_at"] - datetime.now(UTC) - timedelta(minutes=5)  # it asks again that much sooner
    assert held_for < timedelta(minutes=10)


def test_credentials_that_have_expired_for_good_say_so(moto):
    with faulty_proxy(moto, Rule("GET", refused(400, "ExpiredToken"))) as proxy:
        bucket = open_bucket("results", S3Access(proxy.url))
        with pytest.raises(FetchError, match=re.escape("the credentials have expired (ExpiredToken); 2 tries")):
            bucket.get("x")
