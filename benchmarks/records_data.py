"""Synthetic data of a run in which all bins are counted already: a listing, and counts and records as in <out>.

The quantities are real if the file ../shared/abid/quantities.csv.gz exists. The model's probabilities are random.
"""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from reconcile.output.schemas import COUNTS_SCHEMA, ITEM_TYPE, RECORDS_SCHEMA
from reconcile.storage.base import PAGE, FetchError, StoredObject
from reconcile.streaming.write_parts import PART_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconcile.inference.counter import CountPredictor

REAL_ROWS = 388_861
IMAGES, RECORDS = "bin-images/", "metadata/"
_QUANTITIES = Path(__file__).resolve().parents[2] / "shared" / "abid" / "quantities.csv.gz"
_FRACTIONS = (0.025, 0.106, 0.198, 0.232, 0.207, 0.161, 0.039, 0.018, 0.009, 0.005)
"""Fractions of the quantities 0 to 9, about as in that file."""
_PRODUCTS = 20_000
_ROWS_AT_ONCE = 25 * PART_ROWS
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make_run_data(folder: Path, rows: int, counter: CountPredictor) -> None:
    """Write the data of a run into `folder`.

    The photos and JSON records are in listing.parquet. The counts are in out/counts/<model id>/*.parquet, and the
    records with one or two products per bin in out/records/*.parquet. records.csv has the same records without
    products. prior.json has the fractions of the labels in training.

    One record in thirty is wrong. Five in a thousand bins have no record, and five have no photo. One has an invalid
    record, two have an unreadable photo, and four also have an older photo.

    Args:
        folder: an empty folder.
        rows: number of bins. If there are more bins than quantities, the quantities repeat with other ids.
        counter: the model whose counts are simulated.
    """
    random = np.random.default_rng(0)
    bins, quantities = _bins(rows)
    counts_folder, records_folder = folder / "out" / "counts" / counter.model_id, folder / "out" / "records"
    counts_folder.mkdir(parents=True)
    records_folder.mkdir()
    (folder / "prior.json").write_text(json.dumps(counter.card.class_prior))
    photos = np.flatnonzero(random.random(rows) >= 0.005)
    older = photos[random.random(len(photos)) < 0.004]
    recorded = np.flatnonzero(random.random(rows) >= 0.005)
    csv_schema = pa.schema([("bin_id", pa.string()), ("expected_quantity", pa.string())])
    with (
        pq.ParquetWriter(
            folder / "listing.parquet", pa.schema([("key", pa.string()), ("days", pa.int64())])
        ) as listing,
        pa.csv.CSVWriter(folder / "records.csv", csv_schema) as table,
    ):
        for prefix, indices, days in ((IMAGES, photos, 1), (f"{IMAGES}older/", older, 0)):
            for start in range(0, len(indices), _ROWS_AT_ONCE):
                chosen = indices[start : start + _ROWS_AT_ONCE]
                keys = pa.array([f"{prefix}{name}.jpg" for name in bins.take(pa.array(chosen)).to_pylist()])
                listing.write_table(pa.table({"key": keys, "days": np.full(len(keys), days)}))
                _write_parts(_counts(keys, quantities[chosen], counter, random), counts_folder, days, start)
        for start in range(0, len(recorded), _ROWS_AT_ONCE):
            chosen = recorded[start : start + _ROWS_AT_ONCE]
            records = _records(bins.take(pa.array(chosen)), quantities[chosen], random)
            listing.write_table(
                pa.table({"key": records["record_key"], "days": np.zeros(len(records), dtype=np.int64)})
            )
            quantity = records["expected_quantity"].cast(pa.string()).fill_null("?")
            table.write_table(pa.table([records["bin_id"], quantity], schema=csv_schema))
            _write_parts(records, records_folder, 0, start)


def _write_parts(rows: pa.Table, folder: Path, turn: int, start: int) -> None:
    for row in range(0, len(rows), PART_ROWS):
        path = folder / f"part-{turn}-{start + row:09d}.parquet"
        pq.write_table(rows.slice(row, PART_ROWS), path, compression="zstd")


