"""Tests of the buckets that requests may name."""

import pytest

from reconcile.errors import UsageError
from reconcile.serving.bucket_access import AllowedBuckets, ForbiddenBucket, ForbiddenKey
from reconcile.serving.requests import InvalidRequestLine


@pytest.mark.parametrize(
    ("bucket", "location"),
    [
        (None, ("s3://bins/photos", "1.jpg")),
        ("s3://bins/photos", ("s3://bins/photos", "1.jpg")),
        ("s3://bins/photos/", ("s3://bins/photos", "1.jpg")),
        ("s3://bins/photos/north", ("s3://bins/photos", "north/1.jpg")),
        ("other", ("other", "1.jpg")),
        ("s3://other/a", ("other", "a/1.jpg")),
    ],
)
def test_buckets_named_at_the_start_are_allowed(bucket, location):
    assert AllowedBuckets("s3://bins/photos", ["other"]).locate(bucket, "1.jpg") == location


@pytest.mark.parametrize(
    "bucket",
    [
        *(
            "bins",
            "s3://bins",
            "s3://bins/photos2",
            "s3://bins/photos/..",
            "s3://bins/photos/../x",
            "s3://bins//photos",
        ),
        *("elsewhere", "/", ".", "..", "./bins", "/bins/photos", "~", "~nobody-of-this-name/x", "https://bins/photos"),
        *("file:///", "file://bins/photos", "%2fetc", "s3://%2e%2e", "s3a://bins/photos", "s3://bins/photos/%2e%2e/.."),
        *("s3://", "s3://USER:SECRET@bins/photos"),
    ],
)
def test_other_buckets_are_forbidden(bucket):
    with pytest.raises(ForbiddenBucket, match=r"^the server may not read this bucket; name it with --allow-bucket"):
        AllowedBuckets("s3://bins/photos").check(bucket)


def test_folders_are_compared_without_links(tmp_path):
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/out").symlink_to(tmp_path)
    buckets = AllowedBuckets(f"{tmp_path}/photos/")
    assert buckets.locate(f"{tmp_path}/photos/a", "1.jpg").key == "a/1.jpg"
    for other in (tmp_path, f"{tmp_path}/photos/..", f"{tmp_path}/photos/out", f"{tmp_path}/photos2", "/"):
        with pytest.raises(ForbiddenBucket):
            buckets.check(str(other))


@pytest.mark.parametrize(
    ("bucket", "key"), [("./a", "/etc/passwd"), ("./a", "../b"), ("bins", "../b"), ("bins", "a/../../b"), ("bins", ".")]
)
def test_keys_that_lead_out_are_forbidden(bucket, key):
    with pytest.raises(ForbiddenKey, match="the key leads out of the bucket"):
        AllowedBuckets(bucket).locate(None, key)


def test_keys_of_s3_may_look_unusual():
    buckets = AllowedBuckets("s3://bins/photos")
    for key in ("/a.jpg", "a//b.jpg", "..a", "a..", "...", "~/a"):
        assert buckets.locate(None, key) == ("s3://bins/photos", key)


def test_line_without_a_bucket_needs_the_bucket_of_the_server():
    with pytest.raises(InvalidRequestLine, match="names no bucket, and RECONCILE_BUCKET is not set"):
        AllowedBuckets("", ["other"]).check(None)


def test_unsupported_location_in_the_allow_list_is_an_error():
    with pytest.raises(UsageError):
        AllowedBuckets("", ["s3://bins/../x"])
