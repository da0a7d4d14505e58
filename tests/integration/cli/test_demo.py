"""The first five minutes: demo and doctor."""

import json
import re

import pandas as pd
import pytest

from reconcile.datasets.sample_bucket import write_sample_bucket
from reconcile.pipeline import demo
from reconcile.resources import resource
from tests.conftest import reconcile, reconcile_from_scratch, write_bucket
from tests.integration.s3_faults.faulty_proxy import Rule, faulty_proxy, refused

needs_model = pytest.mark.skipif(not list(resource("models").glob("*.onnx")), reason="no model is shipped")


@needs_model
def test_demo_counts_drawings_where_the_public_bucket_does_not_answer(tmp_path, monkeypatch):
    # No answer is sure where there is no way out: a proxy on a port where nothing listens.
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    # What is set for real nights is no concern of the demo.
    (tmp_path / "reconcile.toml").write_text('images_prefix = "cam1/"\nlimit = 3\n')
    done = reconcile_from_scratch("demo", "--out", "first night")
    assert done.returncode == 0, done.stderr
    assert "does not answer. These are 200 drawings, no photos" in done.stderr
    [folder] = (tmp_path / "first night/out/runs").iterdir()
    assert done.stdout.splitlines()[-1] == f"Open {(folder / 'report.html').as_uri()}"
    assert "These are 200 drawings, no photos" in (folder / "report.html").read_text()
    totals = json.loads((folder / "summary.json").read_text())["totals"]
    assert sum(totals.values()) == 200
    assert (totals["no_image"], totals["no_record"], totals["unreadable_image"], totals["invalid_record"]) == (
        3,
        2,
        3,
        3,
    )
    rows = pd.read_parquet(folder / "reconciled.parquet").set_index("bin_id")
    compared = rows[rows["status"].isin(["match", "short", "over"])]
    wrong = [f"{number:05d}" for number in [*range(10, 16), *range(40, 44)]]
    right = compared.drop(index=wrong)
    # Drawings are in the training mix, so most of those that were not tampered with are counted as they are.
    assert (right["status"] == "match").mean() > 0.6
    assert compared.loc[wrong, "p_wrong"].median() > 5 * right["p_wrong"].median()


def test_demo_takes_the_public_bucket_where_it_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "public_bucket_answers", lambda: True)
    values, said = demo.demo_settings(tmp_path)
    assert (values["bucket"], values["no_sign_request"], values["limit"]) == ("aft-vbi-pds", True, 200)
    assert "public bucket aft-vbi-pds" in said


def test_the_sample_is_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        write_sample_bucket(tmp_path / name, 120)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) > 200
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    made = [(tmp_path / "a" / file).stat().st_mtime_ns for file in files]
    write_sample_bucket(tmp_path / "a", 120)
    assert [(tmp_path / "a" / file).stat().st_mtime_ns for file in files] == made, "what was recounted stays so"


def test_what_is_wrong_on_purpose_is_wrong_where_a_photo_can_show_it(tmp_path):
    write_sample_bucket(tmp_path, 120)
    records = {number: json.loads((tmp_path / f"metadata/{number:05d}.json").read_text()) for number in range(10, 16)}
    # Two or three more than there are: of 9 and more, it could be 6 or more that there are.
    assert all(record["EXPECTED_QUANTITY"] <= 8 for record in records.values())


def screen(done):
    return {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}


def test_doctor_finds_all_well(s3, grey_model, tmp_path):
    write_bucket(s3.root / "w", {"1": (1, 1)})
    done = reconcile_from_scratch(
        "doctor", "--bucket", "w", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(screen(done).values()) == {"ok"}
    assert set(screen(done)) == {"reconcile", "libraries", "providers", "model", "photos", "records", "ids", "output"}
    assert re.search(
        r"grey.onnx, version grey, labels 0,1,2,3,4,5,6\+, 32 px; counts on CPU( \(OpenVINO\))? with", done.stdout
    )
    assert "bin-images/1.jpg can be read" in done.stdout
    assert f"{tmp_path}/out is not there yet; it can be made in {tmp_path}" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"s3"}, "nothing is left behind"


def test_doctor_says_what_to_do_about_each_thing_that_fails(s3, tmp_path):
    write_bucket(s3.root / "w", {"1": (1, None)})
    done = reconcile(
        "doctor", "--bucket", "w", "--endpoint-url", s3.endpoint_url, "--model", "no.onnx", "--out", "/proc/no",
        "--images-prefix", "pictures/",
    )  # fmt: skip
    assert done.returncode == 1
    assert {subject for subject, state in screen(done).items() if state == "FAIL"} == {
        "model",
        "photos",
        "records",
        "output",
    }
    assert "is --images-prefix right?" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.strip() == "reconcile: 4 checks failed, and a run would fail too"


