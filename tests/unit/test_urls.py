"""Checks of locations and web addresses: what is supported, and what holds a secret."""

import pytest

from reconcile.urls import holds_secrets, is_web_address, may_hold_secret, normalize_location

POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/floor"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("bins", "bins"),
        ("./photos", "./photos"),
        ("/srv/a:b/c@d.csv", "/srv/a:b/c@d.csv"),
        ("stock@2026.csv", "stock@2026.csv"),
        ("stock.xlsx#Sheet2", "stock.xlsx#Sheet2"),
        ("s3://bins/x@y/z?.csv", "s3://bins/x@y/z?.csv"),
        ("S3://bins/x", "s3://bins/x"),
        ("s3a://bins/x", "s3://bins/x"),
        ("s3n://bins", "s3://bins"),
        (POINT, f"s3://{POINT}"),
        (f"s3://{POINT}/a@b", f"s3://{POINT}/a@b"),
        ("arn:aws:s3:::bins/x", "s3://bins/x"),
        ("arn:aws-cn:s3:::bins", "s3://bins"),
    ],
)
def test_supported_location_gets_the_scheme_of_s3(location, expected):
    assert normalize_location(location) == expected


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("postgresql://me:hunter2@db/stock", "has the scheme postgresql://, which reconcile does not support"),
        ("jdbc:postgresql://db/stock?user=me&password=hunter2", "holds credentials"),
        ("jdbc:postgresql://me:hunter2@db/stock", "holds credentials"),
        ("stock.csv?token=hunter2", "holds credentials"),
        ("https://me:hunter2@host/stock.csv", "is a web address"),
        ("HTTPS:/me:hunter2@host/stock.csv", "is a web address"),
        ("s3://AKIAKEY:hunter2@bins", "holds credentials"),
        ("s3a://AKIAKEY:hunter2/with/slashes@bins/x", "holds credentials"),
        ("s3://hunter2@bins", "holds credentials"),
        ("s3://bins/x.csv?X-Amz-Signature=hunter2", "holds credentials"),
        ("s3://bins/x.csv?AWSAccessKeyId=a&Signature=hunter2", "holds credentials"),
        ("AKIAKEY:hunter2@bins", "holds credentials"),
        ("AKIAKEY:hunter2@bins/prefix", "holds credentials"),
        ("hunter2hunter2://x", "has a scheme that reconcile does not support"),
        ("gs://bins", "has the scheme gs://"),
        ("file:///srv/photos", "has the scheme file://"),
        ("s3:/bins/x", "has one slash too few"),
    ],
)
def test_unsupported_location_is_refused_without_repeating_it(location, reason):
    with pytest.raises(ValueError, match=f"^{reason}") as raised:
        normalize_location(location)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ray://me:hunter2@host:10001", True),
        ("https:/me:hunter2@host/model.onnx", True),
        ("postgresql://db/stock?password=hunter2", True),
        ("https://host/x?X-Amz-Security-Token=hunter2", True),
        ("DefaultEndpoint=https;AccountKey=a;SharedSecret=hunter2", True),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/reconcile:1@sha256:0123", False),
        ("arn:aws:iam::123456789012:role/count", False),
        (f"s3://{POINT}/a@b", False),
        (r"(?P<aisle>[A-Z]+)-(?P<pod>\d+)", False),
        ("http://127.0.0.1:9000", False),
        ("bins@7.csv", False),
    ],
)
def test_text_with_a_password_or_signature_is_noticed(text, expected):
    assert may_hold_secret(text) == expected


def test_endpoint_with_user_or_query_holds_secrets():
    assert all(map(holds_secrets, ("http://me:pw@h", "me:pw@h:9000", "http://h?a=b", "http://me@h")))
    assert not holds_secrets("http://127.0.0.1:9000/base")


@pytest.mark.parametrize("address", ["localhost:9000", "http://", "ftp://h", "http://[::1", ""])
def test_malformed_address_is_not_a_web_address(address):
    assert not is_web_address(address)
