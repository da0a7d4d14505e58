"""What tests of faults look at."""

import boto3
import pandas as pd


def counted_keys(counts):
    """The image keys of all rows of all parts, as often as they are there."""
    return sorted(key for part in counts.rglob("*.parquet") for key in pd.read_parquet(part)["image_key"])


def api(endpoint_url):
    return boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1")


def listed(bucket, prefix=""):
    return [stored.key for page in bucket.list_pages(prefix) for stored in page]
