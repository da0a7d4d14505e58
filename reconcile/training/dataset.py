"""Training and validation arrays, decoded once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.datasets import labelled
from reconcile.datasets.drawing import draw_bin, draw_catalogue
from reconcile.datasets.labelled import LabelledImage
from reconcile.errors import ReconcileError, UsageError
from reconcile.images import PREPROCESSING, UnreadableImage, read_photo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels
    from reconcile.training.recipe import Recipe


FIRST_DRAWING_SEED = 1_000_000
"""The seed of the first drawing for training. `reconcile demo` uses small seeds, which are never trained on."""
_IMAGES_PER_COPY = 1000


@dataclass(frozen=True)
class Drawing:
    """A drawn bin. Seed and count decide every pixel."""

    seed: int
    count: int

    def as_jpeg(self) -> bytes:
        """Draw the bin and return it as JPEG."""
        rng = random.Random(self.seed)
        products = draw_catalogue(rng, 3)
        items = [rng.choice(products) for _ in range(self.count)]
        buffer = io.BytesIO()
        draw_bin(rng, items).save(buffer, "JPEG", quality=rng.randint(70, 92))
        return buffer.getvalue()


@dataclass(frozen=True)
class Arrays:
    """Decoded images and their counts."""

    pixels: NDArray[np.uint8]
    """RGB, uint8 [N, S, S, 3], memory-mapped."""
    counts: NDArray[np.int64]
    """The number of items, int64 [N]."""


@dataclass(frozen=True)
class TrainingData:
    """The images of a training, not yet decoded."""

    photos: list[LabelledImage]
    """The training photos."""
    held_out: list[LabelledImage]
    """The photos for validation."""
    drawings: list[Drawing]

    @property
    def images(self) -> list[LabelledImage | Drawing]:
        """All training images: photos, then drawings."""
        return [*self.photos, *self.drawings]

    def fingerprint(self) -> str:
        """Return the fingerprint of all photos, held-out photos included; see `labelled.fingerprint`."""
        return labelled.fingerprint([*self.photos, *self.held_out])


def read_training_data(
    folder: Path, recipe: Recipe, validation: Path | None, info: Callable[[str], None]
) -> TrainingData:
    """Read the labels of the photos and decide which photos are held out.

    Args:
        folder: the photos with counts, in any layout of `labelled.read_labelled`.
        recipe: its labels, validation fold, training share and drawings are used.
        validation: A folder of photos to hold out. Then no photo of `folder` is held out.
        info: called with one line about photos that are left out.

    Raises:
        UsageError: both folders are the same.
        ReconcileError: A folder cannot be read, or there is no training photo or no held-out photo.
    """
    labels = recipe.count_labels
    photos, leaked = _with_label(labelled.read_labelled(folder, info), labels, info), 0
    if validation is None:
        photos, held_out, leaked = labelled.split(photos, recipe.validation_fold)
    elif validation.resolve() == folder.resolve():
        raise UsageError(f"{folder} is both --data and --validation; held-out photos need a folder of their own")
    else:
        others = _with_label(labelled.read_labelled(validation, info), labels, info)
        held_out = labelled.drop_leaked(others, photos)
        leaked = len(others) - len(held_out)
    if leaked:
        info(f"left out {leaked} held-out photos, because training photos have the same items")
    if recipe.training_share < 1:
        photos = _random_fraction(photos, recipe.training_share)
    if not photos or not held_out:
        raise ReconcileError(
            f"there are {len(photos)} training photos and {len(held_out)} held-out photos, but both are needed; choose "
            "the held-out photos with a column fold in labels.csv, or with --validation"
        )
    top = labels.values[-1] + (3 if labels.open_ended else 0)
    drawn = [count for count in range(top + 1) if labels.index_of(count) is not None]
    drawings = [Drawing(FIRST_DRAWING_SEED + n, drawn[n % len(drawn)]) for n in range(recipe.drawings)]
    return TrainingData(photos, held_out, drawings)


def _with_label(photos: list[LabelledImage], labels: CountLabels, info: Callable[[str], None]) -> list[LabelledImage]:
    kept = [photo for photo in photos if labels.index_of(photo.count) is not None]
    if len(kept) < len(photos):
        names = ",".join(labels.names)
        info(f"left out {len(photos) - len(kept)} photos, because none of the labels {names} covers their count")
    return kept


def _random_fraction(photos: list[LabelledImage], fraction: float) -> list[LabelledImage]:
    """Return a random fraction of the photos. A smaller fraction is part of a larger one."""
    indices = np.random.default_rng(0).permutation(len(photos))[: max(1, round(len(photos) * fraction))]
    return [photos[index] for index in sorted(indices)]


def load_arrays(
    images: Sequence[LabelledImage | Drawing], size: int, cache: Path, info: Callable[[str], None]
) -> Arrays:
    """Decode every image once, with the same preprocessing as in counting, and keep the result in a cache.

    Unreadable images are left out. Their reasons are reported in every call.

    Args:
        images: the images.
        size: S, the side of the arrays in pixels.
        cache: the folder of the cache.
        info: called with one line for each unreadable image.

    Raises:
        ReconcileError: no image can be decoded, or a file cannot be read.
    """
    cache.mkdir(parents=True, exist_ok=True)
    stem = cache / f"{PREPROCESSING}-{size}-{_cache_key(images)}"
    pixels_file, done_file, notes_file = (stem.with_suffix(ending) for ending in (".npy", ".json", ".notes.json"))
    if not done_file.exists():
        reasons, notes = _decode_all(images, size, pixels_file)
        _write_texts(notes_file, notes)
        _write_texts(done_file, reasons)  # last, because it says that the cache is complete
    unreadable = _read_texts(done_file)
    for index, reason in unreadable.items():
        info(f"left out {_name(images[index])}: {reason}")
    for index, note in (_read_texts(notes_file) if notes_file.exists() else {}).items():
        info(f"{_name(images[index])}: {note}")
    counts = [image.count for index, image in enumerate(images) if index not in unreadable]
    return Arrays(np.load(pixels_file, mmap_mode="r"), np.array(counts, dtype=np.int64))


def _write_texts(file: Path, texts: dict[int, str]) -> None:
    """Write a text for some images, by index. Other processes see the file when it is complete."""
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(texts), encoding="utf-8")
    partial.replace(file)


def _read_texts(file: Path) -> dict[int, str]:
    return {int(index): text for index, text in json.loads(file.read_text(encoding="utf-8")).items()}


def _name(image: LabelledImage | Drawing) -> str:
    return f"drawing {image.seed}" if isinstance(image, Drawing) else str(image.path)


def _cache_key(images: Sequence[LabelledImage | Drawing]) -> str:
    """Return a digest of the path, size, time and count of each photo, of the drawings, and of the drawing code."""
    digest = hashlib.sha256()
    for image in images:
        if isinstance(image, LabelledImage):
            status = image.path.stat()
            digest.update(f"{image.path.absolute()}\t{status.st_size}\t{status.st_mtime_ns}\t{image.count}\n".encode())
        else:
            digest.update(f"{image.seed}\t{image.count}\n".encode())
    digest.update(Drawing(0, 3).as_jpeg())
    return digest.hexdigest()[:16]


def _decode_all(
    images: Sequence[LabelledImage | Drawing], size: int, pixels_file: Path
) -> tuple[dict[int, str], dict[int, str]]:
    """Write the pixels of all readable images.

    Returns:
        the reason for each unreadable image, and the note of each odd one, by index.

    Raises:
        ReconcileError: no image can be decoded, or a file cannot be read.
    """
    partial = pixels_file.with_suffix(f".{os.getpid()}.partial")
    pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(images), size, size, 3))
    unreadable: dict[int, str] = {}
    notes: dict[int, str] = {}

    def decode(index: int) -> None:
        image = images[index]
        try:
            data = image.as_jpeg() if isinstance(image, Drawing) else image.path.read_bytes()
            note = read_photo(data, size, out=pixels[index]).facts.note
            if note is not None:
                notes[index] = note
        except UnreadableImage as reason:
            unreadable[index] = str(reason)
        except OSError as error:  # the cause may be temporary, so the cache must not keep it
            raise ReconcileError(f"{_name(image)} cannot be read: {error.strerror}") from None

    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(decode, range(len(images))))
        if len(unreadable) == len(images):
            raise ReconcileError(f"none of the {len(images)} images can be read")
        if unreadable:
            _copy_rows(pixels, [index for index in range(len(images)) if index not in unreadable], partial)
        partial.replace(pixels_file)
    finally:
        partial.unlink(missing_ok=True)
    return dict(sorted(unreadable.items())), dict(sorted(notes.items()))


def _copy_rows(pixels: NDArray[np.uint8], rows: Sequence[int], file: Path) -> None:
    """Replace the file by one with some rows of the array that it holds."""
    smaller = file.with_suffix(".kept")
    copy = np.lib.format.open_memmap(smaller, mode="w+", dtype=np.uint8, shape=(len(rows), *pixels.shape[1:]))
    for start in range(0, len(rows), _IMAGES_PER_COPY):
        some = rows[start : start + _IMAGES_PER_COPY]
        copy[start : start + len(some)] = pixels[some]
    smaller.replace(file)
