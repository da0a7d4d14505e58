"""Listings of buckets while the network or S3 fails."""

import itertools
from urllib.parse import parse_qs, urlsplit

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage import retry, s3_listing
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.integration.s3_faults.faulty_proxy import (
    TRANSIENT_FAULTS,
    Rule,
    faulty_proxy,
    forward,
    s3_error,
)
from tests.integration.s3_faults.s3_helpers import list_keys


def listing_server(keys_and_sizes, page_size=1000):
    """Return a function that answers list requests of one bucket as S3 does."""
    keys_and_sizes = sorted(keys_and_sizes, key=lambda entry: entry[0].encode())

    def answer(exchange):
        query = {name: values[0] for name, values in parse_qs(urlsplit(exchange.handler.path).query).items()}
        start_after = query.get("continuation-token") or query.get("start-after") or ""
        remaining = [entry for entry in keys_and_sizes if entry[0].encode() > start_after.encode()]
        page = remaining[:page_size]
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>"
            for key, size in page
        )
        next_token = (
            f"<NextContinuationToken>{page[-1][0]}</NextContinuationToken>" if len(remaining) > len(page) else ""
        )
        body = (
            f"<?xml version='1.0'?><ListBucketResult><IsTruncated>{'true' if next_token else 'false'}</IsTruncated>"
            f"{next_token}<KeyCount>{len(page)}</KeyCount>{entries}</ListBucketResult>"
        )
        return 200, [("Content-Type", "application/xml")], body.encode()

    return answer


def test_listing_with_faults_returns_each_key_once():
    keys = [f"bin-images/{n:06d}.jpg" for n in range(50_000)]
    rules = [
        Rule(f"bin-images/0{n:02d}999", fault, times=2)  # a page begins after this key
        for n, fault in zip(range(5, 45, 5), TRANSIENT_FAULTS.values(), strict=True)
    ]
    rules.append(Rule("list-type", s3_error(500, "InternalError"), times=2))
    with faulty_proxy(listing_server([(key, 9) for key in keys]), *rules) as proxy:
        assert list_keys(open_bucket("b", S3Access(proxy.url)), "bin-images/") == keys
        assert [rule.times for rule in rules] == [0] * len(rules)


@pytest.mark.parametrize("page_size", [1, 2, 3])
@pytest.mark.parametrize("unusual", [[], [("p/5//odd.jpg", 9)]], ids=["obstore", "boto3"])
def test_empty_objects_are_listed_without_folder_markers_despite_faults(unusual, page_size, monkeypatch):
    """List keys whose order is ambiguous, because obstore removes the slash at the end of a key."""
    monkeypatch.setattr(s3_listing, "PAGE", page_size)
    markers = ["p/", "p/2/", "p/6/"]
    empty = ["p/0", "p/2-0", "p/2.0", "p/3", "p/4", "p/6!", "p/7", "p/9"]
    full = ["p/1", "p/2-1", "p/2/x.jpg", "p/5", "p/6-1", "p/6.1", "p/6/x.jpg", "p/8"]
    objects = [(key, 0) for key in markers + empty] + [(key, 9) for key in full] + unusual
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 2)
    faults = itertools.cycle([s3_error(500, "InternalError"), forward])
    with faulty_proxy(
        listing_server(objects, page_size), Rule("list-type=2", lambda exchange: next(faults)(exchange))
    ) as proxy:
        keys = list_keys(open_bucket("b", S3Access(proxy.url)), "p/")
    assert sorted(keys) == sorted(empty + full + [key for key, _ in unusual])


def test_run_ends_with_an_error_when_listing_keeps_failing(warehouse, run_warehouse, monkeypatch):
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.3)
    with (
        faulty_proxy(warehouse.endpoint_url, Rule("list-type=2.*metadata", s3_error(500, "InternalError"))) as proxy,
        pytest.raises(
            ReconcileError, match=r"cannot list .*internal error \(InternalError\); (\d+ tries in \d s|1 try)"
        ),
    ):
        run_warehouse(proxy.url, "a")