def _bins(rows: int) -> tuple[pa.Array, np.ndarray]:
    """Return bin ids in the order of their keys, and the quantities on record."""
    if not _QUANTITIES.is_file():
        quantities = np.random.default_rng(1).choice(len(_FRACTIONS), rows, p=_FRACTIONS)
        return pa.array([f"{index:07d}" for index in range(rows)]), quantities
    with gzip.open(_QUANTITIES, "rt") as file:
        real = [(Path(line["image"]).stem, int(line["quantity"])) for line in csv.DictReader(file)]
    ids = [name if turn == 0 else f"{name}-{turn}" for turn in range(-(-rows // len(real))) for name, _ in real][:rows]
    order = np.argsort(np.array([f"{name}.jpg" for name in ids]))
    quantities = np.resize(np.array([quantity for _, quantity in real]), rows)
    return pa.array(ids).take(pa.array(order)), quantities[order]


def _counts(keys: pa.Array, quantities: np.ndarray, counter: CountPredictor, random: np.random.Generator) -> pa.Table:
    """Return random counts of a model that is correct for four in ten bins. One record in thirty is wrong."""
    labels = counter.card.labels
    values = np.array(labels.values)
    slips = np.where(random.random(len(keys)) < 1 / 30, random.choice([-2, -1, 1, 2, 3], len(keys)), 0)
    truth = np.clip(quantities + slips, 0, values[-1])
    logits = -0.6 * np.abs(values[None, :] - truth[:, None]) + random.normal(0, 1, (len(keys), len(values)))
    logits *= random.uniform(0.5, 2.5, (len(keys), 1))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    broken = random.random(len(keys)) < 0.002
    best = probs.argmax(axis=1)
    offsets = pa.array(
        np.concatenate([[0], np.cumsum(~broken) * len(values)]), pa.int32(), mask=np.append(broken, False)
    )
    columns = {
        "image_key": keys,
        "etag": [_etag(key) for key in keys.to_pylist()],
        "predicted_label": pa.array(np.array(labels.names)[best], mask=broken),
        "predicted_count": pa.array(values[best], pa.int32(), mask=broken),
        "probabilities": pa.ListArray.from_arrays(offsets, pa.array(probs[~broken].ravel())),
        "reason": pa.array(np.where(broken, "the image is damaged", ""), mask=~broken),
        "try_again": np.zeros(len(keys), dtype=bool),
        "counted_at": _when(len(keys)),
    }
    return pa.table(columns, schema=COUNTS_SCHEMA)


def _records(bins: pa.Array, quantities: np.ndarray, random: np.random.Generator) -> pa.Table:
    """Return records as parsed from JSON. A bin with several items holds two products."""
    number = np.minimum(quantities, 2)
    offsets = np.concatenate([[0], np.cumsum(number)])
    of_item = np.ones(offsets[-1], dtype=np.int64)
    of_item[offsets[:-1][number > 0]] = (quantities - number + 1)[number > 0]
    chosen = random.integers(0, _PRODUCTS, len(of_item))
    products = [
        pa.array([form.format(n) for n in range(_PRODUCTS)]) for form in ("B00{:07d}", "Product {}, " + 50 * "x")
    ]
    measures = [
        pa.array([{"value": n % 97 / 7, "unit": unit} for n in range(_PRODUCTS)])
        for unit in ("inches", "inches", "inches", "pounds")
    ]
    asin, name, *sizes = (column.take(pa.array(chosen)) for column in (*products, *measures))
    sizes = [size.cast(ITEM_TYPE.field(index).type) for index, size in enumerate(sizes, 3)]
    items = pa.StructArray.from_arrays([asin, name, pa.array(of_item), *sizes], fields=list(ITEM_TYPE))
    invalid = random.random(len(bins)) < 0.001
    keys = [f"{RECORDS}{name}.json" for name in bins.to_pylist()]
    columns = {
        "record_key": keys,
        "etag": [_etag(key) for key in keys],
        "bin_id": bins,
        "expected_quantity": pa.array(quantities, mask=invalid),
        "items": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items),
        "note": pa.nulls(len(bins), pa.string()),
        "reason": pa.array(np.where(invalid, "EXPECTED_QUANTITY is missing", ""), mask=~invalid),
        "try_again": np.zeros(len(bins), dtype=bool),
        "read_at": _when(len(bins)),
    }
    return pa.table(columns, schema=RECORDS_SCHEMA)


def _etag(key: str) -> str:
    return "etag-of-" + key[-20:]


def _when(rows: int) -> pa.Array:
    return pa.array(np.full(rows, np.datetime64("2026-01-02T00:00:00", "us")), COUNTS_SCHEMA.field("counted_at").type)


class Listing:
    """A bucket that can be listed. Its photos and records cannot be fetched."""

    def __init__(self, folder: Path) -> None:
        self.location = "s3://benchmark"
        self._path = folder / "listing.parquet"

    def list_pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Yield pages of a thousand objects, like S3."""
        with pq.ParquetFile(self._path) as file:
            days = [_NOON, _NOON + timedelta(days=1)]
            for batch in file.iter_batches(PAGE):
                objects = batch.filter(pc.starts_with(batch["key"], prefix))
                page = [
                    StoredObject(key, 50_000, _etag(key), days[day])
                    for key, day in zip(objects["key"].to_pylist(), objects["days"].to_pylist(), strict=True)
                ]
                if page:
                    yield page

    def get(self, key: str, etag: str | None = None, check_size: Callable[[int], None] | None = None) -> bytes:
        """Refuse to fetch."""
        raise FetchError("only listed")

    def local_path(self, key: str) -> Path | None:
        """Return None: nothing is on the local disk."""
        return None

    def url(self, key: str) -> str:
        """Return the address of an object."""
        return f"{self.location}/{key}"
