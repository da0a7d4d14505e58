"""Photos and drawings as arrays that an epoch can be read from without decoding anything."""

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
from reconcile.images import PREPROCESSING, UnreadableImage, load_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels
    from reconcile.training.recipe import Recipe


# Drawings for training come from these seeds on; `reconcile demo` draws from small ones, which are never trained on.
FIRST_DRAWING_SEED = 1_000_000
_COPIED_AT_ONCE = 1000


@dataclass(frozen=True)
class Drawing:
    """A drawn bin: the same seed gives the same drawing."""

    seed: int
    count: int

    def as_jpeg(self) -> bytes:
        """Draw it."""
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
    """uint8 [N, S, S, 3], memory-mapped."""
    counts: NDArray[np.int64]
    """int64 [N], items."""


@dataclass(frozen=True)
class TrainingData:
    """What a recipe trains on, and what it holds out."""

    photos: list[LabelledImage]
    held_out: list[LabelledImage]
    drawings: list[Drawing]

    @property
    def images(self) -> list[LabelledImage | Drawing]:
        """All that is trained on."""
        return [*self.photos, *self.drawings]


def read_training_data(
    folder: Path, recipe: Recipe, validation: Path | None, say: Callable[[str], None]
) -> TrainingData:
    """Read the photos of a folder and hold some of them out, after a recipe.

    Args:
        folder: in any layout that `labelled.read_labelled` knows.
        recipe: its labels, fold, share and drawings.
        validation: a folder whose photos are all held out; then none of `folder` are.
        say: called with one line for each photo that is left out.

    Raises:
        UsageError: both folders are the same.
        ReconcileError: a folder cannot be read, or nothing is left to train on or to hold out.
    """
    labels = recipe.count_labels
    photos, known = _usable(labelled.read_labelled(folder, say), labels, say), 0
    if validation is None:
        photos, held_out, known = labelled.split(photos, recipe.validation_fold)
    elif validation.resolve() == folder.resolve():
        raise UsageError(f"{folder} cannot be both trained on and held out")
    else:
        others = _usable(labelled.read_labelled(validation, say), labels, say)
        held_out = labelled.drop_leaked(others, photos)
        known = len(others) - len(held_out)
    if known:
        say(f"left out {known} held-out photos whose items are also among the training photos")
    if recipe.training_share < 1:
        photos = _share(photos, recipe.training_share)
    if not photos or not held_out:
        raise ReconcileError(
            f"{len(photos)} photos to train on and {len(held_out)} held out: both are needed; a column fold in "
            "labels.csv or --validation says which to hold out"
        )
    top = labels.values[-1] + (3 if labels.open_ended else 0)
    drawn = [count for count in range(top + 1) if labels.index_of(count) is not None]
    drawings = [Drawing(FIRST_DRAWING_SEED + n, drawn[n % len(drawn)]) for n in range(recipe.drawings)]
    return TrainingData(photos, held_out, drawings)


def _usable(photos: list[LabelledImage], labels: CountLabels, say: Callable[[str], None]) -> list[LabelledImage]:
    usable = [photo for photo in photos if labels.index_of(photo.count) is not None]
    if len(usable) < len(photos):
        say(f"left out {len(photos) - len(usable)} photos whose count none of {','.join(labels.names)} covers")
    return usable


def _share(photos: list[LabelledImage], share: float) -> list[LabelledImage]:
    """The first of the photos in an order that is random but the same for every share: a quarter is part of a half."""
    places = np.random.default_rng(0).permutation(len(photos))[: max(1, round(len(photos) * share))]
    return [photos[place] for place in sorted(places)]


def load_arrays(
    images: Sequence[LabelledImage | Drawing], size: int, cache: Path, say: Callable[[str], None]
) -> Arrays:
    """Decode every image once, by the same preprocessing as counting, and keep the result in `cache`.

    Unreadable images are told to `say`, every time, and left out.

    Raises:
        ReconcileError: none of them can be decoded, or a file cannot be read at all.
    """
    cache.mkdir(parents=True, exist_ok=True)
    stem = cache / f"{PREPROCESSING}-{size}-{_cache_key(images)}"
    pixels_file, done_file = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not done_file.exists():
        unreadable = _decode_all(images, size, pixels_file)
        partial = done_file.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(unreadable), encoding="utf-8")
        partial.replace(done_file)
    unreadable = {int(place): reason for place, reason in json.loads(done_file.read_text(encoding="utf-8")).items()}
    for place, reason in unreadable.items():
        say(f"left out {_name(images[place])}: {reason}")
    counts = [image.count for place, image in enumerate(images) if place not in unreadable]
    return Arrays(np.load(pixels_file, mmap_mode="r"), np.array(counts, dtype=np.int64))


def _name(image: LabelledImage | Drawing) -> str:
    return f"drawing {image.seed}" if isinstance(image, Drawing) else str(image.path)


def _cache_key(images: Sequence[LabelledImage | Drawing]) -> str:
    """Changes with any photo's place, size, time and count, with the drawings, and with how they are drawn."""
    digest = hashlib.sha256()
    for image in images:
        if isinstance(image, LabelledImage):
            known = image.path.stat()
            digest.update(f"{image.path.absolute()}\t{known.st_size}\t{known.st_mtime_ns}\t{image.count}\n".encode())
        else:
            digest.update(f"{image.seed}\t{image.count}\n".encode())
    digest.update(Drawing(0, 3).as_jpeg())
    return digest.hexdigest()[:16]


def _decode_all(images: Sequence[LabelledImage | Drawing], size: int, pixels_file: Path) -> dict[int, str]:
    """Write the pixels of those that can be decoded; give back why the others cannot, by their place."""
    partial = pixels_file.with_suffix(f".{os.getpid()}.partial")
    pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(images), size, size, 3))
    unreadable: dict[int, str] = {}

    def decode(place: int) -> None:
        image = images[place]
        try:
            data = image.as_jpeg() if isinstance(image, Drawing) else image.path.read_bytes()
            load_image(data, size, out=pixels[place])
        except UnreadableImage as reason:
            unreadable[place] = str(reason)
        except OSError as error:  # may be gone tomorrow: nothing to keep
            raise ReconcileError(f"{_name(image)} cannot be read: {error.strerror}") from None

    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(decode, range(len(images))))
        if len(unreadable) == len(images):
            raise ReconcileError(f"none of {len(images)} images can be read")
        if unreadable:
            kept = [place for place in range(len(images)) if place not in unreadable]
            whole = partial.with_suffix(".kept")
            shape = (len(kept), size, size, 3)
            chosen = np.lib.format.open_memmap(whole, mode="w+", dtype=np.uint8, shape=shape)
            for start in range(0, len(kept), _COPIED_AT_ONCE):
                places = kept[start : start + _COPIED_AT_ONCE]
                chosen[start : start + len(places)] = pixels[places]
            whole.replace(partial)
        partial.replace(pixels_file)
    finally:
        partial.unlink(missing_ok=True)
    return dict(sorted(unreadable.items()))
