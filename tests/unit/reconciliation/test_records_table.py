"""Records from tables, as warehouses and spreadsheets write them."""

import pandas as pd
import pytest

from reconcile.errors import ReconcileError, UsageError
from reconcile.reconciliation.record_sources import TableRecords
from tests.unit.reconciliation.rows import reconciled

TABLE = "bin_id,expected_quantity\n00001,3\n2,\n3,two\n4,-1\n5,2.5\n,7\n6,4.0\n7.jpg,1\n00001,3\n8,1\n8,2\n9,1e30\n"


EXPECTED = {
    "00001": (3, None), "2": (None, "missing"), "3": (None, "not a number: two"), "4": (None, "negative: -1"),
    "5": (None, "fractional: 2.5"), "6": (4, None), "7": (1, None),
    "8": (None, "disagree"), "9": (None, "not a count"),
}  # fmt: skip


def table_file(tmp_path, kind):
    frame = pd.read_csv(pd.io.common.StringIO(TABLE), dtype=str)
    path = tmp_path / f"stock.{kind}"
    if kind == "csv":
        path.write_text(TABLE)
    elif kind == "tsv":
        path.write_text("\ufeff" + TABLE.replace(",", "\t"))
    elif kind == "csv.gz":
        frame.to_csv(path, index=False, sep=";")
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        path.write_text(frame.to_json(orient="records", lines=True) + 'no JSON\n["list"]\n')
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "parquet", "jsonl"])
def test_table_records_are_checked_in_every_format(reconciler_of, tmp_path, kind):
    reconciler = reconciler_of(
        [], [], [], TableRecords(table_file(tmp_path, kind), f"stock.{kind}", {}, aggregate="same")
    )
    rows = reconciled(reconciler, tmp_path).reset_index(drop=True)
    broken = rows[rows["bin_id"].isna()]
    assert len(broken) == (3 if kind == "jsonl" else 1)
    assert set(broken["status"]) == {"invalid_record"}
    nameless = broken.loc[broken["reason"] == "the bin id is missing", "record_key"]
    assert f"stock.{kind} row {6 + (kind not in ('parquet', 'jsonl'))}" in set(nameless)
    rows = rows.dropna(subset="bin_id").set_index("bin_id")
    for bin_id, (quantity, reason) in EXPECTED.items():
        row = rows.loc[bin_id]
        assert row["status"] == ("no_image" if reason is None else "invalid_record")
        if reason is None:
            assert row["expected_quantity"] == quantity
        else:
            assert reason in row["reason"]
    assert len(rows) == len(EXPECTED)


