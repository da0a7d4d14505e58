"""Files of tables: encodings, wrong endings, compression and damage."""

import gzip
import io
import zipfile

import pytest

from reconcile.errors import ReconcileError
from tests.unit.inputs.tables import FORMATS, load, write_table
from tests.workbooks import write_workbook

TABLE = "bin_id,expected_quantity\nÄ01600,7\n01601,3\n"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The first bytes of .xls, and of .xlsx with a password."""
ENCRYPTED = OLE + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(900)
ODS_CELL = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
EXPECTED = [("Ä01600", 7, None), ("01601", 3, None)]
GZIPPED = gzip.compress(TABLE.encode(), mtime=0)  # without the time, which would change the name of a test
HTML = "<!-- export -->\n<HTML><body><table><tr><td>bin_id</td></tr></table></body></HTML>"


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_text_in_any_encoding_is_read(tmp_path, encoding, compress):
    assert load(write(tmp_path, "stock.csv", compress(TABLE.encode(encoding)))) == EXPECTED
    lines = '{"bin_id":"Ä","expected_quantity":3}\n'
    assert load(write(tmp_path, "stock.jsonl", compress(lines.encode(encoding)))) == [("Ä", 3, None)]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_of_other_scripts_is_recognised(tmp_path, encoding):
    text = "bin_id\texpected_quantity\t品名\r\n" + "棚0\t3\t日本語日本語日本語日本語日本語日本語\r\n" * 300
    assert load(write(tmp_path, "stock.tsv", text.encode(encoding))) == [("棚0", 3, None)] * 300


def test_stray_zero_byte_is_not_taken_for_utf_16(tmp_path):
    assert load(write(tmp_path, "stock.csv", "bin_id,expected_quantity\n1\x00,2\n2,3\x00\n")) == [
        ("1", 2, None),
        ("2", 3, None),
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_long_cell_is_read(tmp_path, kind):
    header = ("bin_id", "expected_quantity", "note")
    path = write_table(tmp_path, kind, [("1", 2, "x" * 200_000), ("2", 3, "y")], header)
    assert load(path) == [("1", 2, None), ("2", 3, None)]


@pytest.mark.parametrize("name", ["stock.csv", "stock.tsv", "stock.parquet", "stock.jsonl", "stock.xls", "stock.ods"])
def test_workbook_with_another_ending_is_read(tmp_path, name):
    write_workbook(tmp_path / name, {"Sheet1": [["bin_id", "expected_quantity"], ["01600", 7]]})
    assert load(tmp_path / name) == [("01600", 7, None)]


def write_ods(path, rows):
    """Write a small OpenDocument spreadsheet of text cells."""
    name = "urn:oasis:names:tc:opendocument:xmlns"
    lines = "".join(f"<table:table-row>{''.join(map(ODS_CELL.format, row))}</table:table-row>" for row in rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{name}:manifest:1.0"/>')
        archive.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{name}:office:1.0" xmlns:table="{name}:table:1.0" '
            f'xmlns:text="{name}:text:1.0"><office:body><office:spreadsheet><table:table table:name="Sheet1">{lines}'
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )


@pytest.mark.parametrize("name", ["stock.ods", "stock.xlsx", "stock.csv"])
def test_open_document_spreadsheet_is_read(tmp_path, name):
    write_ods(tmp_path / name, [("bin_id", "expected_quantity"), ("01600", "7"), ("Total", "7")])
    assert load(tmp_path / name) == [("01600", 7, None), (None, None, "this is a row of totals: Total")]


def test_text_called_a_workbook_is_read(tmp_path):
    assert load(write(tmp_path, "stock.xls", TABLE.replace(",", "\t"))) == EXPECTED


def zipped(name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, TABLE)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("stock.csv", HTML, "is an HTML page; save the table as CSV"),
        ("stock.xls", "\ufeff\n" + HTML, "is an HTML page"),
        ("stock.xlsx", HTML, "is an HTML page"),
        ("stock.jsonl", HTML, "is an HTML page"),
        ("stock.csv", gzip.compress(HTML.encode(), mtime=0), "is an HTML page"),
        ("stock.csv", "<?xml version='1.0'?><Workbook/>", "is an XML file"),
        ("stock.parquet", HTML, "is not a Parquet file"),
        ("stock.csv", b"PAR1 and more", r"is a Parquet file; give it a name that ends in \.parquet"),
        ("stock.csv", b"%PDF-1.7", "is a PDF document"),
        ("stock.xls", b"{\\rtf1 a}", "is an RTF document"),
        ("stock.csv", b"SQLite format 3\0", "is an SQLite database"),
        ("stock.csv", b"\x89PNG\r\n", "is an image"),
        ("stock.csv", b"BZh91AY", "is compressed with bzip2"),
        ("stock.csv.gz", gzip.compress(GZIPPED, mtime=0), "is compressed with gzip twice"),
        ("stock.csv", zipped("stock.csv"), r"is a ZIP archive of stock\.csv; unpack it first"),
        ("stock.csv", bytes(500), "holds binary data"),
        ("stock.csv", '{"bin_id": "1"}', r"is JSON; write one JSON object on each line, and give it .*\.jsonl"),
        ("stock.jsonl", '[{"bin_id": "1"}]', "is one JSON array; write one JSON object on each line"),
        ("stock.csv", "", "stock.csv is empty"),
        ("stock.csv", " \r\n\r\n", "stock.csv is empty"),
        ("stock.csv.gz", gzip.compress(b"", mtime=0), "stock.csv.gz is empty"),
        ("stock.parquet", "", "stock.parquet is empty"),
        ("stock.xlsx", "", "stock.xlsx is empty"),
        ("stock.jsonl", "", "stock.jsonl is empty"),
        ("stock.csv.gz", gzip.compress(TABLE.encode() * 2000, mtime=0)[:-20], "cannot be read: Compressed file ended"),
        ("stock.parquet", b"PAR1 is all there is", "cannot be read: "),
        ("stock.xlsx", b"PK\x03\x04", "cannot be read as a workbook: it is damaged"),
        ("stock.xls", OLE + bytes(2000), "cannot be read as a workbook"),
        ("stock.xlsx", OLE + bytes(2000), "cannot be read as a workbook"),
        ("stock.xlsx", ENCRYPTED, "is protected by a password"),
        ("stock.csv", ENCRYPTED, "is protected by a password"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_used_is_named_in_one_line(tmp_path, name, data, message):
    with pytest.raises(ReconcileError, match=message) as caught:
        load(write(tmp_path, name, data))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "xlsx"])
@pytest.mark.parametrize("damage", ["cut in half", "last bytes missing", "overwritten"])
def test_damaged_file_is_named_in_one_line(tmp_path, kind, damage):
    path = write_table(tmp_path, kind, [(f"{number:05d}", number) for number in range(3000)])
    data = bytearray(path.read_bytes())
    if damage == "overwritten":
        data[100:2000] = b"\xff" * 1900
    path.write_bytes(data[: {"cut in half": len(data) // 2, "last bytes missing": -3}.get(damage)])
    with pytest.raises(ReconcileError, match=rf"--records stock\.{kind} cannot be read\b[^\n]*: [^\n]+$"):
        load(path)


@pytest.mark.parametrize("kind", ["parquet", "xlsx"])
def test_compressed_binary_table_is_refused(tmp_path, kind):
    path = write_table(tmp_path, kind, [("1", 2)])
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ReconcileError, match="is compressed with gzip, which only text files may be; decompress it"):
        load(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_table_with_a_header_alone_has_no_rows(tmp_path, kind):
    path = write_table(tmp_path, kind, [("1", 2)])
    if kind == "jsonl":
        path.write_text("\n")
    elif kind == "parquet":
        return
    else:
        write_table(tmp_path, kind, [])
    assert load(path) == []


def test_missing_sheet_is_refused_with_the_sheets(tmp_path):
    write_workbook(tmp_path / "stock.xlsx", {"Stock": [["bin_id", "expected_quantity"], ["1", 2]], "Old": [["x"]]})
    assert load(tmp_path / "stock.xlsx#stock") == [("1", 2, None)]
    with pytest.raises(ReconcileError, match="has no sheet 'Sheet9'; its sheets: Stock, Old"):
        load(tmp_path / "stock.xlsx#Sheet9")


def test_folder_and_missing_file_are_named(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ReconcileError, match=r"--records folder\.csv cannot be read: Is a directory$"):
        load(tmp_path / "folder.csv")
    with pytest.raises(ReconcileError, match=r"--records none\.csv cannot be read: No such file or directory$"):
        load(tmp_path / "none.csv")
