"""What networks and S3 do to requests, done by a proxy to a run over a real S3 server."""

import http.server
import io
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import boto3
import pandas as pd
import pytest

from reconcile import counting, retries, s3_connection, s3_listing
from reconcile.bucket import FetchError, S3Access, bring_file, open_bucket
from reconcile.config import load_settings
from reconcile.errors import ReconcileError
from reconcile.messages import Messages
from reconcile.pipeline import run
from tests.conftest import SCRIPTS, grey_photo, last_line, write_bucket
from tests.integration.faulty_proxy import (
    Rule,
    faulty_proxy,
    half_a_body,
    passed_on,
    refused,
    reset,
    reset_in_the_middle,
    reset_when_done,
    silent,
    slow,
    stalled,
)

PASSING = {
    "internal error": refused(500, "InternalError"),
    "slow down": refused(503, "SlowDown"),
    "too many": refused(429, "TooManyRequests"),
    "reset": reset,
    "reset in the middle": reset_in_the_middle,
    "half a body": half_a_body,
    "stalled": stalled,
    "silent": silent,
}


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Pauses and timeouts of a test's length; how they add up is looked at in tests/unit/test_retries.py."""
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(retries, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(s3_connection, "SILENCE_SECONDS", 0.5)


@pytest.fixture
def warehouse(s3):
    """A bucket of forty bins, each of which is as its record says."""
    write_bucket(s3.root / "warehouse", {f"{n:05d}": (n % 7, n % 7) for n in range(40)})
    return s3


@pytest.fixture
def night(grey_model, tmp_path):
    """One run in this process: the rows of reconciled.parquet and the summary."""

    def one_night(url, run_id, out="./out"):
        flags = {"bucket": "warehouse", "endpoint_url": url, "model": grey_model, "out": out, "max_unreadable": "100%"}
        summary = run(load_settings(flags), run_id, Messages("text", run_id, io.StringIO()))
        where = tmp_path / "out" if out == "./out" else tmp_path / "s3" / out.removeprefix("s3://")
        return pd.read_parquet(where / f"runs/{run_id}/reconciled.parquet"), summary

    return one_night


def counted_keys(counts):
    """The image keys of all rows of all parts, as often as they are there."""
    return sorted(key for part in counts.rglob("*.parquet") for key in pd.read_parquet(part)["image_key"])


def api(endpoint_url):
    return boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1")


def test_what_passes_is_asked_for_again(warehouse, night, tmp_path):
    rules = [Rule(f"GET /warehouse/bin-images/{n:05d}", fault, times=2) for n, fault in enumerate(PASSING.values())]
    rules += [Rule(f"GET /warehouse/metadata/{n + 20:05d}", fault, times=2) for n, fault in enumerate(PASSING.values())]
    with faulty_proxy(warehouse.endpoint_url, *rules) as proxy:
        rows, summary = night(proxy.url, "a")
        assert [rule.times for rule in rules] == [0] * len(rules)
    assert (rows["status"] == "match").sum() == len(rows) == 40
    assert summary.counted == 40
    assert counted_keys(tmp_path / "out" / "counts") == [f"bin-images/{n:05d}.jpg" for n in range(40)]


def test_what_does_not_pass_is_a_row_that_the_next_run_tries_again(warehouse, night, tmp_path):
    client = api(warehouse.endpoint_url)

    def deleted(exchange):
        client.delete_object(Bucket="warehouse", Key="bin-images/00005.jpg")
        passed_on(exchange)

    def changed(exchange):
        client.put_object(Bucket="warehouse", Key="bin-images/00006.jpg", Body=grey_photo(1))
        passed_on(exchange)

    broken = {f"bin-images/{n:05d}.jpg": fault for n, fault in enumerate(PASSING.values(), 10)}
    # What asks to slow down is not the object's fault, and asked for as long as the budget lasts.
    broken = {key: fault for key, fault in broken.items() if fault not in (PASSING["slow down"], PASSING["too many"])}
    rules = [Rule(f"GET /warehouse/{key}", fault) for key, fault in broken.items()]
    rules += [Rule("GET /warehouse/bin-images/00005", deleted, 1), Rule("GET /warehouse/bin-images/00006", changed, 1)]
    with faulty_proxy(warehouse.endpoint_url, *rules) as proxy:
        rows, summary = night(proxy.url, "a")
        asked = [proxy.count(f"GET /warehouse/{key}") for key in broken]
    by_key = rows.dropna(subset="image_key").set_index("image_key")
    assert len(by_key) == 40
    # On a slow machine it may take one more to find that others are answered.
    assert all(tries in (retries.TRIES, retries.TRIES + 1) for tries in asked)
    for key in broken:
        assert by_key.loc[key, "status"] == "unreadable_image"
        assert re.search(r"; \d tries in ", by_key.loc[key, "reason"])
    assert "had an error of its own" in by_key.loc["bin-images/00010.jpg", "reason"]
    assert "in the middle of an answer" in by_key.loc["bin-images/00014.jpg", "reason"]
    assert "no answer" in by_key.loc["bin-images/00017.jpg", "reason"]
    assert "no such object" in by_key.loc["bin-images/00005.jpg", "reason"]
    assert "changed between listing and" in by_key.loc["bin-images/00006.jpg", "reason"]
    assert summary.counted == (rows["status"] == "match").sum() == 40 - len(broken) - 2

    rows, summary = night(warehouse.endpoint_url, "b")
    assert summary.counted == len(broken) + 1  # one is gone, and one is another photo now
    assert dict(rows["status"].value_counts()) == {"match": 38, "no_image": 1, "short": 1}


def test_being_told_to_slow_down_loses_nothing(warehouse, night):
    told = 16 * retries.TRIES * 2  # each of the fetches in flight more often than it would try otherwise
    rule = Rule("GET /warehouse/bin-images", PASSING["slow down"], times=told, after=10)
    with faulty_proxy(warehouse.endpoint_url, rule) as proxy:
        rows, summary = night(proxy.url, "a")
    assert rule.times == 0
    assert (rows["status"] == "match").sum() == len(rows) == summary.counted == 40


@pytest.mark.parametrize(
    ("fault", "told"),
    [(refused(500, "InternalError"), "had an error of its own"), (refused(400, "ExpiredToken"), "have expired")],
    ids=["errors", "expired credentials"],
)
def test_a_bucket_that_is_down_ends_the_run_and_keeps_what_was_counted(
    warehouse, night, tmp_path, monkeypatch, fault, told
):
    write_bucket(warehouse.root / "warehouse", {f"{n:05d}": (n % 7, n % 7) for n in range(40, 400)})
    monkeypatch.setattr(retries, "BUDGET_SECONDS", 0.5)
    monkeypatch.setattr(s3_connection, "SILENCE_SECONDS", 5)  # the listing may be slow beside all that
    before, at_once = 100, 20
    monkeypatch.setattr(counting, "fetches_in_flight", lambda: at_once)
    monkeypatch.setattr(counting, "available_cores", lambda: 2)  # so many decoders drop a batch that was not full
    with (
        faulty_proxy(warehouse.endpoint_url, Rule("GET /warehouse/bin-images", fault, after=before)) as proxy,
        pytest.raises(ReconcileError, match=f"16 requests in a row failed, so S3 is taken to be down.*{told}"),
    ):
        night(proxy.url, "a")
    asked = {request for request in proxy.requests if request.startswith("GET /warehouse/bin-images")}
    # Sixteen were given up in a row, while others were on their way, and some that took their place.
    assert len(asked) < 300
    kept = counted_keys(tmp_path / "out" / "counts")
    assert len(set(kept)) == len(kept) >= before - 2 * 32  # two batches were not full

    rows, summary = night(warehouse.endpoint_url, "b")
    assert (rows["status"] == "match").sum() == len(rows) == 400
    assert summary.counted >= 300


def test_a_file_that_comes_slowly_and_steadily_arrives_whole(warehouse, tmp_path, monkeypatch):
    stock = b"bin_id,expected_quantity\n" + b"00001,1\n" * 1000
    (warehouse.root / "warehouse" / "stock.csv").write_bytes(stock)
    monkeypatch.setattr(retries, "BUDGET_SECONDS", 1)  # half of the time that it takes
    monkeypatch.setattr(s3_connection, "BUDGET_SECONDS", 1)
    monkeypatch.setattr(s3_connection, "SILENCE_SECONDS", 5)
    with faulty_proxy(warehouse.endpoint_url, Rule("GET /warehouse/stock.csv", slow)) as proxy:
        brought = bring_file("s3://warehouse/stock.csv", S3Access(proxy.url), tmp_path)
    assert brought.read_bytes() == stock


def listing_of(keys_and_sizes, page_size=1000):
    """Stands for an S3 server that answers nothing but listings of one bucket."""
    keys_and_sizes = sorted(keys_and_sizes, key=lambda entry: entry[0].encode())

    def answer(exchange):
        query = {name: values[0] for name, values in parse_qs(urlsplit(exchange.handler.path).query).items()}
        behind = query.get("continuation-token") or query.get("start-after") or ""
        rest = [entry for entry in keys_and_sizes if entry[0].encode() > behind.encode()]
        page = rest[:page_size]
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>"
            for key, size in page
        )
        more = f"<NextContinuationToken>{page[-1][0]}</NextContinuationToken>" if len(rest) > len(page) else ""
        body = (
            f"<?xml version='1.0'?><ListBucketResult><IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}"
            f"<KeyCount>{len(page)}</KeyCount>{entries}</ListBucketResult>"
        )
        return 200, [("Content-Type", "application/xml")], body.encode()

    return answer


