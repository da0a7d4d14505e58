"""CSV files of verdicts: their dialects, and invalid lines reported by number."""

import pytest

from reconcile.errors import UsageError
from reconcile.verdicts.csv_file import VerdictLine, read_verdict_file
from tests.workbooks import write_workbook

PLAIN = "bin_id,run_id,true_count,note\n00012,n1,3,\n7,n1,0,dusty café\n"


def read_verdicts(tmp_path, data: str | bytes):
    """Write `data` to a file. Return its valid lines, and (number, reason) of each invalid line."""
    path = tmp_path / "verdicts.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    valid, invalid = read_verdict_file(path)
    return valid, [(line.number, line.reason) for line in invalid]


def read_counts(tmp_path, data):
    """Return the true count of each bin id, from a file without invalid lines."""
    valid, invalid = read_verdicts(tmp_path, data)
    assert invalid == []
    return {line.bin_id: line.true_count for line in valid}


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip(),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
        "sep=,\n" + PLAIN,
        "SEP=\t\n" + PLAIN.replace(",", "\t"),
        "\n\n" + PLAIN,
        PLAIN + ",,,\n\n",
        "\ufeff" + PLAIN,
        "\ufeffsep=,\r\n" + PLAIN,
        PLAIN.encode("cp1252"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-16-le"),
        '"bin_id","run_id","true_count","note"\n"00012","n1","3",""\n"7","n1","0","dusty café"\n',
        "Note,TRUE_COUNT, Bin ID ,Run id,p_wrong\n,3,00012,n1,0.5\ndusty café,0,7,n1,0.4\n",
        PLAIN.replace("3", "3.0").replace(",0,", ",0.0,"),
        PLAIN.replace(",", ";").replace(";3;", ";3,0;"),
        PLAIN.replace(",3,", ', "3,0" ,').replace(', "', ',"').replace('" ,', '",'),
        PLAIN.replace(",", " , "),
    ],
    ids=[
        "plain", "CRLF", "CR", "no last newline", "semicolons", "tabs", "sep=;", "sep=,", "sep=tab",
        "blank lines first", "blank lines last",
        "byte order mark", "byte order mark and sep=", "cp1252", "utf-16", "utf-16-be", "utf-16-le",
        "quoted", "other order and more columns", "3.0", "3,0 among semicolons", "3,0 in quotes", "spaces",
    ],
)  # fmt: skip
def test_every_csv_dialect_gives_the_same_verdicts(tmp_path, data):
    valid, invalid = read_verdicts(tmp_path, data)
    assert invalid == []
    assert [(line.bin_id, line.run_id, line.true_count) for line in valid] == [("00012", "n1", 3), ("7", "n1", 0)]
    assert valid[1].note.replace(",", ";") == "dusty café"


def test_line_is_read_into_its_fields(tmp_path):
    valid, _ = read_verdicts(tmp_path, "bin_id,image_key,run_id,true_count,note\n12,i/00012.jpg,n1,3,\n")
    assert valid == [VerdictLine(2, "12", "n1", 3, None, "i/00012.jpg")]


def test_lines_without_a_true_count_are_skipped(tmp_path):
    assert read_counts(tmp_path, "bin_id,run_id,true_count,note\n1,n1,,\n2,n1,5,\n4,n1, ,later\n5,,,\n") == {"2": 5}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("9,n1,three", "true_count of bin '9' is not a number: 'three'"),
        ("9,n1,-1", "true_count of bin '9' is not a whole number of 0 or more: '-1'"),
        ("9,n1,2.5", "true_count of bin '9' is not a whole number of 0 or more: '2.5'"),
        ("9,n1,nan", "true_count of bin '9' is not a whole number of 0 or more: 'nan'"),
        ("9,n1,inf", "true_count of bin '9' is not a whole number of 0 or more: 'inf'"),
        ("9,n1,1e400", "true_count of bin '9' is over 99,999: '1e400'; is it a barcode?"),
        ("9,n1,5012345678900", "true_count of bin '9' is over 99,999: '5012345678900'; is it a barcode?"),
        ("9,n1,1_000", "true_count of bin '9' is not a number: '1_000'"),
        ('9,n1,"1,000"', "true_count of bin '9' is either 1 or 1000: '1,000'"),
        ("9,n1,1.000", "true_count of bin '9' is either 1 or 1000: '1.000'"),
        ("9,n1,1.20E+03", "true_count of bin '9' is rounded by a spreadsheet: '1.20E+03'"),
        ("9,n1,1,200", "4 cells, the header has 3"),
        ("9,n1", "2 cells, the header has 3"),
        ("9", "1 cell, the header has 3"),
        ("1.60E+03,n1,3", "a spreadsheet has turned this id into a number: 1.60E+03"),
        ("02-Jan,n1,3", "a spreadsheet has turned this id into a date: 02-Jan"),
        ("#N/A,n1,3", "the formula in this cell has failed: #N/A"),
        ("NULL,n1,3", "bin_id is missing: NULL"),
        (",n1,3", "bin_id is empty"),
        ("9,,3", "run_id is empty"),
        ('9,n1,"3"x', "',' expected after '\"'"),
    ],
)
def test_invalid_line_is_reported_by_number_and_others_are_read(tmp_path, cells, reason):
    valid, invalid = read_verdicts(tmp_path, f"bin_id,run_id,true_count\n1,n1,1\n{cells}\n2,n1,2\n")
    assert invalid == [(3, reason)]
    assert [line.bin_id for line in valid] == ["1", "2"]


