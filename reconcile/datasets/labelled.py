"""Read labelled photos from three folder layouts, and split them into folds."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconcile.datasets import labels_table
from reconcile.datasets.labels_table import InvalidLabel, read_label_rows
from reconcile.errors import ReconcileError
from reconcile.inputs.bin_ids import bin_id
from reconcile.inputs.records_json import InvalidRecord, parse_abid_record
from reconcile.inputs.system_files import is_system_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


FOLDS = 10
_BLOCK, _SMALL_BLOCK = 100, 10
"""The number of neighbouring ids that share a fold, and the number if there are few photos."""
_MIN_BLOCKS = 20
"""With fewer blocks than this, small blocks are used, and with fewer small blocks even smaller ones."""
_HASHED_BLOCKS = 100
"""With at least this many blocks, a hash of a block decides its fold. A hash of few blocks may leave a fold empty."""
_UNKNOWN_FOLD = -1
_EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".jp2"}
_LAYOUTS = (
    "a labels.csv (image, count) beside the photos, bin-images/ and metadata/ with JSON records, "
    "or one folder per count"
)


@dataclass(frozen=True)
class LabelledImage:
    """One photo and the number of items in it."""

    path: Path
    count: int
    fold: int
    """0 to 9, or as labels.csv states. Photos that may show the same bin share a fold, so folds are independent."""
    items: str | None = None
    """The item list of the bin, equal for bins with the same items and quantities. None if the items are unknown."""
    squashed: bool | None = None
    """True if the photo was squashed to 224 x 224 before we received it. None if that is unknown."""


def read_labelled(folder: Path, leave_out: Callable[[str], None] = print) -> list[LabelledImage]:
    """Read the labels of a folder, in any of three layouts.

    - `labels.csv` with the columns image and count, and optionally fold and squashed_224. The photos are beside it, or
      in a folder `bin-images/` beside it.
    - The layout of a bucket: `bin-images/`, and one JSON record per photo in `metadata/`.
    - One folder per count: `1/` … `5/`, `6+/`. A folder `6+` stands for six items.

    Without a given fold, blocks of 100 neighbouring ids share a fold, because neighbours are often the same bin minutes
    apart. If that makes fewer than 20 blocks, a block has 10 ids. If that makes fewer than 20 blocks too, a block is
    one twentieth of the ids, and at least one id.

    Fewer than 100 blocks are dealt to the folds in turn, so each fold has about a tenth of the photos. A block of 10 or
    100 ids keeps its fold when photos with higher ids are added. From 100 blocks on, a hash of the block decides, and a
    block keeps its fold whatever is added.

    Args:
        folder: the folder to read.
        leave_out: called with one line for each photo or record that cannot be used.

    Returns:
        the photos, sorted by name.

    Raises:
        ReconcileError: the folder has none of these layouts, or no photo with a label.
    """
    if (folder / labels_table.NAME).is_file():
        images = _from_table(folder, leave_out)
    elif (folder / "metadata").is_dir():
        images = _from_records(folder, leave_out)
    elif _count_folders(folder):
        images = _from_count_folders(folder)
    else:
        raise ReconcileError(f"{folder} holds no labelled photos; it needs {_LAYOUTS}")
    if not images:
        raise ReconcileError(f"{folder} holds no photo with a label")
    return images


def split(
    images: Sequence[LabelledImage], validation_fold: int
) -> tuple[list[LabelledImage], list[LabelledImage], int]:
    """Split photos into training and held-out photos.

    A held-out photo is left out if a training photo has the same item list. It would be easier to count than a new
    photo.

    Args:
        images: all photos.
        validation_fold: the fold to hold out.

    Returns:
        the training photos, the held-out photos, and the number of photos left out.
    """
    training = [image for image in images if image.fold != validation_fold]
    held_out = [image for image in images if image.fold == validation_fold]
    kept = drop_leaked(held_out, training)
    return training, kept, len(held_out) - len(kept)


def drop_leaked(held_out: Sequence[LabelledImage], training: Sequence[LabelledImage]) -> list[LabelledImage]:
    """Return the held-out photos whose item list no training photo has."""
    trained = {image.items for image in training if image.items}
    return [image for image in held_out if image.items not in trained]


def fingerprint(images: Sequence[LabelledImage]) -> str:
    """Return twelve hex digits that change with the name, the size in bytes or the count of any photo."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.path.name}\t{image.path.stat().st_size}\t{image.count}\n".encode())
    return digest.hexdigest()[:12]


