"""`reconcile doctor`: the checks before a run."""

import re

import pytest

from tests.conftest import reconcile, reconcile_from_scratch, write_bucket
from tests.integration.s3_faults.faulty_proxy import Rule, faulty_proxy, s3_error


def statuses(done):
    """Return the status of each check, by its subject."""
    return {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}


def test_doctor_passes_all_checks(s3, grey_model, tmp_path):
    write_bucket(s3.root / "w", {"1": (1, 1)})
    done = reconcile_from_scratch(
        "doctor", "--bucket", "w", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(statuses(done).values()) == {"ok"}
    inputs = {"bucket", "photos", "records", "ids"}
    assert set(statuses(done)) == {"reconcile", "libraries", "providers", "model", "output"} | inputs
    assert f"s3://w is at {s3.endpoint_url}/w" in done.stdout
    assert re.search(
        r"grey.onnx, version grey, labels 0,1,2,3,4,5,6\+, 32 px; counts on CPU( \(OpenVINO\))? with", done.stdout
    )
    assert "bin-images/1.jpg can be read" in done.stdout
    assert f"{tmp_path}/out does not exist yet; it can be created in {tmp_path}" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"s3"}, "nothing is left behind"


def test_doctor_reports_each_check_that_fails(s3, tmp_path):
    write_bucket(s3.root / "w", {"1": (1, None)})
    done = reconcile(
        "doctor", "--bucket", "w", "--endpoint-url", s3.endpoint_url, "--model", "no.onnx", "--out", "/proc/no",
        "--images-prefix", "pictures/",
    )  # fmt: skip
    assert done.returncode == 1
    assert {subject for subject, state in statuses(done).items() if state == "FAIL"} == {
        "model",
        "photos",
        "records",
        "output",
    }
    assert "is --images-prefix right?" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.strip() == "reconcile: 4 checks failed, and a run would fail too"


