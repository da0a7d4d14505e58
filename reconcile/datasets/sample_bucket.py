"""Write a synthetic bucket with known errors: drawn photos, records, and some broken files."""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconcile.datasets.drawing import Product, draw_bin, draw_catalogue

if TYPE_CHECKING:
    from pathlib import Path


_PRODUCTS = 80
_SEED = 7
# The bins with an error, by bin number. The records of all other bins are correct.
_SHORT, _OVER = range(10, 16), range(40, 44)
_NO_IMAGE, _NO_RECORD = (70, 71, 72), (90, 91)
_TRUNCATED, _EMPTY, _NOT_AN_IMAGE = (110,), (111,), (112,)
_NOT_JSON, _NO_QUANTITY, _NEGATIVE = (130,), (131,), (132,)


@dataclass(frozen=True)
class Sample:
    """The size of the bucket."""

    bins: int
    planted: int
    """The number of records that are wrong on purpose."""


def write_sample_bucket(folder: Path, bins: int = 200) -> Sample:
    """Draw a bucket in the layout of the Amazon Bin Image Dataset. It is the same every time.

    Files that already exist stay as they are, because a run would count new files again.

    Ten records are wrong on purpose. Three bins have no photo, and two have no record. Three photos and three records
    are broken.

    Args:
        folder: the folder for bin-images/ and metadata/.
        bins: the number of bins, at least 150, so that all errors are included.
    """
    images, records = folder / "bin-images", folder / "metadata"
    images.mkdir(parents=True, exist_ok=True)
    records.mkdir(parents=True, exist_ok=True)
    rng = random.Random(_SEED)
    catalogue = draw_catalogue(rng, _PRODUCTS)
    for number in range(1, bins + 1):
        count = rng.choices(range(10), weights=(3, 16, 18, 18, 14, 11, 7, 5, 3, 2))[0]
        if number in _OVER:
            count = max(count, 2)  # so that the record lacks at least one item
        if number in _SHORT:
            count = min(count, 5)  # a photo of six or more items does not show how many
        kinds = rng.sample(catalogue, min(max(count, 1), rng.randint(1, 3)))
        items = [rng.choice(kinds) for _ in range(count)]
        photo = _jpeg(draw_bin(rng, items))
        on_record = items + [kinds[0]] * rng.choice((2, 3)) if number in _SHORT else items
        if number in _OVER:
            on_record = items[: len(items) // 2]
        record = json.dumps(_record(on_record), indent=2).encode()
        if number not in _NO_IMAGE:
            _write(images / f"{number:05d}.jpg", _damaged_photo(number, photo))
        if number not in _NO_RECORD:
            _write(records / f"{number:05d}.json", _damaged_record(number, record))
    return Sample(bins, len(_SHORT) + len(_OVER))


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def _jpeg(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _damaged_photo(number: int, photo: bytes) -> bytes:
    if number in _TRUNCATED:
        return photo[: len(photo) // 2]
    if number in _EMPTY:
        return b""
    if number in _NOT_AN_IMAGE:
        return b"<html><body>503 Service Unavailable</body></html>"
    return photo


def _damaged_record(number: int, record: bytes) -> bytes:
    if number in _NOT_JSON:
        return record[:-20]
    document = json.loads(record)
    if number in _NO_QUANTITY:
        del document["EXPECTED_QUANTITY"]
    if number in _NEGATIVE:
        document["EXPECTED_QUANTITY"] = -1
    return json.dumps(document, indent=2).encode()


def _record(items: list[Product]) -> dict[str, Any]:
    products = {product.asin: product for product in items}
    return {
        "BIN_FCSKU_DATA": {
            asin: {
                "asin": asin,
                "name": product.name,
                "normalizedName": product.name,
                "quantity": sum(item.asin == asin for item in items),
                "height": {"unit": "IN", "value": round(product.height, 2)},
                "length": {"unit": "IN", "value": round(product.width, 2)},
                "width": {"unit": "IN", "value": round(product.width / 2, 2)},
                "weight": {"unit": "pounds", "value": round(product.width * product.height / 40, 2)},
            }
            for asin, product in products.items()
        },
        "EXPECTED_QUANTITY": len(items),
    }