def test_lines_are_numbered_as_in_a_spreadsheet_after_multiline_notes(tmp_path):
    data = 'sep=;\nbin_id;run_id;true_count;note\n1;n1;1;"torn\nbox; ""B"""\n\n2;n1;x;\n3;n1;3;\n'
    valid, invalid = read_verdicts(tmp_path, data)
    assert [(line.line, line.note) for line in valid] == [(2, 'torn\nbox; "B"'), (5, None)]
    assert [number for number, _ in invalid] == [4]


def test_unclosed_quote_makes_only_its_own_line_invalid(tmp_path):
    valid, invalid = read_verdicts(
        tmp_path, 'bin_id,run_id,true_count,note\n1,n1,1,a\n2,n1,2,"torn\n3,n1,3,c\n4,n1,4,d\n'
    )
    assert invalid == [(3, "unexpected end of data")]
    assert [(line.line, line.bin_id) for line in valid] == [(2, "1"), (4, "3"), (5, "4")]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_real_line_ends_end_a_line(tmp_path, separator):
    valid, invalid = read_verdicts(tmp_path, f"bin_id,run_id,items,true_count\n1,n1,Soap{separator}bar,3\n")
    assert invalid == []
    assert [line.true_count for line in valid] == [3]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("'=cmd", "=cmd"),
        ("'+1", "+1"),
        ("'-1", "-1"),
        ("'@x", "@x"),
        ("'＝1", "＝1"),
        ("' =1", " =1"),
        ("'\t1", "\t1"),
        ("a;'=1", "a;=1"),
        ("'t Hooft", "'t Hooft"),
        ("O'Neill-7", "O'Neill-7"),
        ("-1", "-1"),
    ],
)
def test_apostrophe_against_formulas_is_removed_from_ids(tmp_path, cell, expected):
    valid, _ = read_verdicts(tmp_path, f"bin_id,run_id,true_count,image_key\n{cell},n1,3,{cell}\n")
    assert [(line.bin_id, line.image_key) for line in valid] == [(expected, expected)]


@pytest.mark.parametrize("cell", ['="01600"', '"=""01600"""', "'01600"])
def test_guarded_ids_are_unwrapped(tmp_path, cell):
    assert read_counts(tmp_path, f"bin_id,run_id,true_count\n{cell},n1,3\n") == {"01600": 3}


def test_rewritten_id_is_kept_if_the_photo_is_known(tmp_path):
    valid, invalid = read_verdicts(tmp_path, "bin_id,run_id,true_count,image_key\n1.60E+03,n1,3,i/1600.jpg\n")
    assert ([line.bin_id for line in valid], invalid) == (["1.60E+03"], [])


@pytest.mark.parametrize(("other", "count"), [("2.0", 1), ('"2,0"', 1000)])
def test_other_counts_decide_how_an_ambiguous_one_is_read(tmp_path, other, count):
    assert read_counts(tmp_path, f"bin_id,run_id,true_count\n1,n1,1.000\n2,n1,{other}\n") == {"1": count, "2": 2}


def test_lines_above_the_header_are_skipped_and_counted(tmp_path):
    valid, _ = read_verdicts(tmp_path, "Recounts\nof Monday\n\nbin_id;run_id;true_count\n1;n1;3\n")
    assert [(line.line, line.bin_id) for line in valid] == [(5, "1")]


def test_verdicts_are_read_from_a_sheet_of_a_workbook(tmp_path):
    header = ["bin_id", "run_id", "true_count", "note"]
    rows = [header, ["00012", "n1", 3, "dusty"], [7.0, "n1", 0.0, ""], [8, "n1", "", ""], [9, "n1", 2.5, ""]]
    write_workbook(tmp_path / "v.xlsx", {"Help": [["Fill in true_count"]], "Recounts": rows})
    for name in ("v.xlsx", "v.xlsx#Recounts"):
        valid, invalid = read_verdict_file(tmp_path / name)
        assert [(line.line, line.bin_id, line.true_count, line.note) for line in valid] == [
            (2, "00012", 3, "dusty"),
            (3, "7", 0, None),
        ]
        assert [(line.number, line.reason) for line in invalid] == [
            (5, "true_count of bin '9' is not a whole number of 0 or more: '2.5'")
        ]
    with pytest.raises(UsageError, match=r"has no sheet 'Sheet9'; its sheets: Help, Recounts$"):
        read_verdict_file(tmp_path / "v.xlsx#Sheet9")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("bin_id,true_count\n1,2\n", r"has no column run_id \(its columns: bin_id, true_count\)"),
        ("bin,n\n1,2\n", "has no column bin_id and no column run_id and no column true_count"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("sep=;\n", "is empty"),
        ("bin_id,run_id,true_count,True Count\n1,n1,2,3\n", "has several columns of one name: column 3"),
        (b"PK\x03\x04workbook", "cannot be read as a workbook"),
        (b"%PDF-1.7", "is a PDF document; save the table as CSV"),
    ],
)
def test_file_without_verdicts_raises_usage_error(tmp_path, data, message):
    with pytest.raises(UsageError, match=message):
        read_verdicts(tmp_path, data)


def test_missing_file_raises_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.csv cannot be read: No such file"):
        read_verdict_file(tmp_path / "gone.csv")