def test_doctor_looks_into_the_table_of_records(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    (tmp_path / "stock.csv").write_text("loc,expected_quantity\n1,1\n")
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--out", "out", "--records", "stock.csv"]
    done = reconcile(*arguments)
    assert done.returncode == 1
    assert "FAIL  records    stock.csv has no column 'bin_id'" in done.stdout
    done = reconcile(*arguments, "--records-columns", "bin_id=loc")
    assert done.returncode == 0
    assert "ok    ids        of the first 1 bins photographed, 1 are in stock.csv" in done.stdout


def test_doctor_asks_where_photos_and_records_are_of_different_bins(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"00001": (1, None), "00002": (1, None), "A-3": (None, 2)})
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n1,1\n2,1\n")
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--out", "out"]
    done = reconcile(*arguments, "--records", "stock.csv")
    assert done.returncode == 0, "the photos may be of others first"
    seen = "?     ids        of the first 2 bins photographed, 0 are in"
    asked = "do the ids agree? photo bin-images/00001.jpg,"
    assert f"{seen} stock.csv; {asked} row of bin 1\n" in done.stdout
    assert f"{seen} the first 1 records; {asked} record metadata/A-3.json\n" in reconcile(*arguments).stdout


def test_doctor_asks_where_hardly_any_bin_has_both(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {f"{n:05d}": (1, None) for n in range(20)})
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--out", "out", "--records", "stock.csv"]
    for others, verdict in ((20, "?"), (3, "ok")):
        rows = [f"{n},1\n" for n in range(1, 1 + others)]
        (tmp_path / "stock.csv").write_text("".join(["bin_id,expected_quantity\n00000,1\n", *rows]))
        done = reconcile(*arguments)
        assert screen(done)["ids"] == verdict
        assert "of the first 20 bins photographed, 1 are in stock.csv" in done.stdout
    (tmp_path / "stock.csv").write_text('bin_id,expected_quantity\n"two\nlines",1\n')
    assert "row of bin two?lines" in reconcile(*arguments).stdout
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n1,1\n1,2\n")
    assert "several rows for each bin, which disagree; a bin needs one\n" in reconcile(*arguments).stdout
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n1,1\n1,2\n00002,1\n3,x\n")
    told = "4 rows with the columns that are needed, 1 of them invalid "
    told += "(such as: the expected quantity is not a number: x)"
    assert f"{told}; the rows of 1 of 3 bins disagree\n" in reconcile(*arguments).stdout
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n,1\n ,2\n")
    assert (
        "FAIL  records    stock.csv has 2 rows, and none is a record: the bin id is missing\n"
        in reconcile(*arguments).stdout
    )


def test_doctor_tells_photos_from_records_beside_them(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    (tmp_path / "w/metadata/1.json").rename(tmp_path / "w/bin-images/1.json")
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--records-prefix", "bin-images/"]
    done = reconcile(*arguments)
    assert set(screen(done).values()) == {"ok"}, done.stdout
    assert "bin-images/1.jpg can be read" in done.stdout
    assert "bin-images/1.json can be read" in done.stdout
    done = reconcile(*arguments, "--images-prefix", "metadata/", "--records-prefix", "")
    assert f"no photos under {tmp_path}/w/metadata (where both lie, records are what ends in .json)" in done.stdout


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("file", "{}/file is not a folder"),
        ("file/x/y", "{0}/file/x/y is not there, and cannot be made: {0}/file is no folder"),
        ("/proc/no", "/proc/no is not there, and cannot be made: cannot write /proc/"),
    ],
)
def test_doctor_says_why_the_output_is_no_folder(grey_model, tmp_path, out, said):
    (tmp_path / "file").write_text("")
    done = reconcile("doctor", "--model", grey_model, "--out", f"./{out}" if out[0] != "/" else out)
    assert done.returncode == 1
    assert f"FAIL  output     {said.format(tmp_path)}" in done.stdout


def test_doctor_lists_nothing_where_keys_are_given(s3, grey_model, tmp_path):
    write_bucket(s3.root / "w", {"1": (1, 1)})
    (tmp_path / "keys.csv").write_text("key,etag\nbin-images/1.jpg,e\nmetadata/1.json,e\n")
    with faulty_proxy(s3.endpoint_url, Rule(r"GET /w/?\?", refused(403, "AccessDenied"))) as proxy:
        arguments = ["doctor", "--bucket", "w", "--endpoint-url", proxy.url, "--model", grey_model, "--out", "out"]
        assert reconcile(*arguments).returncode == 1
        done = reconcile(*arguments, "--keys", tmp_path / "keys.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bin-images/1.jpg can be read" in done.stdout
    assert "metadata/1.json can be read" in done.stdout


def test_doctor_without_a_bucket_still_tells_of_the_rest(grey_model):
    done = reconcile("doctor", "--model", grey_model, "--out", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "?     bucket     not looked at, since none was named (say --bucket); everything else was" in done.stdout
    assert set(screen(done)) == {"reconcile", "libraries", "providers", "model", "bucket", "output"}


def test_doctor_without_credentials(grey_model, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = reconcile("doctor", "--bucket", "w", "--model", grey_model)
    assert done.returncode == 1
    assert "FAIL  bucket     no AWS credentials found for s3://w; set AWS_ACCESS_KEY_ID" in done.stdout
    (tmp_path / "photos").mkdir()
    done = reconcile("doctor", "--bucket", "photos", "--model", grey_model)
    assert "(to use the folder of that name, write ./photos)" in done.stdout