def test_doctor_names_the_files_in_the_inbox(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    inbox = tmp_path / "out" / "inbox"
    (inbox / "imported").mkdir(parents=True)
    for name in ("a.csv", "b.xlsx", "notes.docx", ".DS_Store", "imported/old.csv"):
        (inbox / name).touch()
    done = reconcile("doctor", "--bucket", "./w", "--model", grey_model, "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(maxsplit=2)[2] for line in done.stdout.splitlines() if line.split()[1] == "inbox"]
    assert lines == [
        "the next run imports 2 files: a.csv, b.xlsx",
        "notes.docx: the type is unknown, so a run leaves it in the inbox",
    ]


def test_doctor_checks_the_columns_of_a_table(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    (tmp_path / "stock.csv").write_text("loc,expected_quantity\n1,1\n")
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--out", "out", "--records", "stock.csv"]
    done = reconcile(*arguments)
    assert done.returncode == 1
    assert "FAIL  records    stock.csv has no column 'bin_id'" in done.stdout
    done = reconcile(*arguments, "--records-columns", "bin_id=loc")
    assert done.returncode == 0
    assert "ok    ids        of the first 1 photographed bins, 1 are in stock.csv" in done.stdout


def test_doctor_asks_if_no_bin_ids_match(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"00001": (1, None), "00002": (1, None), "A-3": (None, 2)})
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n1,1\n2,1\n")
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--out", "out"]
    done = reconcile(*arguments, "--records", "stock.csv")
    assert done.returncode == 0, "later photos may match"
    seen = "?     ids        of the first 2 photographed bins, 0 are in"
    asked = "are the bin ids the same? compare photo bin-images/00001.jpg with"
    assert f"{seen} stock.csv; {asked} the row of bin 1\n" in done.stdout
    assert f"{seen} the first 1 records; {asked} record metadata/A-3.json\n" in reconcile(*arguments).stdout


def test_doctor_asks_if_few_bins_have_photo_and_record(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {f"{n:05d}": (1, None) for n in range(20)})
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--out", "out", "--records", "stock.csv"]
    for others, status in ((20, "?"), (3, "ok")):
        rows = [f"{n},1\n" for n in range(1, 1 + others)]
        (tmp_path / "stock.csv").write_text("".join(["bin_id,expected_quantity\n00000,1\n", *rows]))
        done = reconcile(*arguments)
        assert statuses(done)["ids"] == status
        assert "of the first 20 photographed bins, 1 are in stock.csv" in done.stdout
    (tmp_path / "stock.csv").write_text('bin_id,expected_quantity\n"two\nlines",1\n')
    assert "the row of bin two?lines" in reconcile(*arguments).stdout
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n1,1\n1,2\n")
    repeated = (
        "--records stock.csv has several rows for 1 bin, such as rows 2 and 3 for bin '1'; --records-aggregate sum"
    )
    assert f"FAIL  records    {repeated}" in reconcile(*arguments).stdout
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n1,1\n00002,1\n3,x\n")
    text = "3 rows with the required columns, 1 of them invalid "
    text += "(for example: the expected quantity is not a number: x)"
    assert f"{text}\n" in reconcile(*arguments).stdout
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n,1\n ,2\n")
    assert (
        "FAIL  records    stock.csv has 2 rows, but none is a valid record: the bin id is missing\n"
        in reconcile(*arguments).stdout
    )


def test_doctor_separates_photos_and_records_in_one_folder(grey_model, tmp_path):
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    (tmp_path / "w/metadata/1.json").rename(tmp_path / "w/bin-images/1.json")
    arguments = ["doctor", "--bucket", "./w", "--model", grey_model, "--records-prefix", "bin-images/"]
    done = reconcile(*arguments)
    assert set(statuses(done).values()) == {"ok"}, done.stdout
    assert "bin-images/1.jpg can be read" in done.stdout
    assert "bin-images/1.json can be read" in done.stdout
    done = reconcile(*arguments, "--images-prefix", "metadata/", "--records-prefix", "")
    assert (
        f"no photos under {tmp_path}/w/metadata (in a folder with photos and records, records end in .json)"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("file", "{}/file is not a folder"),
        ("file/x/y", "{0}/file/x/y does not exist and cannot be created: {0}/file is not a folder"),
        ("/proc/no", "/proc/no does not exist and cannot be created: cannot write /proc: "),
        ("w/bin-images/out", "--out lies in {}/w/bin-images, so a run would read its own results"),
    ],
)
def test_doctor_reports_why_a_run_cannot_write_its_output(grey_model, tmp_path, out, text):
    (tmp_path / "file").write_text("")
    write_bucket(tmp_path / "w", {"1": (1, 1)})
    done = reconcile("doctor", "--bucket", "./w", "--model", grey_model, "--out", f"./{out}" if out[0] != "/" else out)
    assert done.returncode == 1
    assert f"FAIL  output     {text.format(tmp_path)}" in done.stdout


def test_doctor_with_keys_does_not_list_the_bucket(s3, grey_model, tmp_path):
    write_bucket(s3.root / "w", {"1": (1, 1)})
    (tmp_path / "keys.csv").write_text("key,etag\nbin-images/1.jpg,e\nmetadata/1.json,e\n")
    with faulty_proxy(s3.endpoint_url, Rule(r"GET /w/?\?", s3_error(403, "AccessDenied"))) as proxy:
        arguments = ["doctor", "--bucket", "w", "--endpoint-url", proxy.url, "--model", grey_model, "--out", "out"]
        assert reconcile(*arguments).returncode == 1
        done = reconcile(*arguments, "--keys", tmp_path / "keys.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bin-images/1.jpg can be read" in done.stdout
    assert "metadata/1.json can be read" in done.stdout


def test_doctor_without_a_bucket_runs_all_other_checks(grey_model):
    done = reconcile("doctor", "--model", grey_model, "--out", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "?     bucket     not checked, because no bucket is given; set --bucket" in done.stdout
    assert set(statuses(done)) == {"reconcile", "libraries", "providers", "model", "bucket", "output"}


def test_doctor_without_credentials_names_the_missing_settings(grey_model, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = reconcile("doctor", "--bucket", "w", "--model", grey_model)
    assert done.returncode == 1
    assert "FAIL  bucket     no AWS credentials found for s3://w; set AWS_ACCESS_KEY_ID" in done.stdout
    (tmp_path / "photos").mkdir()
    done = reconcile("doctor", "--bucket", "photos", "--model", grey_model)
    assert "(to use the folder of that name, write ./photos)" in done.stdout
