"""Opening of locations: a bucket on S3, a folder, or one file."""

import pytest

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.base import S3Access
from reconcile.storage.open import download_file, is_folder, open_bucket, split_location


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("bins", False),
        ("my.bucket", False),
        ("s3://bins/a/b", False),
        ("./bins", True),
        ("/data", True),
        ("a/b", True),
        ("~/photos", True),
        (".", True),
        ("s3a://night/a", False),
        ("arn:aws:s3:us-west-2:123456789012:accesspoint/floor", False),
        ("arn:aws:s3:us-west-2:123456789012:accesspoint:floor", False),
    ],
)
def test_location_with_a_slash_or_leading_dot_is_a_folder(location, expected):
    assert is_folder(location) == expected


POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/floor"


@pytest.mark.parametrize(
    ("location", "bucket", "key"),
    [
        ("bins", "bins", ""),
        ("s3://bins/a/b.jpg", "bins", "a/b.jpg"),
        ("s3n://bins/a//b", "bins", "a//b"),
        (POINT, POINT, ""),
        (f"s3://{POINT}/a/b", POINT, "a/b"),
        (f"{POINT.replace('/floor', ':floor')}/a", POINT.replace("/floor", ":floor"), "a"),
        ("arn:aws-us-gov:s3:::bins/a", "bins", "a"),
    ],
)
def test_location_on_s3_is_split_into_bucket_and_key(location, bucket, key):
    assert split_location(location) == (bucket, key)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("s3://", "does not name a bucket"),
        ("my bins", "'my bins' is not a valid bucket name"),
        ("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", "is a Multi-Region Access Point, which"),
        ("arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint/x", "does not support arn:aws:s3-object-lambda"),
        ("arn:aws:s3-outposts:us-east-1:123456789012:outpost/op-1/accesspoint/x", "does not support arn:aws:s3-out"),
        ("bins--use1-az4--x-s3", "is a directory bucket"),
        ("gs://bins", "has the scheme gs://, which reconcile does not support"),
        ("hdfs://bins/x", "has the scheme hdfs://"),
        ("file:///srv/photos", "has the scheme file://"),
        ("https://bins.s3.amazonaws.com/x", "is a web address"),
        ("s3://key:hunter2@bins", "holds credentials"),
    ],
)
def test_unsupported_location_is_named_as_such(location, reason):
    with pytest.raises(UsageError, match=reason) as raised:
        open_bucket(location, S3Access(region="us-east-1", no_sign_request=True))
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("no_sign_request", [True, False])
def test_bucket_opens_without_an_endpoint_on_amazon_s3(no_sign_request):
    bucket = open_bucket("s3://some-bucket/prefix", S3Access(region="eu-west-1", no_sign_request=no_sign_request))
    assert bucket.location == "s3://some-bucket/prefix"


def test_region_comes_from_the_variables_of_the_aws_cli(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert open_bucket("b", S3Access(no_sign_request=True)).access.region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert open_bucket("b", S3Access(no_sign_request=True)).access.region == "eu-central-1"
    assert open_bucket("b", S3Access(no_sign_request=True, region="eu-west-1")).access.region == "eu-west-1"


def test_download_file_reads_from_s3_or_a_folder(s3, tmp_path):
    (s3.root / "erp").mkdir()
    (s3.root / "erp" / "stock.csv").write_bytes(b"bin_id")
    access = S3Access(endpoint_url=s3.endpoint_url)
    assert download_file("--records", "s3://erp/stock.csv", access, tmp_path).read_bytes() == b"bin_id"
    assert download_file("--records", str(s3.root / "erp" / "stock.csv"), access, tmp_path).read_bytes() == b"bin_id"
    for missing in ("s3://erp/none.csv", str(tmp_path / "none.csv")):
        with pytest.raises(ReconcileError, match=r"none\.csv"):
            download_file("--records", missing, access, tmp_path)


@pytest.mark.parametrize("name", ["..", "a/../b.csv", "x" * 300 + ".csv", "~.csv", "a\\b.csv"])
def test_downloaded_copy_stays_in_its_folder_whatever_the_key(moto, moto_client, tmp_path, name):
    moto_client.create_bucket(Bucket="erp")
    moto_client.put_object(Bucket="erp", Key=f"deep/{name}", Body=b"bin_id")
    work = tmp_path / "work"
    work.mkdir()
    path = download_file("--records", f"s3://erp/deep/{name}", moto, work)
    assert path.read_bytes() == b"bin_id"
    assert path.resolve().is_relative_to(work)
    assert path.name == ("1.csv" if name.endswith(".csv") else "1")
