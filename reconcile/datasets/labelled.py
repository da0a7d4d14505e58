"""Photos whose count is known, from any of three layouts: what a model is trained on and held against."""

from __future__ import annotations

import csv
import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError
from reconcile.inputs.bin_ids import bin_id
from reconcile.inputs.records_json import InvalidRecord, parse_abid_record, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


FOLDS = 10
_BLOCK, _SMALL_BLOCK = 100, 10
_FEW_BLOCKS = 20
_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".jp2"}
_YES_OR_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_LAYOUTS = (
    "a labels.csv (image, count) beside the photos, bin-images/ and metadata/ with JSON records, or one folder a count"
)


@dataclass(frozen=True)
class LabelledImage:
    """One photo and how many items it holds."""

    path: Path
    count: int
    fold: int
    """0 to 9, or as the table says; photos that may show the same bin share one, so that a split by folds is honest."""
    items: str | None = None
    """The same for bins that hold the same items in the same numbers; None where the items are not known."""
    squashed: bool | None = None
    """Whether the photo reached us squashed to 224 x 224; None where nobody says so."""


def read_labelled(folder: Path, leave_out: Callable[[str], None] = print) -> list[LabelledImage]:
    """Read the labels of a folder, in whichever layout it is.

    - `labels.csv` with the columns image and count, and optionally fold and squashed_224, beside the photos or beside
      a folder `bin-images/` that holds them;
    - a bucket's own layout: `bin-images/` and one JSON record each in `metadata/`;
    - one folder a count: `1/` … `5/`, `6+/`.

    Where no fold is given, photos are put into folds by blocks of 100 neighbouring ids, since neighbours are often the
    same bin minutes apart; of 10 where that would be fewer than 20 blocks. A block keeps its fold when photos are
    added. A folder `6+` stands for six items.

    Args:
        folder: what to read.
        leave_out: called with one line for each photo or record that cannot be used.

    Returns:
        the photos in the order of their names.

    Raises:
        ReconcileError: the folder has none of these layouts, or no photo with a label.
    """
    if (folder / "labels.csv").is_file():
        found = _from_table(folder, leave_out)
    elif (folder / "metadata").is_dir():
        found = _from_records(folder, leave_out)
    elif _count_folders(folder):
        found = _from_count_folders(folder)
    else:
        raise ReconcileError(f"{folder} holds no labelled photos: it needs {_LAYOUTS}")
    if not found:
        raise ReconcileError(f"{folder} holds no photo with a label")
    return found


def split(
    images: Sequence[LabelledImage], validation_fold: int
) -> tuple[list[LabelledImage], list[LabelledImage], int]:
    """Cut the photos of one fold from the others.

    A held-out photo whose item list is also among the training photos would be easier than a photo of tomorrow, so it
    is left out.

    Returns:
        the training photos, the held-out photos, and how many were left out.
    """
    training = [image for image in images if image.fold != validation_fold]
    held_out = [image for image in images if image.fold == validation_fold]
    fresh = drop_leaked(held_out, training)
    return training, fresh, len(held_out) - len(fresh)


def drop_leaked(held_out: Sequence[LabelledImage], training: Sequence[LabelledImage]) -> list[LabelledImage]:
    """The held-out photos whose item list is not also among the training photos."""
    known = {image.items for image in training if image.items}
    return [image for image in held_out if image.items not in known]


def fingerprint(images: Sequence[LabelledImage]) -> str:
    """Twelve hex digits that change with the name, the size in bytes and the label of any photo."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.path.name}\t{image.path.stat().st_size}\t{image.count}\n".encode())
    return digest.hexdigest()[:12]


def _from_table(folder: Path, leave_out: Callable[[str], None]) -> list[LabelledImage]:
    table = folder / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"image", "count"} - set(reader.fieldnames or ())
            if missing:
                there = ", ".join(reader.fieldnames or ()) or "no names at all"
                raise ReconcileError(f"{table} has no column {', '.join(sorted(missing))}, but {there}")
            rows = sorted(reader, key=lambda row: row["image"] or "")
    except UnicodeDecodeError:
        raise ReconcileError(f"{table} is no UTF-8 text") from None
    photos = folder / "bin-images" if (folder / "bin-images").is_dir() else folder
    folds = _folds([row["image"] or "" for row in rows])
    found: dict[Path, LabelledImage] = {}
    for row, fold in zip(rows, folds, strict=True):
        path = photos / (row["image"] or "")
        try:
            if path in found:
                raise InvalidRecord("it is listed twice")
            if not path.is_file():
                raise InvalidRecord("there is no such photo")
            found[path] = LabelledImage(
                path,
                count=parse_quantity(row["count"]),
                fold=_fold(row.get("fold"), fold),
                squashed=_YES_OR_NO.get((row.get("squashed_224") or "").strip().lower()),
            )
        except InvalidRecord as reason:
            leave_out(f"left out {row['image']} of {table}: {str(reason).replace('EXPECTED_QUANTITY', 'count')}")
    return list(found.values())


def _fold(text: str | None, otherwise: int) -> int:
    """The fold that a table gives, or the one we would."""
    if not (text or "").strip():
        return otherwise
    try:
        return parse_quantity(text)
    except InvalidRecord as reason:
        raise InvalidRecord(str(reason).replace("EXPECTED_QUANTITY", "fold")) from None


def _from_records(folder: Path, leave_out: Callable[[str], None]) -> list[LabelledImage]:
    records = {bin_id(path.name): path for path in (folder / "metadata").glob("*.json")}
    photos = _photos(folder / "bin-images")
    found = []
    for path, fold in zip(photos, _folds([path.name for path in photos]), strict=True):
        record = records.get(bin_id(path.name))
        if record is None:
            leave_out(f"left out {path}: no record in metadata/")
            continue
        try:
            known = parse_abid_record(record.read_bytes())
        except (InvalidRecord, OSError) as reason:
            leave_out(f"left out {path}: its record is invalid: {reason}")
            continue
        items = json.dumps(sorted([str(item["asin"]), item["quantity"]] for item in known.items))
        found.append(LabelledImage(path, known.expected_quantity, fold, items if known.items else None))
    return found


def _from_count_folders(folder: Path) -> list[LabelledImage]:
    counted = [(path, int(place.name.removesuffix("+"))) for place in _count_folders(folder) for path in _photos(place)]
    counted.sort(key=lambda found: found[0].name)
    folds = _folds([path.name for path, _ in counted])
    return [LabelledImage(path, count, fold) for (path, count), fold in zip(counted, folds, strict=True)]


def _count_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and path.name.removesuffix("+").isdecimal()]


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)


def _folds(names: Sequence[str]) -> Iterator[int]:
    """A fold for each name, by blocks of ids where names are numbers, else by blocks of neighbours in this order."""
    ids = [bin_id(name) for name in names]
    numbers = [int(name) if name.isdecimal() else place for place, name in enumerate(ids)]
    block = _BLOCK if len({number // _BLOCK for number in numbers}) >= _FEW_BLOCKS else _SMALL_BLOCK
    return (zlib.crc32(b"%d" % (number // block)) % FOLDS for number in numbers)
