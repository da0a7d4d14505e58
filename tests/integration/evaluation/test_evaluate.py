"""`reconcile evaluate` with each layout of labelled photos, with unreadable photos and with invalid options."""

import json
from pathlib import Path

import pytest

from tests.conftest import grey_photo, reconcile, reconcile_from_scratch, write_bucket, write_grey_model

# file name: (items in the photo, items on record)
PHOTOS = {
    "00001.jpg": (0, 0),
    "00002.jpg": (1, 1),
    "00003.jpg": (1, 2),
    "00004.jpg": (2, 2),
    "00005.jpg": (3, 5),
    "00006.jpg": (5, 5),
    "00007.jpg": (6, 6),
    "00008.jpg": (6, 17),
}
CONFUSION = {(0, 0): 1, (1, 1): 1, (2, 1): 1, (2, 2): 1, (5, 3): 1, (5, 5): 1, (6, 6): 2}


def with_table(folder, photos=PHOTOS):
    (folder / "bin-images").mkdir(parents=True)
    lines = ["image,count,fold,squashed_224"]
    for number, (name, (seen, on_record)) in enumerate(photos.items()):
        (folder / "bin-images" / name).write_bytes(grey_photo(seen))
        lines.append(f"{name},{on_record},{number % 2},{number % 4 // 2}")
    (folder / "labels.csv").write_text("\n".join(lines))


def with_records(folder):
    write_bucket(folder, {name.removesuffix(".jpg"): pair for name, pair in PHOTOS.items()})


def with_count_folders(folder):
    for name, (seen, on_record) in PHOTOS.items():
        of_count = folder / ("6+" if on_record >= 6 else str(on_record))
        of_count.mkdir(parents=True, exist_ok=True)
        (of_count / name).write_bytes(grey_photo(seen))


def evaluate(model, *arguments, run=reconcile):
    """Run the command, and return the process and evaluation.json."""
    done = run("evaluate", "--model", model, "--out", "e", *arguments)
    assert done.returncode == 0, done.stderr
    return done, json.loads(Path("e/evaluation.json").read_text(encoding="utf-8"))


def confusion(evaluation):
    matrix = evaluation["confusion"]
    return {(row, column): matrix[row][column] for row in range(7) for column in range(7) if matrix[row][column]}