def listed(bucket, prefix=""):
    return [stored.key for page in bucket.pages(prefix) for stored in page]


def test_a_listing_of_fifty_pages_neither_loses_nor_doubles_a_key_whatever_happens_to_it():
    keys = [f"bin-images/{n:06d}.jpg" for n in range(50_000)]
    rules = [
        Rule(f"bin-images/0{n:02d}999", fault, times=2)  # a page begins behind this key
        for n, fault in zip(range(5, 45, 5), PASSING.values(), strict=True)
    ]
    rules.append(Rule("list-type", refused(500, "InternalError"), times=2))
    with faulty_proxy(listing_of([(key, 9) for key in keys]), *rules) as proxy:
        assert listed(open_bucket("b", S3Access(proxy.url)), "bin-images/") == keys
        assert [rule.times for rule in rules] == [0] * len(rules)


@pytest.mark.parametrize("page_size", [1, 2, 3])
@pytest.mark.parametrize("odd", [[], [("p/5//odd.jpg", 9)]], ids=["obstore", "boto3"])
def test_empty_objects_and_markers_of_folders_survive_faults_in_a_listing(odd, page_size, monkeypatch):
    """obstore does not tell whether a key ended in a slash, and so what has to come behind it."""
    monkeypatch.setattr(s3_listing, "PAGE", page_size)
    markers = ["p/", "p/2/", "p/6/"]
    empty = ["p/0", "p/2-0", "p/2.0", "p/3", "p/4", "p/6!", "p/7", "p/9"]
    full = ["p/1", "p/2-1", "p/2/x.jpg", "p/5", "p/6-1", "p/6.1", "p/6/x.jpg", "p/8"]
    objects = [(key, 0) for key in markers + empty] + [(key, 9) for key in full] + odd
    monkeypatch.setattr(retries, "BUDGET_SECONDS", 2)
    turns = itertools.cycle([refused(500, "InternalError"), passed_on])
    with faulty_proxy(
        listing_of(objects, page_size), Rule("list-type=2", lambda exchange: next(turns)(exchange))
    ) as proxy:
        found = listed(open_bucket("b", S3Access(proxy.url)), "p/")
    assert sorted(found) == sorted(empty + full + [key for key, _ in odd])


