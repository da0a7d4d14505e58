"""What they do to a listing."""

import itertools
from urllib.parse import parse_qs, urlsplit

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage import retry, s3_listing
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.integration.s3_faults.faulty_proxy import (
    PASSING,
    Rule,
    faulty_proxy,
    passed_on,
    refused,
)
from tests.integration.s3_faults.night import listed


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
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 2)
    turns = itertools.cycle([refused(500, "InternalError"), passed_on])
    with faulty_proxy(
        listing_of(objects, page_size), Rule("list-type=2", lambda exchange: next(turns)(exchange))
    ) as proxy:
        found = listed(open_bucket("b", S3Access(proxy.url)), "p/")
    assert sorted(found) == sorted(empty + full + [key for key, _ in odd])


def test_a_listing_that_stays_broken_ends_the_run_with_a_line(warehouse, night, monkeypatch):
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.3)
    with (
        faulty_proxy(warehouse.endpoint_url, Rule("list-type=2.*metadata", refused(500, "InternalError"))) as proxy,
        pytest.raises(
            ReconcileError, match=r"cannot list .*internal error \(InternalError\); (\d+ tries in \d s|1 try)"
        ),
    ):
        night(proxy.url, "a")
