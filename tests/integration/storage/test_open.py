"""Opening of locations: a bucket on S3, a folder, or one file."""

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage.base import S3Access
from reconcile.storage.open import download_file, is_folder, open_bucket


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
    ],
)
def test_location_with_a_slash_or_leading_dot_is_a_folder(location, expected):
    assert is_folder(location) == expected


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
    assert download_file("s3://erp/stock.csv", access, tmp_path).read_bytes() == b"bin_id"
    assert download_file(str(s3.root / "erp" / "stock.csv"), access, tmp_path).read_bytes() == b"bin_id"
    for missing in ("s3://erp/none.csv", str(tmp_path / "none.csv")):
        with pytest.raises(ReconcileError, match=r"none\.csv"):
            download_file(missing, access, tmp_path)