def test_a_listing_that_stays_broken_ends_the_run_with_a_line(warehouse, night, monkeypatch):
    monkeypatch.setattr(retries, "BUDGET_SECONDS", 0.3)
    with (
        faulty_proxy(warehouse.endpoint_url, Rule("list-type=2.*metadata", refused(500, "InternalError"))) as proxy,
        pytest.raises(
            ReconcileError, match=r"cannot list .*error of its own \(InternalError\); (\d+ tries in \d s|1 try)"
        ),
    ):
        night(proxy.url, "a")


def test_parts_that_are_put_again_are_the_same_parts(warehouse, night, tmp_path):
    (warehouse.root / "results").mkdir()
    rules = [
        Rule("PUT /results/.*counts", refused(500, "InternalError"), times=2),
        Rule("PUT /results/.*counts", reset_when_done, times=3),
        Rule("PUT /results/.*records", reset_when_done, times=5),
        Rule("PUT /results/.*records", refused(503, "SlowDown"), times=12),
        Rule("PUT /results/.*summary", reset, times=2),
    ]
    with faulty_proxy(warehouse.endpoint_url, *rules) as proxy:
        rows, _ = night(proxy.url, "a", out="s3://results/deep")
        assert [rule.times for rule in rules] == [0] * len(rules)
    assert (rows["status"] == "match").sum() == len(rows) == 40
    out = warehouse.root / "results" / "deep"
    assert counted_keys(out / "counts") == [f"bin-images/{n:05d}.jpg" for n in range(40)]
    assert len(list((out / "records").iterdir())) == 1