@pytest.mark.parametrize("layout", [with_table, with_records, with_count_folders])
def test_all_layouts_give_the_same_figures(layout, grey_model, tmp_path):
    layout(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos", "--batch-size", 3)
    opening = " ".join(done.stdout.split("\n\n")[1].splitlines())
    assert opening.startswith(
        "We compared the counts of 8 photos with their records. The model agreed with 6 records (75.0%). "
        "In 7 photos (87.5%) it was at most one item off."
    )
    assert (tmp_path / "e" / "evaluation.txt").read_text() == done.stdout
    assert (tmp_path / "e" / "evaluation.html").stat().st_size > 10_000
    evaluation = run["evaluation"]
    assert confusion(evaluation) == CONFUSION
    assert [(result["name"], result["photos"]) for result in evaluation["protocols"]] == [
        ("all labels", 8),
        ("counts 0 to 5", 6),
        ("counts 1 to 5", 5),
    ]
    assert len(evaluation["origins"]) == (2 if layout is with_table else 0)


def test_figures_add_up_and_text_fits_78_columns(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos")
    lines, evaluation = done.stdout.splitlines(), run["evaluation"]
    assert max(map(len, lines)) <= 78
    assert "all labels          8  75.0%" in "\n".join(lines)
    assert sum(map(sum, evaluation["confusion"])) == evaluation["photos"] == 8
    assert sum(result["photos"] for result in evaluation["said"]) == 8
    assert sum(row["photos"] for row in evaluation["calibration"]["bins"]) == 8
    assert sum(origin["photos"] for origin in evaluation["origins"]) == 8
    for protocol in evaluation["protocols"]:
        assert sum(result["photos"] for result in protocol["classes"]) == protocol["photos"]
    whole = evaluation["protocols"][0]
    assert whole["accuracy"]["value"] == evaluation["coverage"][-1]["accuracy"]["value"] == 6 / 8
    assert whole["accuracy"]["low"] < 6 / 8 < whole["accuracy"]["high"]


def test_fold_option_counts_one_fold(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos", "--fold", 1)
    assert run["fold"] == 1
    assert confusion(run["evaluation"]) == {(1, 1): 1, (2, 2): 1, (5, 5): 1, (6, 6): 1}
    assert "only fold 1" in done.stdout

    wrong = reconcile("evaluate", "--data", "photos", "--model", grey_model, "--fold", 7)
    assert wrong.returncode == 2
    assert wrong.stderr == "reconcile: --fold 7: photos has no photo in this fold; its folds are 0, 1\n"


def test_unusable_photos_are_left_out_with_one_line_each(grey_model, tmp_path):
    with_table(tmp_path / "photos", PHOTOS | {"00009.jpg": (3, 3), "<b>.jpg": (4, 4), "gone.jpg": (1, 1)})
    (tmp_path / "photos" / "bin-images" / "00009.jpg").write_bytes(b"<html>")
    (tmp_path / "photos" / "bin-images" / "<b>.jpg").write_bytes(b"")
    (tmp_path / "photos" / "bin-images" / "gone.jpg").unlink()
    done, run = evaluate(grey_model, "--data", "photos", "--batch-size", 1)
    assert confusion(run["evaluation"]) == CONFUSION
    assert run["unreadable"] == 2
    warnings = [line for line in done.stderr.splitlines() if "left out" in line]
    assert len(warnings) == len(run["left_out"]) == 3
    for words in (
        "00009.jpg: not an image",
        "<b>.jpg: the object is empty",
        "gone.jpg of photos/labels.csv: the photo does not exist",
    ):
        assert sum(words in line for line in run["left_out"]) == 1
    text = " ".join(done.stdout.split())
    assert "2 unreadable, 0 with a count that no label covers, 1 without a usable label" in text
    assert "<b>.jpg" not in (tmp_path / "e" / "evaluation.html").read_text()


def test_counts_without_a_label_are_reported_as_one_number(tmp_path):
    from reconcile.labels import CountLabels

    write_grey_model(tmp_path / "seven.onnx", labels=CountLabels(("0", "1", "2", "3", "4", "5", "6")))
    with_table(tmp_path / "photos")
    done, run = evaluate("seven.onnx", "--data", "photos")
    assert (run["evaluation"]["photos"], run["evaluation"]["not_covered"]) == (7, 1)
    assert "1 more photo was left out" in done.stdout.replace("\n", " ")


def test_same_photos_give_the_same_files(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    written = []
    for _ in range(2):
        evaluate(grey_model, "--data", "photos", "--batch-size", 2, run=reconcile_from_scratch)
        written.append([(tmp_path / "e" / f"evaluation.{ending}").read_bytes() for ending in ("txt", "json")])
    assert written[0] == written[1]


def test_no_file_is_written_without_out(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    before = set(tmp_path.rglob("*"))
    done = reconcile("evaluate", "--data", "photos", "--model", grey_model)
    assert done.returncode == 0, done.stderr
    assert "Agreement with the record" in done.stdout
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--data", "nowhere"], 2, "--data: there is no folder nowhere"),
        (["--data", "empty"], 1, "empty holds no labelled photos"),
        (["--data", "photos", "--model", "none.onnx"], 1, "there is no model file none.onnx"),
        (["--data", "photos", "--device", "abacus"], 2, "--device"),
        (["--data", "photos", "--batch-size", "0"], 2, "--batch-size"),
        (["--data", "photos", "--out", "photos/labels.csv"], 1, "--out photos/labels.csv is not a folder"),
        (["--data", "broken"], 1, "none of the 2 photos of broken can be read"),
    ],
)
def test_impossible_request_ends_with_one_line(arguments, code, line, grey_model, tmp_path):
    with_table(tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "3").mkdir(parents=True)
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "broken" / "3" / name).write_bytes(b"no photo")
    model = [] if "--model" in arguments else ["--model", grey_model]
    done = reconcile("evaluate", *arguments, *model)
    assert done.returncode == code
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("reconcile: ")
    assert line in last
    assert "Traceback" not in done.stderr


def with_forty_photos(folder):
    """Write forty photos that the model counts correctly."""
    with_table(folder, {f"{number:05}.jpg": (number % 7, number % 7) for number in range(40)})


def unwrapped(text):
    """Replace line breaks by spaces."""
    return " ".join(text.split())


def test_altered_records_are_found_first(grey_model, tmp_path):
    """The model counts all photos correctly, so the first two records of the queue are always wrong."""
    with_forty_photos(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos", "--plant", "10%", "--seed", 3)
    assert unwrapped(done.stdout).startswith(
        "Evaluation of a count model =========================== We altered 10% of the records on purpose, most of "
        "them by one or two items. Among the first 5% of the queue (2 bins), 2.0 records were wrong on average. That "
        "is 10.0 times as many as in random order. We compared the counts of 40 photos"
    )
    assert max(map(len, done.stdout.splitlines())) <= 78
    planted = run["planted"]
    assert (planted["rate"], planted["bins"], planted["wrong"], planted["seed"]) == (0.1, 40, 4, 3)
    for errors in planted["errors"]:
        ours, *baselines = errors["methods"]
        assert (ours["name"], ours["lead"], ours["average_precision"]["value"]) == ("p_wrong", None, 1.0)
        assert [baseline["name"] for baseline in baselines] == ["self-confidence", "normalized margin", "disagreement"]
        assert [first["bins"] for first in ours["first"]] == [1, 1, 2, 4]
        assert sum(row["bins"] for row in errors["ranges"]) == pytest.approx(40)
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert page.index("records on purpose") < page.index("The model agreed with 40 records") < page.index("<main>")


def test_nothing_is_altered_without_plant(grey_model, tmp_path):
    with_forty_photos(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos")
    assert run["planted"] is None
    assert "altered" not in done.stdout + (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")


def test_same_seed_alters_the_same_records(grey_model, tmp_path):
    with_table(tmp_path / "photos", {f"{number:05}.jpg": (number % 7, (number + 1) % 7) for number in range(40)})
    written = [
        evaluate(grey_model, "--data", "photos", "--plant", rate, "--seed", seed, run=run)[1]["planted"]
        for rate, seed, run in (("10%", 1, reconcile), ("0.1", 1, reconcile_from_scratch), ("10%", 2, reconcile))
    ]
    assert written[0] == written[1]
    assert written[0]["errors"] != written[2]["errors"]


def test_photos_without_a_label_are_not_altered(tmp_path):
    from reconcile.labels import CountLabels

    write_grey_model(tmp_path / "closed.onnx", labels=CountLabels(("0", "1", "2", "3", "4", "5", "6")))
    with_table(tmp_path / "photos")
    run = evaluate("closed.onnx", "--data", "photos", "--plant", "30%")[1]
    assert (run["planted"]["bins"], run["planted"]["wrong"]) == (7, 2)


@pytest.mark.parametrize(
    ("rate", "code", "line"),
    [
        ("0", 2, "--plant: expected more than 0% and less than 100%, such as 8% or 0.08 (got '0')"),
        ("8", 2, "--plant: expected more than 0% and less than 100%, such as 8% or 0.08 (got '8')"),
        ("-8%", 2, "--plant: expected more than 0% and less than 100%, such as 8% or 0.08 (got '-8%')"),
        ("a few", 2, "--plant: expected more than 0% and less than 100%, such as 8% or 0.08 (got 'a few')"),
        ("5%", 1, "--plant 5.000% of 8 labelled bins alters no record; use more bins"),
    ],
)
def test_impossible_rate_ends_before_counting(rate, code, line, grey_model, tmp_path):
    with_table(tmp_path / "photos")
    done = reconcile("evaluate", "--data", "photos", "--model", grey_model, f"--plant={rate}")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"reconcile: {line}\n")