@pytest.mark.parametrize(
    "data",
    [
        "name,bin_id,expected_quantity\n" + "Soap,x,1\n" * 60_000 + '"Soap, bar",00001,2\n',
        'bin_id,expected_quantity,name\n00001,2,"two\nlines"\n',
        'bin_id,expected_quantity,name\n"00001","2","a ""quoted"" word"\nshort\n',
        "bin_id;expected_quantity\r\n00001;2\r\n",
        "bin_id,expected_quantity,name\n00001,2,caf\xe9\n".encode("latin-1"),
        'bin_id,expected_quantity,name\n00001,2,"5" pipe"\n',
        "sep=|\nbin_id|expected_quantity\n00001|2\n",
        "bin_id\texpected_quantity\r\n00001\t2\r\n".encode("utf-16"),
    ],
    ids=[
        "late quote",
        "newline",
        "quotes",
        "semicolons",
        "latin-1",
        "inch marks",
        "named separator",
        "utf-16",
    ],
)
def test_csv_dialects_of_spreadsheets_are_read(reconciler_of, tmp_path, data):
    (tmp_path / "stock.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    source = TableRecords(tmp_path / "stock.csv", "stock.csv", {}, aggregate="same")
    assert reconciled(reconciler_of([], [], [], source), tmp_path).loc["00001", "expected_quantity"] == 2


@pytest.mark.parametrize(
    "broken",
    ['X,9,"never closed', 'X,9,"6"" pipe', 'X,9,"6\\" pipe"', '"never closed,X,9'],
    ids=["last", "6", "6b", "first"],
)
@pytest.mark.parametrize("others", [5, 3_000])
def test_unclosed_quote_breaks_only_its_row(reconciler_of, tmp_path, broken, others):
    good = [f"b{number},{number % 7},item" for number in range(2 * others)]
    lines = ["bin_id,expected_quantity,name", *good[:others], broken, *good[others:], broken]
    (tmp_path / "stock.csv").write_text("\n".join(lines))
    source = TableRecords(tmp_path / "stock.csv", "stock.csv", {}, aggregate="same")
    rows = reconciled(reconciler_of([], [], [], source), tmp_path).reset_index(drop=True)
    assert set(rows["bin_id"].dropna()) - {"X"} == {f"b{number}" for number in range(2 * others)}
    without_id = rows[rows["bin_id"].isna()]
    if broken.startswith("X"):
        assert (rows["bin_id"] == "X").sum() == 1
        assert without_id.empty
    else:
        assert set(without_id["reason"]) == {"the row cannot be parsed"}
        assert set(without_id["record_key"]) == {f"stock.csv row {others + 2}", f"stock.csv row {2 * others + 3}"}


def test_row_numbers_match_those_of_a_spreadsheet(reconciler_of, tmp_path):
    (tmp_path / "stock.csv").write_text('bin_id,expected_quantity,name\n\n1,2,"two\nlines"\n\n,,\n2,three,x\n,4,x\n')
    reconciler = reconciler_of([], [], [], TableRecords(tmp_path / "stock.csv", "stock.csv", {}))
    rows = reconciled(reconciler, tmp_path).reset_index(drop=True)
    assert list(rows.loc[rows["bin_id"].isna(), "record_key"]) == ["stock.csv row 7"]
    assert set(rows["record_key"]) == {"stock.csv row 3", "stock.csv row 6", "stock.csv row 7"}


def test_ids_in_windows_code_page_stay_distinct(reconciler_of, tmp_path):
    (tmp_path / "stock.csv").write_bytes("bin_id;St\xfcck\n\xc4-1;1\n\xd6-1;2\n".encode("cp1252"))
    reconciler = reconciler_of(
        [], [], [], TableRecords(tmp_path / "stock.csv", "stock.csv", {"expected_quantity": "St\xfcck"})
    )
    rows = reconciled(reconciler, tmp_path)
    assert dict(rows["expected_quantity"]) == {"\xc4-1": 1, "\xd6-1": 2}


def test_file_name_with_brackets_is_not_a_pattern(reconciler_of, tmp_path):
    for name, quantity in (("stock[1].parquet", 2), ("stock1.parquet", 5)):
        pd.DataFrame({"bin_id": ["a"], "expected_quantity": [quantity]}).to_parquet(tmp_path / name)
    reconciler = reconciler_of([], [], [], TableRecords(tmp_path / "stock[1].parquet", "stock[1].parquet", {}))
    assert reconciled(reconciler, tmp_path).loc["a", "expected_quantity"] == 2


def test_float_ids_become_whole_numbers(reconciler_of, tmp_path):
    pd.DataFrame({"bin_id": [7.0, None], "expected_quantity": [1, 2]}).to_parquet(tmp_path / "stock.parquet")
    reconciler = reconciler_of([], [], [], TableRecords(tmp_path / "stock.parquet", "stock.parquet", {}))
    assert set(reconciled(reconciler, tmp_path)["bin_id"].dropna()) == {"7"}


def test_columns_can_be_mapped(reconciler_of, tmp_path):
    (tmp_path / "wms.csv").write_text("Location,On Hand\nA-1,2\n")
    columns = {"bin_id": "location", "expected_quantity": "On Hand"}
    reconciler = reconciler_of([], [], [], TableRecords(tmp_path / "wms.csv", "wms.csv", columns))
    assert reconciled(reconciler, tmp_path).loc["A-1", "expected_quantity"] == 2


def test_missing_column_raises_usage_error_with_the_columns(reconciler_of, tmp_path):
    (tmp_path / "wms.csv").write_text("location,qty\nA-1,2\n")
    message = (
        r"no column 'bin_id' and no column 'expected_quantity' \(its columns: location, qty\); name the right ones with"
    )
    with pytest.raises(UsageError, match=message):
        reconciler_of([], [], [], TableRecords(tmp_path / "wms.csv", "wms.csv", {}))


def test_unreadable_table_raises_one_line(reconciler_of, tmp_path):
    (tmp_path / "wms.parquet").write_bytes(b"PAR1 is all there is")
    with pytest.raises(ReconcileError, match=r"--records wms.parquet cannot be read: \S"):
        reconciler_of([], [], [], TableRecords(tmp_path / "wms.parquet", "wms.parquet", {}))