@pytest.fixture
def moto():
    """moto's S3 server, with a bucket: unlike rclone's it tells of uploads that were begun and not ended."""
    from moto.moto_api._internal.models import moto_api_backend
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    api(url).create_bucket(Bucket="results")
    yield url
    server.stop()
    moto_api_backend.reset()  # what it holds is held by the process


LARGE = os.urandom(12 * 2**20)


def test_a_large_object_goes_in_parts_that_are_put_again(moto, tmp_path):
    rules = [
        Rule("PUT /results/large.*partNumber=2", refused(500, "InternalError"), times=2),
        Rule("PUT /results/large.*partNumber=3", reset_when_done, times=1),
        Rule("POST /results/large.*uploadId", reset_when_done, times=1),
        Rule("POST /results/large.*uploadId", refused(404, "NoSuchUpload"), times=1),
    ]
    (tmp_path / "large").write_bytes(LARGE)
    with faulty_proxy(moto, *rules) as proxy:
        open_bucket("results", S3Access(proxy.url)).put("large", tmp_path / "large")
        assert [rule.times for rule in rules] == [0] * len(rules)
        # A part is put again by itself; all of them only where the upload itself was lost.
        assert proxy.count("POST /results/large.uploads") == 2
    assert open_bucket("results", S3Access(moto)).get("large") == LARGE
    assert "Uploads" not in api(moto).list_multipart_uploads(Bucket="results")


def test_a_large_object_that_cannot_be_put_leaves_nothing_behind(moto, monkeypatch):
    monkeypatch.setattr(retries, "BUDGET_SECONDS", 0.1)
    with (
        faulty_proxy(moto, Rule("PUT /results/large.*partNumber=2", refused(500, "InternalError"))) as proxy,
        pytest.raises(ReconcileError, match="cannot write s3://results"),
    ):
        open_bucket("results", S3Access(proxy.url)).put("large", LARGE)
    client = api(moto)
    assert "Contents" not in client.list_objects_v2(Bucket="results")
    assert "Uploads" not in client.list_multipart_uploads(Bucket="results")


@pytest.mark.parametrize(
    ("stalling", "after"),
    [("GET /warehouse/bin-images", 20), ("GET /warehouse/bin-images", 40), ("PUT /results", 0)],
    ids=["while counting", "while the report is made", "while writing"],
)
def test_a_run_that_s3_keeps_waiting_is_interrupted_at_once(warehouse, grey_model, stalling, after):
    (warehouse.root / "results").mkdir()
    arguments = ["--bucket", "warehouse", "--model", str(grey_model), "--out", "s3://results"]
    with faulty_proxy(warehouse.endpoint_url, Rule(stalling, silent if after == 0 else stalled, after=after)) as proxy:
        process = subprocess.Popen(
            [SCRIPTS / "reconcile", "run", "--endpoint-url", proxy.url, *arguments], stderr=subprocess.PIPE, text=True
        )
        while proxy.count(stalling) <= after:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=25)  # S3's own patience is longer
    assert process.returncode == 130
    assert last_line(told).startswith("reconcile: interrupted; what was done is kept")


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
    provider = s3_connection.S3Connection("b", "", S3Access()).reading.credential_provider
    held_for = provider()["expires_at"] - datetime.now(UTC) - timedelta(minutes=5)  # it asks again that much sooner
    assert held_for < timedelta(minutes=10)


def test_credentials_that_have_expired_for_good_say_so(moto):
    with faulty_proxy(moto, Rule("GET", refused(400, "ExpiredToken"))) as proxy:
        bucket = open_bucket("results", S3Access(proxy.url))
        with pytest.raises(FetchError, match=re.escape("the credentials have expired (ExpiredToken); 2 tries")):
            bucket.get("x")
