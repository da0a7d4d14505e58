"""Stock adjustments for an ERP, from `reconcile verdicts export --adjustments`."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import reconcile, write_bucket
from tests.integration.verdicts.verdict_helpers import fill_in_counts, import_file, run_bucket, run_verdicts


def export(*arguments) -> list[dict[str, str]]:
    done = run_verdicts("export", "--adjustments", "adjustments.csv", *arguments)
    assert done.returncode == 0, done.stderr
    with Path("adjustments.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert done.stdout.startswith(f"{len(lines)} stock adjustment"), done.stdout
    return lines


def test_adjustments_correct_the_wrong_records(finished_run):
    Path("v.csv").write_text(
        "bin_id,run_id,true_count,counted_by,reason,note\n"
        "00003,n1,1,Kim,damaged,=torn\n00004,n1,2,Lee,,\n00005,n1,29,,,\n00005,n1,31,,,\n"
    )
    import_file("v.csv")
    first, last = export()
    assert first | {"counted_at": ""} == {
        "bin_id": "00003",
        "product_id": "B0TEST",
        "quantity_from": "4",
        "quantity_to": "1",
        "difference": "-3",
        "counted_by": "Kim",
        "counted_at": "",
        "reason": "damaged",
        "note": "'=torn",
        "run_id": "n1",
    }
    assert first["counted_at"].endswith("Z")
    assert (last["bin_id"], last["quantity_from"], last["quantity_to"]) == ("00005", "30", "31")


def test_record_with_several_products_gives_no_product(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {"1": (1, None), "2": (1, None), "3": (1, None)})
    products = {"1": {"A": 2, "B": 2}, "2": {"A": 4}, "3": {}}
    for bin_id, items in products.items():
        data = {asin: {"asin": asin, "name": "", "quantity": number} for asin, number in items.items()}
        record = {"BIN_FCSKU_DATA": data, "EXPECTED_QUANTITY": 4}
        (bucket / "metadata" / f"{bin_id}.json").write_text(json.dumps(record))
    run_bucket(bucket, grey_model, "out", "n1")
    import_file(fill_in_counts("n1", dict.fromkeys("123", 1)))
    assert {line["bin_id"]: line["product_id"] for line in export()} == {"1": "", "2": "A", "3": ""}


def test_only_the_last_verdict_on_a_bin_is_exported(run_again):
    import_file(fill_in_counts("n1", {"00003": 1, "00004": 5}))
    run_again("n2")
    Path("v.csv").write_text("bin_id,run_id,true_count\n00003,n2,4\n00001,n2,7\n")
    import_file("v.csv")
    assert [line["bin_id"] for line in export()] == ["00004", "00001"], "somebody found that 00003 is correct"
    assert [line["bin_id"] for line in export("--run", "n1")] == ["00004"]
    assert [line["bin_id"] for line in export("--run", "n2")] == ["00001"]


def test_removed_run_leaves_the_product_empty_and_says_so(finished_run):
    import_file(fill_in_counts("n1", {"00003": 1}))
    shutil.rmtree("out/runs/n1")
    done = run_verdicts("export", "--adjustments", "a.csv")
    assert done.returncode == 0
    assert "reconciled.parquet of run n1 cannot be read or was removed" in done.stderr
    assert Path("a.csv").read_text().splitlines()[1].startswith("00003,,4,1,-3,")


def test_unknown_run_is_an_error(finished_run):
    done = run_verdicts("export", "--adjustments", "a.csv", "--run", "n7")
    assert done.returncode == 1
    assert "there is no finished run 'n7'" in done.stderr
    assert not Path("a.csv").exists()
    assert export("--run", "n1") == []


@pytest.mark.parametrize("arguments", [[], ["v.csv", "--run", "n1"]])
def test_export_without_a_destination_is_a_usage_error(finished_run, arguments):
    assert run_verdicts("export", *arguments).returncode == 2


def test_adjustments_of_an_output_on_s3(first_run, s3):
    shutil.copytree(first_run[1], s3.root / "results" / "out")
    Path("v.csv").write_text("bin_id,run_id,true_count\n00003,n1,1\n")
    at = ["--out", "s3://results/out", "--endpoint-url", s3.endpoint_url]
    assert reconcile("verdicts", "import", "v.csv", *at).returncode == 0
    done = reconcile("verdicts", "export", "all.csv", "--adjustments", "a.csv", *at)
    assert done.stdout.splitlines() == ["1 verdict written to all.csv", "1 stock adjustment written to a.csv"]
    assert Path("a.csv").read_text().splitlines()[1].startswith("00003,B0TEST,4,1,-3,")
