"""Find out whether an ONNX file keeps weights in other files.

The id of a model is a digest of its one file. If weights lay elsewhere, other weights would have the same id, and
counts of the old weights would be used again. An external path may also name any file on this machine.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


ONNX = ".onnx"
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
}
"""The fields that lead to tensors: message, field number and message of the field, as in onnx.proto."""
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
"""The two fields of TensorProto that name another file, and the value of the second one."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""The wire types of protocol buffers (protobuf.dev/programming-guides/encoding)."""


def refuse_external_data(path: Path) -> None:
    """Refuse an ONNX file that keeps weights in other files.

    Raises:
        ReconcileError: it does.
    """
    if has_external_data(path):
        raise ReconcileError(
            f"{path} keeps weights in other files (ONNX external data), which reconcile does not support because a "
            "model is identified by one file; export it with `reconcile export`"
        )


def has_external_data(path: Path) -> bool:
    """Return whether any tensor of an ONNX file has its values in another file.

    A file that is no ONNX file has none. Nothing but the structure of the file is read.
    """
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _find(data)
        except (ValueError, IndexError):  # the file is empty, damaged or no protocol buffer; ONNX Runtime explains it
            return False


def _find(data: mmap.mmap) -> bool:
    pending = [("model", 0, len(data))]
    while pending:
        message, start, end = pending.pop()
        for field, value, child in _fields(data, start, end):
            if message == "tensor":
                if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == _EXTERNAL):
                    return True
            elif child is not None and field in _CHILDREN[message]:
                pending.append((_CHILDREN[message][field], *child))
    return False


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, tuple[int, int] | None]]:
    """Yield the fields of a message: number, integer value or 0, and start and end of its bytes or None.

    Raises:
        ValueError, IndexError: the bytes are no message.
    """
    position = start
    while position < end:
        tag, position = _varint(data, position)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield field, value, None
        elif wire_type == _BYTES:
            size, position = _varint(data, position)
            yield field, 0, (position, position + size)
            position += size
        elif wire_type in (_FIXED32, _FIXED64):
            position += 4 if wire_type == _FIXED32 else 8
            yield field, 0, None
        else:
            raise ValueError(f"unknown wire type {wire_type}")
    if position != end:
        raise ValueError("a field is longer than its message")


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    """Return a variable-length integer, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("an integer is too long")
