"""Local copies of objects in `<out>` on S3: a key never decides where a file is written."""

import pyarrow as pa
import pytest

from reconcile.errors import ReconcileError
from reconcile.output.store import Output
from reconcile.storage.open import open_bucket

LONG = "x" * 250


@pytest.fixture
def results(moto):
    """Return `<out>` on S3, and a function that puts an object into its bucket."""
    import boto3

    client = boto3.client("s3", endpoint_url=moto.endpoint_url, region_name="us-east-1")
    client.create_bucket(Bucket="results")

    def put(key, body=b"evil"):
        client.put_object(Bucket="results", Key=f"out/{key}", Body=body)

    return Output(open_bucket("s3://results/out", moto)), put


@pytest.mark.parametrize(
    "key",
    [
        "verdicts/../../../evil.parquet",
        "verdicts/..",
        "verdicts/./evil.parquet",
        "verdicts//evil.parquet",
        "verdicts//etc/cron.d/evil.parquet",
    ],
)
def test_key_with_dots_is_refused_and_writes_nothing(results, tmp_path, key):
    output, put = results
    put(key)
    scratch = tmp_path / "a" / "b" / "scratch"
    scratch.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReconcileError, match=r"^reconcile did not write s3://results/out/verdicts/.*; remove the"):
        output.local_parts("verdicts", scratch)
    assert sorted(tmp_path.rglob("*")) == before


def test_copies_are_numbered_whatever_the_keys_are(results, tmp_path):
    output, put = results
    output.write_part("verdicts", pa.table({"a": [1]}))
    for number, key in enumerate(
        (f"verdicts/{LONG}/{LONG}/{LONG}.parquet", "verdicts/-rf *.parquet", "verdicts/a.txt")
    ):
        put(key, b"%d" % number)
    paths = output.local_parts("verdicts", tmp_path)
    assert len(set(paths)) == 3
    assert sorted(map(str, tmp_path.iterdir())) == sorted(paths)
    assert output.local_parts("verdicts", tmp_path) == paths, "a copy is used again"


def test_run_folders_with_strange_names_are_no_runs(results, tmp_path):
    output, put = results
    for run_id in ("n1", "..", "a b", "-x"):
        put(f"runs/{run_id}/summary.json", b"{}")
    assert output.finished_runs() == ["n1"]
    path = output.local_run_file("n1", "summary.json", tmp_path)
    assert (path.parent, path.read_bytes()) == (tmp_path, b"{}")
