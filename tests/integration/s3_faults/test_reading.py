"""Reading of photos, records and files while the network or S3 fails."""

import re

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage import retry, s3_client
from reconcile.storage.base import S3Access
from reconcile.storage.open import download_file
from reconcile.streaming import count_images, fetch
from tests.conftest import grey_photo, write_bucket
from tests.integration.s3_faults.faulty_proxy import (
    TRANSIENT_FAULTS,
    Rule,
    faulty_proxy,
    forward,
    s3_error,
    send_slowly,
)
from tests.integration.s3_faults.s3_helpers import boto_client, counted_keys


def test_run_retries_transient_faults_and_counts_every_photo(warehouse, run_warehouse, tmp_path):
    rules = [
        Rule(f"GET /warehouse/bin-images/{n:05d}", fault, times=2) for n, fault in enumerate(TRANSIENT_FAULTS.values())
    ]
    rules += [
        Rule(f"GET /warehouse/metadata/{n + 20:05d}", fault, times=2)
        for n, fault in enumerate(TRANSIENT_FAULTS.values())
    ]
    with faulty_proxy(warehouse.endpoint_url, *rules) as proxy:
        rows, summary = run_warehouse(proxy.url, "a")
        assert [rule.times for rule in rules] == [0] * len(rules)
    assert (rows["status"] == "match").sum() == len(rows) == 40
    assert summary.counted == 40
    assert counted_keys(tmp_path / "out" / "counts") == [f"bin-images/{n:05d}.jpg" for n in range(40)]


def test_failed_photo_is_a_row_and_counted_in_next_run(warehouse, run_warehouse, tmp_path):
    client = boto_client(warehouse.endpoint_url)

    def delete_before_reading(exchange):
        client.delete_object(Bucket="warehouse", Key="bin-images/00005.jpg")
        forward(exchange)

    def replace_before_reading(exchange):
        client.put_object(Bucket="warehouse", Key="bin-images/00006.jpg", Body=grey_photo(1))
        forward(exchange)

    faults = {f"bin-images/{n:05d}.jpg": fault for n, fault in enumerate(TRANSIENT_FAULTS.values(), 10)}
    # Throttled requests are left out, because the client retries them for the whole budget.
    faults = {
        key: fault
        for key, fault in faults.items()
        if fault not in (TRANSIENT_FAULTS["slow down"], TRANSIENT_FAULTS["too many"])
    }
    rules = [Rule(f"GET /warehouse/{key}", fault) for key, fault in faults.items()]
    rules += [
        Rule("GET /warehouse/bin-images/00005", delete_before_reading, 1),
        Rule("GET /warehouse/bin-images/00006", replace_before_reading, 1),
    ]
    with faulty_proxy(warehouse.endpoint_url, *rules) as proxy:
        rows, summary = run_warehouse(proxy.url, "a")
        tries = [proxy.count(f"GET /warehouse/{key}") for key in faults]
    by_key = rows.dropna(subset="image_key").set_index("image_key")
    assert len(by_key) == 40
    # A slow machine may need one more try before it sees that S3 answers other requests.
    assert all(number in (retry.TRIES, retry.TRIES + 1) for number in tries)
    for key in faults:
        assert by_key.loc[key, "status"] == "unreadable_image"
        assert re.search(r"; \d tries in ", by_key.loc[key, "reason"])
    assert "had an internal error" in by_key.loc["bin-images/00010.jpg", "reason"]
    assert "in the middle of an answer" in by_key.loc["bin-images/00014.jpg", "reason"]
    assert "no answer" in by_key.loc["bin-images/00017.jpg", "reason"]
    assert "the object does not exist" in by_key.loc["bin-images/00005.jpg", "reason"]
    assert "changed after it was listed" in by_key.loc["bin-images/00006.jpg", "reason"]
    assert summary.counted == (rows["status"] == "match").sum() == 40 - len(faults) - 2

    rows, summary = run_warehouse(warehouse.endpoint_url, "b")
    assert summary.counted == len(faults) + 1  # one photo was deleted, and one was replaced
    assert dict(rows["status"].value_counts()) == {"match": 38, "no_image": 1, "short": 1}


def test_throttled_requests_are_retried_until_all_photos_are_counted(warehouse, run_warehouse):
    throttled = 16 * retry.TRIES * 2  # twice TRIES for each fetch in flight
    rule = Rule("GET /warehouse/bin-images", TRANSIENT_FAULTS["slow down"], times=throttled, after=10)
    with faulty_proxy(warehouse.endpoint_url, rule) as proxy:
        rows, summary = run_warehouse(proxy.url, "a")
    assert rule.times == 0
    assert (rows["status"] == "match").sum() == len(rows) == summary.counted == 40


@pytest.mark.parametrize(
    ("fault", "message"),
    [(s3_error(500, "InternalError"), "had an internal error"), (s3_error(400, "ExpiredToken"), "have expired")],
    ids=["errors", "expired credentials"],
)
def test_outage_ends_the_run_and_keeps_finished_counts(warehouse, run_warehouse, tmp_path, monkeypatch, fault, message):
    write_bucket(warehouse.root / "warehouse", {f"{n:05d}": (n % 7, n % 7) for n in range(40, 400)})
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.5)
    monkeypatch.setattr(s3_client, "SILENCE_SECONDS", 5)  # the listing is slow beside so many requests
    answered, in_flight = 100, 20
    monkeypatch.setattr(fetch, "fetches_in_flight", lambda: in_flight)
    monkeypatch.setattr(count_images, "available_cores", lambda: 2)  # each of the 2 decoders loses one incomplete batch
    with (
        faulty_proxy(warehouse.endpoint_url, Rule("GET /warehouse/bin-images", fault, after=answered)) as proxy,
        pytest.raises(ReconcileError, match=f"16 requests in a row failed, so S3 seems to be down.*{message}"),
    ):
        run_warehouse(proxy.url, "a")
    requested = {request for request in proxy.requests if request.startswith("GET /warehouse/bin-images")}
    # The run ends after 16 failed requests. Other requests were in flight, and a few began after those.
    assert len(requested) < 300
    kept = counted_keys(tmp_path / "out" / "counts")
    assert len(set(kept)) == len(kept) >= answered - 2 * 32  # two incomplete batches are lost

    rows, summary = run_warehouse(warehouse.endpoint_url, "b")
    assert (rows["status"] == "match").sum() == len(rows) == 400
    assert summary.counted >= 300


def test_slow_download_beyond_the_budget_is_complete(warehouse, tmp_path, monkeypatch):
    stock = b"bin_id,expected_quantity\n" + b"00001,1\n" * 1000
    (warehouse.root / "warehouse" / "stock.csv").write_bytes(stock)
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 1)  # half of the time that the download takes
    monkeypatch.setattr(s3_client, "BUDGET_SECONDS", 1)
    monkeypatch.setattr(s3_client, "SILENCE_SECONDS", 5)
    with faulty_proxy(warehouse.endpoint_url, Rule("GET /warehouse/stock.csv", send_slowly)) as proxy:
        path = download_file("--records", "s3://warehouse/stock.csv", S3Access(proxy.url), tmp_path)
    assert path.read_bytes() == stock
