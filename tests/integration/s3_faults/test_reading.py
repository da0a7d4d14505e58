"""What networks and S3 do to requests for photos and records."""

import re

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage import retry, s3_client
from reconcile.storage.base import S3Access
from reconcile.storage.open import download_file
from reconcile.streaming import count_images, fetch
from tests.conftest import grey_photo, write_bucket
from tests.integration.s3_faults.faulty_proxy import (
    PASSING,
    Rule,
    faulty_proxy,
    passed_on,
    refused,
    slow,
)
from tests.integration.s3_faults.night import api, counted_keys


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
    assert all(tries in (retry.TRIES, retry.TRIES + 1) for tries in asked)
    for key in broken:
        assert by_key.loc[key, "status"] == "unreadable_image"
        assert re.search(r"; \d tries in ", by_key.loc[key, "reason"])
    assert "had an internal error" in by_key.loc["bin-images/00010.jpg", "reason"]
    assert "in the middle of an answer" in by_key.loc["bin-images/00014.jpg", "reason"]
    assert "no answer" in by_key.loc["bin-images/00017.jpg", "reason"]
    assert "the object does not exist" in by_key.loc["bin-images/00005.jpg", "reason"]
    assert "changed after it was listed" in by_key.loc["bin-images/00006.jpg", "reason"]
    assert summary.counted == (rows["status"] == "match").sum() == 40 - len(broken) - 2

    rows, summary = night(warehouse.endpoint_url, "b")
    assert summary.counted == len(broken) + 1  # one is gone, and one is another photo now
    assert dict(rows["status"].value_counts()) == {"match": 38, "no_image": 1, "short": 1}


def test_being_told_to_slow_down_loses_nothing(warehouse, night):
    told = 16 * retry.TRIES * 2  # each of the fetches in flight more often than it would try otherwise
    rule = Rule("GET /warehouse/bin-images", PASSING["slow down"], times=told, after=10)
    with faulty_proxy(warehouse.endpoint_url, rule) as proxy:
        rows, summary = night(proxy.url, "a")
    assert rule.times == 0
    assert (rows["status"] == "match").sum() == len(rows) == summary.counted == 40


@pytest.mark.parametrize(
    ("fault", "told"),
    [(refused(500, "InternalError"), "had an internal error"), (refused(400, "ExpiredToken"), "have expired")],
    ids=["errors", "expired credentials"],
)
def test_a_bucket_that_is_down_ends_the_run_and_keeps_what_was_counted(
    warehouse, night, tmp_path, monkeypatch, fault, told
):
    write_bucket(warehouse.root / "warehouse", {f"{n:05d}": (n % 7, n % 7) for n in range(40, 400)})
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.5)
    monkeypatch.setattr(s3_client, "SILENCE_SECONDS", 5)  # the listing may be slow beside all that
    before, at_once = 100, 20
    monkeypatch.setattr(fetch, "fetches_in_flight", lambda: at_once)
    monkeypatch.setattr(count_images, "available_cores", lambda: 2)  # so many decoders drop a batch that was not full
    with (
        faulty_proxy(warehouse.endpoint_url, Rule("GET /warehouse/bin-images", fault, after=before)) as proxy,
        pytest.raises(ReconcileError, match=f"16 requests in a row failed, so S3 seems to be down.*{told}"),
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
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 1)  # half of the time that it takes
    monkeypatch.setattr(s3_client, "BUDGET_SECONDS", 1)
    monkeypatch.setattr(s3_client, "SILENCE_SECONDS", 5)
    with faulty_proxy(warehouse.endpoint_url, Rule("GET /warehouse/stock.csv", slow)) as proxy:
        brought = download_file("s3://warehouse/stock.csv", S3Access(proxy.url), tmp_path)
    assert brought.read_bytes() == stock
