"""Helpers that look into buckets and count files."""

import boto3
import pandas as pd


def counted_keys(folder):
    """Return the image keys of all rows of all count files, sorted, with duplicates."""
    return sorted(key for part in folder.rglob("*.parquet") for key in pd.read_parquet(part)["image_key"])


def boto_client(endpoint_url):
    """Return a boto3 client of an S3 server."""
    return boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1")


def list_keys(bucket, prefix=""):
    """Return the keys under a prefix, in the order of the listing."""
    return [stored.key for page in bucket.list_pages(prefix) for stored in page]
