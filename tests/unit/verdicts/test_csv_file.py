"""Verdicts as people hand them in: every flavour of CSV, and bad lines told by their number."""

import pytest

from reconcile.errors import UsageError
from reconcile.verdicts.csv_file import VerdictLine, read_verdict_file

PLAIN = "bin_id,run_id,true_count,note\n00012,n1,3,\n7,n1,0,dusty café\n"


def read(tmp_path, data: str | bytes):
    path = tmp_path / "verdicts.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    good, bad = read_verdict_file(path)
    return good, [(line.number, line.reason) for line in bad]


def counts(tmp_path, data):
    """bin id to true count of a file without bad lines."""
    good, bad = read(tmp_path, data)
    assert bad == []
    return {line.bin_id: line.true_count for line in good}


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
def test_the_same_verdicts_in_every_flavour(tmp_path, data):
    good, bad = read(tmp_path, data)
    assert bad == []
    assert [(line.bin_id, line.run_id, line.true_count) for line in good] == [("00012", "n1", 3), ("7", "n1", 0)]
    assert good[1].note.replace(",", ";") == "dusty café"


def test_a_line_as_it_was_written(tmp_path):
    good, _ = read(tmp_path, "bin_id,image_key,run_id,true_count,note\n12,i/00012.jpg,n1,3,\n")
    assert good == [VerdictLine(2, "12", "n1", 3, None, "i/00012.jpg")]


def test_lines_that_nobody_filled_in_are_passed_over(tmp_path):
    assert counts(tmp_path, "bin_id,run_id,true_count,note\n1,n1,,\n2,n1,5\n3,n1\n4,n1, ,later\n5\n") == {"2": 5}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("9,n1,three", "true_count of bin '9' is not a number: 'three'"),
        ("9,n1,-1", "true_count of bin '9' is not a whole number from 0 on: '-1'"),
        ("9,n1,2.5", "true_count of bin '9' is not a whole number from 0 on: '2.5'"),
        ("9,n1,nan", "true_count of bin '9' is not a whole number from 0 on: 'nan'"),
        ("9,n1,inf", "true_count of bin '9' is not a whole number from 0 on: 'inf'"),
        ("9,n1,1e400", "true_count of bin '9' is not a whole number from 0 on: '1e400'"),
        ("9,n1,5012345678900", "true_count of bin '9' is over 99,999: '5012345678900'; is it a barcode?"),
        ("9,n1,1_000", "true_count of bin '9' is not a number: '1_000'"),
        ('9,n1,"1,000"', "true_count of bin '9' is not a number: '1,000'"),  # one, or a thousand
        (",n1,3", "bin_id is empty"),
        ("9,,3", "run_id is empty"),
        ('9,n1,"3"x', "',' expected after '\"'"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_the_rest_is_taken(tmp_path, cells, reason):
    good, bad = read(tmp_path, f"bin_id,run_id,true_count\n1,n1,1\n{cells}\n2,n1,2\n")
    assert bad == [(3, reason)]
    assert [line.bin_id for line in good] == ["1", "2"]


def test_a_note_may_have_several_lines_and_a_line_keeps_the_number_that_a_spreadsheet_gives_it(tmp_path):
    data = 'sep=;\nbin_id;run_id;true_count;note\n1;n1;1;"torn\nbox; ""B"""\n\n2;n1;x;\n3;n1;3;\n'
    good, bad = read(tmp_path, data)
    assert [(line.line, line.note) for line in good] == [(2, 'torn\nbox; "B"'), (5, None)]
    assert [number for number, _ in bad] == [4]


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path):
    good, bad = read(tmp_path, 'bin_id,run_id,true_count,note\n1,n1,1,a\n2,n1,2,"torn\n3,n1,3,c\n4,n1,4,d\n')
    assert bad == [(3, "unexpected end of data")]
    assert [(line.line, line.bin_id) for line in good] == [(2, "1"), (4, "3"), (5, "4")]


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_real_line_ends_end_a_line(tmp_path, odd):
    good, bad = read(tmp_path, f"bin_id,run_id,items,true_count\n1,n1,Soap{odd}bar,3\n")
    assert bad == []
    assert [line.true_count for line in good] == [3]


@pytest.mark.parametrize(
    ("written", "meant"),
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
def test_the_apostrophe_against_formulas_is_no_part_of_an_id(tmp_path, written, meant):
    good, _ = read(tmp_path, f"bin_id,run_id,true_count,image_key\n{written},n1,3,{written}\n")
    assert [(line.bin_id, line.image_key) for line in good] == [(meant, meant)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("bin_id,true_count\n1,2\n", "has no column run_id; its first line names them"),
        ("bin,n\n1,2\n", "has no column bin_id and no column run_id and no column true_count"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("sep=;\n", "is empty"),
        (b"PK\x03\x04workbook", "is a workbook; save it as CSV"),
    ],
)
def test_a_file_that_cannot_be_verdicts_is_wrong_usage(tmp_path, data, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, data)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.csv cannot be read: No such file"):
        read_verdict_file(tmp_path / "gone.csv")
