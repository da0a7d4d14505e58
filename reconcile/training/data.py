"""Labelled images as arrays: a `labels.csv` beside `bin-images/`, plus drawings."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.drawing import draw_bin, draw_catalogue
from reconcile.errors import ReconcileError
from reconcile.images import PREPROCESSING, UnreadableImage, load_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels

# Drawings for training come from these seeds on; `reconcile demo` draws from small ones, which are never trained on.
FIRST_DRAWING_SEED = 1_000_000
_DRAWN_COUNTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)


@dataclass(frozen=True)
class LabelledImage:
    """One training image: where its bytes are, or the seed of its drawing, and how many items it holds."""

    source: Path | int
    count: int


def read_labels(
    folder: Path, labels: CountLabels, validation_fold: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Read `labels.csv` (columns image, count, fold) and split it by fold.

    Folds are blocks of neighbouring bins: photos of one bin minutes apart never end on both sides of the split.

    Returns:
        the training and the validation images; images whose count no label covers are left out of both.

    Raises:
        ReconcileError: there is no labels.csv in `folder`, or it lacks a column.
    """
    table = folder / "labels.csv"
    if not table.is_file():
        raise ReconcileError(f"there is no {table}; it says image, count and fold of each photo in bin-images/")
    training: list[LabelledImage] = []
    validation: list[LabelledImage] = []
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"image", "count", "fold"} - set(reader.fieldnames or ())
        if missing:
            raise ReconcileError(f"{table} has no column {', '.join(sorted(missing))}")
        for row in reader:
            count = int(row["count"])
            if labels.index_of(count) is None:
                continue
            image = LabelledImage(folder / "bin-images" / row["image"], count)
            (validation if int(row["fold"]) == validation_fold else training).append(image)
    return training, validation


def drawings(number: int, first_seed: int = FIRST_DRAWING_SEED) -> list[LabelledImage]:
    """`number` drawings to be made, one seed each, all counts equally often."""
    return [LabelledImage(first_seed + n, _DRAWN_COUNTS[n % len(_DRAWN_COUNTS)]) for n in range(number)]


def image_bytes(image: LabelledImage) -> bytes:
    """The bytes of the file, or of the drawing as a JPEG."""
    if not isinstance(image.source, int):
        return image.source.read_bytes()
    rng = random.Random(image.source)
    products = draw_catalogue(rng, 3)
    items = [rng.choice(products) for _ in range(image.count)]
    buffer = io.BytesIO()
    draw_bin(rng, items).save(buffer, "JPEG", quality=rng.randint(70, 92))
    return buffer.getvalue()


def fingerprint(images: Sequence[LabelledImage]) -> str:
    """Twelve hex digits that change with the name, the size in bytes and the label of any image."""
    digest = hashlib.sha256()
    for image in images:
        name = str(image.source) if isinstance(image.source, int) else image.source.name
        size = 0 if isinstance(image.source, int) else image.source.stat().st_size
        digest.update(f"{name}\t{size}\t{image.count}\n".encode())
    return digest.hexdigest()[:12]


def load_arrays(images: Sequence[LabelledImage], size: int, cache: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Decode every image once, by the same preprocessing as counting, and keep the result in `cache`.

    Returns:
        uint8 [N, size, size, 3] (memory-mapped) and int64 [N] counts; unreadable images are printed and left out.
    """
    cache.mkdir(parents=True, exist_ok=True)
    stem = f"{PREPROCESSING}-{size}-{fingerprint(images)}"
    pixels_file, counts_file = cache / f"{stem}.npy", cache / f"{stem}.counts.npy"
    if not counts_file.exists():
        _decode_all(images, size, pixels_file, counts_file)
    return np.load(pixels_file, mmap_mode="r"), np.load(counts_file)


def _decode_all(images: Sequence[LabelledImage], size: int, pixels_file: Path, counts_file: Path) -> None:
    partial = pixels_file.with_suffix(".partial")
    pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(images), size, size, 3))
    readable = np.ones(len(images), dtype=bool)

    def decode(index: int) -> None:
        try:
            load_image(image_bytes(images[index]), size, out=pixels[index])
        except UnreadableImage as reason:
            readable[index] = False
            print(f"left out {images[index].source}: {reason}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(images))))
    if readable.all():
        pixels.flush()
        partial.rename(pixels_file)
    else:
        np.save(pixels_file, pixels[readable])
        partial.unlink()
    np.save(counts_file, np.array([image.count for image in images], dtype=np.int64)[readable])