def _from_table(folder: Path, leave_out: Callable[[str], None]) -> list[LabelledImage]:
    table = folder / labels_table.NAME
    rows = read_label_rows(table, leave_out)
    photos = folder / "bin-images" if (folder / "bin-images").is_dir() else folder
    images: dict[Path, LabelledImage] = {}
    numbers = []
    for row, number in zip(rows, _numbers([row.image for row in rows]), strict=True):
        path = photos / row.image
        try:
            if path in images:
                raise InvalidLabel("the photo is listed twice")
            if not path.is_file():
                raise InvalidLabel("the photo does not exist")
            label = row.label()
        except InvalidLabel as reason:
            leave_out(f"left out {row.image} of {table}: {reason}")
            continue
        fold = _UNKNOWN_FOLD if label.fold is None else label.fold
        images[path] = LabelledImage(path, label.count, fold, squashed=label.squashed)
        numbers.append(number)
    return [
        replace(image, fold=fold) if image.fold == _UNKNOWN_FOLD else image
        for image, fold in zip(images.values(), _folds(numbers), strict=True)
    ]


def _from_records(folder: Path, leave_out: Callable[[str], None]) -> list[LabelledImage]:
    records = {
        bin_id(path.name): path for path in (folder / "metadata").glob("*.json") if not is_system_file(path.name)
    }
    photos = _photos(folder / "bin-images")
    images, numbers = [], []
    for path, number in zip(photos, _numbers([path.name for path in photos]), strict=True):
        file = records.get(bin_id(path.name))
        if file is None:
            leave_out(f"left out {path}: metadata/ has no record of it")
            continue
        try:
            record = parse_abid_record(file.read_bytes())
        except (InvalidRecord, OSError) as reason:
            leave_out(f"left out {path}: its record is invalid: {reason}")
            continue
        items = json.dumps(sorted([str(item["asin"]), item["quantity"]] for item in record.items))
        images.append(LabelledImage(path, record.expected_quantity, _UNKNOWN_FOLD, items if record.items else None))
        numbers.append(number)
    return [replace(image, fold=fold) for image, fold in zip(images, _folds(numbers), strict=True)]


def _from_count_folders(folder: Path) -> list[LabelledImage]:
    counted = [
        (path, int(of_count.name.removesuffix("+")))
        for of_count in _count_folders(folder)
        for path in _photos(of_count)
    ]
    counted.sort(key=lambda pair: pair[0].name)
    folds = _folds(_numbers([path.name for path, _ in counted]))
    return [LabelledImage(path, count, fold) for (path, count), fold in zip(counted, folds, strict=True)]


def _count_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and path.name.removesuffix("+").isdecimal()]


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in _EXTENSIONS and not is_system_file(path.name)
    )


def _numbers(names: Sequence[str]) -> list[int]:
    """Return the id of each name as a number. An id that is not a number is replaced by its index."""
    ids = [bin_id(name) for name in names]
    return [int(name) if name.isdecimal() else index for index, name in enumerate(ids)]


def _folds(numbers: Sequence[int]) -> list[int]:
    """Return a fold for each number, by blocks of neighbouring numbers; see `read_labelled`."""
    for size in (_BLOCK, _SMALL_BLOCK):
        blocks = [number // size for number in numbers]
        if len(set(blocks)) >= _HASHED_BLOCKS:
            return [zlib.crc32(b"%d" % block) % FOLDS for block in blocks]
        if len(set(blocks)) >= _MIN_BLOCKS:
            return [rank % FOLDS for rank in _ranks(blocks)]
    # With fewer ids than folds, photos of one id are told apart, because every fold needs photos.
    ranks = _ranks(numbers if len(set(numbers)) >= FOLDS else range(len(numbers)))
    size = max(1, len(set(ranks)) // _MIN_BLOCKS)
    return [rank // size % FOLDS for rank in ranks]


def _ranks(values: Sequence[int]) -> list[int]:
    """Return how many smaller values there are, for each value. Equal values count once."""
    ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return [ranks[value] for value in values]
