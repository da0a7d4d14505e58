"""Helpers of the SageMaker tests: run the engine alone, and look at what it left in `<out>`."""

import io
import json

import duckdb
import pandas as pd

from reconcile.config import load_settings
from reconcile.engines.open import open_engine
from reconcile.inputs.backlog import Backlog
from reconcile.locations import open_output
from reconcile.logs import RunLog
from reconcile.storage.open import open_bucket
from reconcile.streaming.observers import CallbackObserver
from tests.integration.sagemaker.transform_stand_in import REGION

IMAGE, ROLE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/reconcile:1", "arn:aws:iam::123456789012:role/reconcile"
SAGEMAKER_FLAGS = ("--engine", "sagemaker", "--image-uri", IMAGE, "--role", ROLE, "--instance-type", "ml.c5.xlarge")
BINS = {f"{number:05d}": (number % 7, number % 7) for number in range(100)}
"""Bin id to (items in the photo, items on record). One instance gets 4 shards, of 32, 32, 32 and 4 photos."""


class EngineRun:
    """The calls that a run makes to its engine, without the rest of a run."""

    def __init__(self, s3, model, **flags):
        common = {
            "bucket": "warehouse",
            "endpoint_url": s3.endpoint_url,
            "region": REGION,
            "out": "s3://results/nightly",
        }
        machine = {"engine": "sagemaker", "image_uri": IMAGE, "role": ROLE, "instance_type": "ml.c5.xlarge"}
        self.settings = settings = load_settings(common | machine | {"model": model} | flags, flags_only=True)
        self.log, self.failures, self.done = io.StringIO(), {}, 0
        self.engine = open_engine(settings, RunLog("text", None, self.log))
        self.bucket = open_bucket(settings.bucket, settings.s3_access())
        self.output = open_output(settings, create=True)

    def resume(self):
        self.engine.resume(self.bucket, self.output)

    def count(self, keys=None, advance=None):
        images = Backlog(duckdb.connect(), "images")
        pages = self.bucket.list_pages("bin-images/")
        images.fill([stored for stored in page if keys is None or stored.key in keys] for page in pages)
        observer = CallbackObserver(advance or self._advance, self.failures.__setitem__)
        return self.engine.count(images, self.bucket, self.output, observer)

    def _advance(self, done):
        self.done += done


def counts_in(s3):
    """Return the rows of all parts, sorted by key."""
    parts = sorted((s3.root / "results" / "nightly" / "counts").rglob("*.parquet"))
    return pd.concat(map(pd.read_parquet, parts)).sort_values("image_key").reset_index(drop=True)


def are_correct(rows):
    """Return whether the rows are the counts of all bins."""
    return list(rows["image_key"]) == sorted(f"bin-images/{name}.jpg" for name in BINS) and list(
        rows["predicted_count"]
    ) == [count for count, _ in BINS.values()]


def read_summary(s3, run_id):
    return json.loads((s3.root / "results" / "nightly" / "runs" / run_id / "summary.json").read_text())


def job_files(s3):
    """Return the files in <out>/transform, except the model."""
    folder = s3.root / "results" / "nightly" / "transform"
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "model.tar.gz"]
