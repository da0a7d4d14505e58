"""Key lists: tables of keys and ETags, and the files of an S3 Inventory."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.key_files import KeyFileReader
from tests.workbooks import write_workbook

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def read(path, source=None):
    """Return the objects of a table as dictionaries, and the warnings without their beginning."""
    source = source or path.name
    warnings = []
    tables = KeyFileReader(source, warnings.append).read_table(path)
    objects = [stored for table in tables for stored in table.to_pylist()]
    assert all(warning.startswith(f"--keys {source}") for warning in warnings)
    return objects, [warning.removeprefix(f"--keys {source}").lstrip() for warning in warnings]


def read_text(tmp_path, text, name="keys.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(tmp_path / name)


SIZES = {
    "6884": 6884, "6884.0": 6884, " 6884 ": 6884, "": -1, "0": 0,
    "6,884": "either 6.884 or 6884: 6,884", "NaN": "not a count: NaN", "-1": "negative: -1",
    "1e30": "not a count: 1e30",
    "6884.5": "fractional: 6884.5", "6.7 kB": "not a number: 6.7 kB", "1_000": "not a number: 1_000",
}  # fmt: skip
"""Sizes as text with the size in bytes, or why the size is unknown."""


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "xlsx", "orc"])
def test_size_that_cannot_be_read_is_unknown(tmp_path, kind):
    rows = [(f"bin-images/{number}.jpg", f"e{number}", text) for number, text in enumerate(SIZES)]
    path = tmp_path / f"keys.{kind}"
    columns = dict(zip(("key", "etag", "size"), zip(*rows, strict=True), strict=True))
    if kind in ("csv", "tsv"):
        separator = "," if kind == "csv" else "\t"
        lines = [separator.join(f'"{cell}"' for cell in row) for row in [tuple(columns), *rows]]
        path.write_text("\n".join(lines))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows))
    elif kind == "xlsx":
        write_workbook(path, {"Sheet1": [tuple(columns), *rows]})
    else:
        (pq if kind == "parquet" else orc).write_table(
            pa.table({name: list(cells) for name, cells in columns.items()}), path
        )
    objects, warnings = read(path)
    assert [stored["key"] for stored in objects] == list(columns["key"])
    assert [stored["size"] for stored in objects] == [size if isinstance(size, int) else -1 for size in SIZES.values()]
    reasons = [reason for reason in SIZES.values() if isinstance(reason, str)]
    for warning, reason in zip(warnings, reasons, strict=True):
        assert warning.endswith(f"the size is {reason}; the size of the object counts as unknown")


@pytest.mark.parametrize(
    "sizes",
    [
        pa.array([6884.0, float("nan"), None, -1.0, 1e30, float("inf")]),
        pa.array([6884.0, float("nan"), None, -1.0, 1e30, float("inf")], pa.float32()),
        pa.array([6884, 2**64 - 1], pa.uint64()),
        pa.array([6884, -5], pa.int32()),
    ],
    ids=lambda sizes: str(sizes.type),
)
def test_numbers_in_parquet_are_sizes_or_unknown(tmp_path, sizes):
    keys = [f"{number}.jpg" for number in range(len(sizes))]
    pq.write_table(pa.table({"key": keys, "etag": keys, "size": sizes}), tmp_path / "keys.parquet")
    objects, warnings = read(tmp_path / "keys.parquet")
    assert [stored["size"] for stored in objects] == [6884, *[-1] * (len(sizes) - 1)]
    assert warnings


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx"])
def test_repeated_column_of_sizes_or_times_counts_as_missing(tmp_path, kind):
    header = ("key", "etag", "size", "Size", "last_modified", "Last Modified")
    row = ("1.jpg", "e", "0", "6884", "2026-01-01", "2026-01-02")
    path = tmp_path / f"keys.{kind}"
    if kind == "csv":
        path.write_text(",".join(header) + "\n" + ",".join(row) + "\n")
    elif kind == "parquet":
        pq.write_table(pa.table([pa.array([cell]) for cell in row], list(header)), path)
    else:
        write_workbook(path, {"Sheet1": [header, row]})
    objects, warnings = read(path)
    assert objects == [{"key": "1.jpg", "size": -1, "etag": "e", "modified": None}]
    repeated = ["column 3 ('size') and column 4 ('Size')", "column 5 ('last_modified') and column 6 ('Last Modified')"]
    assert warnings == [f"has several columns of one name: {names}; none of them is read" for names in repeated]


def test_repeated_column_of_keys_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"several columns of one name: column 1 \('key'\) and column 3 \('Key'\)"):
        read_text(tmp_path, "key,etag,Key\na,b,c\n")


def test_bad_rows_are_reported_and_left_out(tmp_path):
    objects, warnings = read_text(tmp_path, 'key,etag\na,1\nb\n,2\nc,3,4\n"d,5\ne,6\n')
    assert [stored["key"] for stored in objects] == ["a", "e"]
    assert warnings == [
        "row 3: 1 cell, the header has 2; the row is left out",
        "row 5: 3 cells, the header has 2; the row is left out",
        "row 6: unexpected end of data; the row is left out",
        "row 4: the key is missing, so the row is left out",
    ]


def test_many_bad_rows_are_not_all_reported(tmp_path):
    _, warnings = read_text(tmp_path, "key,etag,size\n" + "a,b,x\n" * 50)
    assert len(warnings) == 11
    assert warnings[-1] == ": more rows have such problems; only the first 10 are listed"


def test_row_without_an_etag_is_kept(tmp_path):
    objects, _ = read_text(tmp_path, "key,etag\na,\nb,2\n")
    assert [(stored["key"], stored["etag"]) for stored in objects] == [("a", ""), ("b", "2")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_keys_in_any_encoding_are_read(tmp_path, encoding, separator):
    text = f"Keys of today\n\nObject-Key{separator}ETag\nbin-images/Ü 1.jpg{separator}e\n"
    objects, _ = read_text(tmp_path, text.encode(encoding))
    assert [stored["key"] for stored in objects] == ["bin-images/Ü 1.jpg"]


def test_bytes_that_are_not_text_do_not_end_the_reading(tmp_path):
    keys = pa.Array.from_buffers(pa.string(), 2, pa.array([b"bin-images/\xff.jpg", b"b.jpg"]).buffers())
    pq.write_table(pa.table({"key": keys, "etag": ["1", "2"]}), tmp_path / "keys.parquet")
    objects, _ = read(tmp_path / "keys.parquet")
    assert [stored["key"] for stored in objects] == ["bin-images/\ufffd.jpg", "b.jpg"]


def test_list_of_the_aws_cli_is_read(tmp_path):
    line = {"Key": "1.jpg", "LastModified": "2026-01-02T12:00:00+00:00", "ETag": '"e"', "Size": 9, "Owner": {"ID": "x"}}
    objects, _ = read_text(tmp_path, json.dumps(line) + "\n", "keys.jsonl")
    assert objects == [{"key": "1.jpg", "size": 9, "etag": "e", "modified": NOON, "bucket": ""}]


def test_sheet_of_a_workbook_is_read(tmp_path):
    rows = [("key", "etag", "last_modified"), ("1.jpg", "e", NOON.date())]
    write_workbook(tmp_path / "keys.xlsx", {"Notes": [["x"]], "Keys": rows})
    objects, _ = read(tmp_path / "keys.xlsx", "keys.xlsx#Keys")
    assert objects == [{"key": "1.jpg", "size": -1, "etag": "e", "modified": NOON.replace(hour=0)}]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("keys.csv", "<html><body>Sign in</body></html>", "is an HTML page"),
        ("keys.parquet", b"PAR1" + bytes(100), "cannot be read: "),
        ("keys.orc", b"ORC" + bytes(100), "cannot be read: "),
        ("keys.xlsx", b"PK\x03\x04" + bytes(100), "cannot be read as a workbook"),
        ("keys.csv", "", "is empty"),
    ],
)
def test_file_without_keys_is_named_in_one_line(tmp_path, name, data, message):
    with pytest.raises(ReconcileError, match=rf"^--keys {name} {message}[^\n]*$"):
        read_text(tmp_path, data, name)


def test_damaged_row_of_an_inventory_is_left_out(tmp_path):
    path = tmp_path / "1.csv"
    path.write_bytes(b'"b","a%2Bb.jpg","6884.0","e"\n"b","short"\n"b","%FF.jpg","x","f"\n"b","\xff.jpg","7","g"\n')
    warnings = []
    reader = KeyFileReader("manifest.json", warnings.append)
    tables = reader.read_inventory_file(path, "data/1.csv", "CSV", ("Bucket", "Key", "Size", "ETag"))
    objects = [stored for table in tables for stored in table.to_pylist()]
    assert [(stored["key"], stored["size"]) for stored in objects] == [
        ("a+b.jpg", 6884),
        ("\ufffd.jpg", -1),
        ("\ufffd.jpg", 7),
    ]
    assert warnings == [
        '--keys manifest.json: data/1.csv: a row with 2 cells instead of 4 is left out: "b","short"',
        "--keys manifest.json: data/1.csv row 2: the size is not a number: x; the size of the object counts as unknown",
    ]


def test_empty_file_of_an_inventory_has_no_keys(tmp_path):
    (tmp_path / "1.csv").write_bytes(b"")
    reader = KeyFileReader("manifest.json", lambda problem: None)
    assert list(reader.read_inventory_file(tmp_path / "1.csv", "data/1.csv", "CSV", ("Key", "ETag"))) == []
