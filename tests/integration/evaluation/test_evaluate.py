"""`reconcile evaluate` as people use it: over each layout of labelled photos, with bad photos, with wrong flags."""

import json
from pathlib import Path

import pytest

from tests.conftest import grey_photo, reconcile, reconcile_from_scratch, write_bucket, write_grey_model

# name of the photo: (items in the photo, items on record)
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
        place = folder / ("6+" if on_record >= 6 else str(on_record))
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(grey_photo(seen))


def evaluate(model, *arguments, run=reconcile):
    """The text, and what was written."""
    done = run("evaluate", "--model", model, "--out", "e", *arguments)
    assert done.returncode == 0, done.stderr
    return done, json.loads(Path("e/evaluation.json").read_text(encoding="utf-8"))


def confusion(evaluation):
    matrix = evaluation["confusion"]
    return {(row, column): matrix[row][column] for row in range(7) for column in range(7) if matrix[row][column]}


@pytest.mark.parametrize("layout", [with_table, with_records, with_count_folders])
def test_each_layout_gives_the_same_figures(layout, grey_model, tmp_path):
    layout(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos", "--batch-size", 3)
    opening = " ".join(done.stdout.split("\n\n")[1].splitlines())
    assert opening.startswith(
        "Of 8 photos with a count on record, the model counted 6 the same (75.0%), "
        "and 7 the same or one item off (87.5%)."
    )
    assert (tmp_path / "e" / "evaluation.txt").read_text() == done.stdout
    assert (tmp_path / "e" / "evaluation.html").stat().st_size > 10_000
    evaluation = run["evaluation"]
    assert confusion(evaluation) == CONFUSION
    assert [(found["name"], found["photos"]) for found in evaluation["protocols"]] == [
        ("all labels", 8),
        ("counts 0 to 5", 6),
        ("counts 1 to 5", 5),
    ]
    assert len(evaluation["origins"]) == (2 if layout is with_table else 0)


def test_the_figures_add_up_and_the_text_fits_a_terminal_and_an_e_mail(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos")
    lines, evaluation = done.stdout.splitlines(), run["evaluation"]
    assert max(map(len, lines)) <= 78
    assert "all labels          8     75.0%" in "\n".join(lines)
    assert sum(map(sum, evaluation["confusion"])) == evaluation["photos"] == 8
    assert sum(said["photos"] for said in evaluation["said"]) == 8
    assert sum(row["photos"] for row in evaluation["calibration"]["bins"]) == 8
    assert sum(origin["photos"] for origin in evaluation["origins"]) == 8
    for protocol in evaluation["protocols"]:
        assert sum(found["photos"] for found in protocol["classes"]) == protocol["photos"]
    whole = evaluation["protocols"][0]
    assert whole["accuracy"]["value"] == evaluation["coverage"][-1]["accuracy"]["value"] == 6 / 8
    assert whole["accuracy"]["low"] < 6 / 8 < whole["accuracy"]["high"]


def test_one_fold_alone(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos", "--fold", 1)
    assert run["fold"] == 1
    assert confusion(run["evaluation"]) == {(1, 1): 1, (2, 2): 1, (5, 5): 1, (6, 6): 1}
    assert "only fold 1" in done.stdout

    wrong = reconcile("evaluate", "--data", "photos", "--model", grey_model, "--fold", 7)
    assert wrong.returncode == 2
    assert wrong.stderr == "reconcile: --fold 7: photos has no photo of that fold; it has 0, 1\n"


def test_bad_photos_are_left_out_with_a_line_each(grey_model, tmp_path):
    with_table(tmp_path / "photos", PHOTOS | {"00009.jpg": (3, 3), "<b>.jpg": (4, 4), "gone.jpg": (1, 1)})
    (tmp_path / "photos" / "bin-images" / "00009.jpg").write_bytes(b"<html>")
    (tmp_path / "photos" / "bin-images" / "<b>.jpg").write_bytes(b"")
    (tmp_path / "photos" / "bin-images" / "gone.jpg").unlink()
    done, run = evaluate(grey_model, "--data", "photos", "--batch-size", 1)
    assert confusion(run["evaluation"]) == CONFUSION
    assert run["unreadable"] == 2
    told = [line for line in done.stderr.splitlines() if "left out" in line]
    assert len(told) == len(run["left_out"]) == 3
    for words in (
        "00009.jpg: not an image",
        "<b>.jpg: the object is empty",
        "gone.jpg of photos/labels.csv: there is no",
    ):
        assert sum(words in line for line in run["left_out"]) == 1
    stated = " ".join(done.stdout.split())
    assert "2 unreadable, 0 with a count that no label covers, 1 without a usable label" in stated
    assert "<b>.jpg" not in (tmp_path / "e" / "evaluation.html").read_text()


def test_counts_that_no_label_covers_are_one_total(tmp_path):
    from reconcile.labels import CountLabels

    write_grey_model(tmp_path / "seven.onnx", labels=CountLabels(("0", "1", "2", "3", "4", "5", "6")))
    with_table(tmp_path / "photos")
    done, run = evaluate("seven.onnx", "--data", "photos")
    assert (run["evaluation"]["photos"], run["evaluation"]["not_covered"]) == (7, 1)
    assert "1 further photo left out" in done.stdout.replace("\n", " ")


def test_the_same_photos_give_the_same_bytes(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    written = []
    for _ in range(2):
        evaluate(grey_model, "--data", "photos", "--batch-size", 2, run=reconcile_from_scratch)
        written.append([(tmp_path / "e" / f"evaluation.{ending}").read_bytes() for ending in ("txt", "json")])
    assert written[0] == written[1]


def test_without_out_nothing_is_written(grey_model, tmp_path):
    with_table(tmp_path / "photos")
    before = set(tmp_path.rglob("*"))
    done = reconcile("evaluate", "--data", "photos", "--model", grey_model)
    assert done.returncode == 0, done.stderr
    assert "How often is the count right" in done.stdout
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--data", "nowhere"], 2, "--data: there is no folder nowhere"),
        (["--data", "empty"], 1, "empty holds no labelled photos"),
        (["--data", "photos", "--model", "none.onnx"], 1, "there is no model file none.onnx"),
        (["--data", "photos", "--device", "abacus"], 2, "--device"),
        (["--data", "photos", "--batch-size", "0"], 2, "--batch-size"),
        (["--data", "photos", "--out", "photos/labels.csv"], 1, "--out photos/labels.csv is no folder"),
        (["--data", "broken"], 1, "none of the 2 photos of broken can be read"),
    ],
)
def test_what_cannot_work_ends_in_one_line(arguments, code, line, grey_model, tmp_path):
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


def many(folder):
    """Forty photos, each counted as on record."""
    with_table(folder, {f"{number:05}.jpg": (number % 7, number % 7) for number in range(40)})


def flat(text):
    """Without the breaks of lines."""
    return " ".join(text.split())


def test_altered_records_are_found(grey_model, tmp_path):
    """The model counts all photos right: the first two of the queue are always wrong."""
    many(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos", "--plant", "10%", "--seed", 3)
    assert flat(done.stdout).startswith(
        "Evaluation of a count model =========================== With 10% of the records altered by a slip, of the "
        "first 5% of the queue (2 bins) 2.0 are wrong on average: 10.0 times as many as in random order. Of 40 photos"
    )
    assert max(map(len, done.stdout.splitlines())) <= 78
    planted = run["planted"]
    assert (planted["rate"], planted["bins"], planted["wrong"], planted["seed"]) == (0.1, 40, 4, 3)
    for errors in planted["errors"]:
        ours, *rivals = errors["methods"]
        assert (ours["name"], ours["lead"], ours["average_precision"]["value"]) == ("p_wrong", None, 1.0)
        assert [rival["name"] for rival in rivals] == ["self-confidence", "normalized margin", "disagreement"]
        assert [first["bins"] for first in ours["first"]] == [1, 1, 2, 4]
        assert sum(row["bins"] for row in errors["ranges"]) == pytest.approx(40)
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert page.index("altered by a slip") < page.index("the model counted 40 the same") < page.index("<main>")


def test_nothing_is_altered_unless_asked_for(grey_model, tmp_path):
    many(tmp_path / "photos")
    done, run = evaluate(grey_model, "--data", "photos")
    assert run["planted"] is None
    assert "altered" not in done.stdout + (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")


def test_the_same_seed_alters_the_same_records(grey_model, tmp_path):
    with_table(tmp_path / "photos", {f"{number:05}.jpg": (number % 7, (number + 1) % 7) for number in range(40)})
    written = [
        evaluate(grey_model, "--data", "photos", "--plant", rate, "--seed", seed, run=run)[1]["planted"]
        for rate, seed, run in (("10%", 1, reconcile), ("0.1", 1, reconcile_from_scratch), ("10%", 2, reconcile))
    ]
    assert written[0] == written[1]
    assert written[0]["errors"] != written[2]["errors"]


def test_photos_that_no_label_covers_are_not_altered(tmp_path):
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
        ("5%", 1, "--plant 5.000% of 8 labelled bins is not one record; it takes more bins"),
    ],
)
def test_a_rate_that_cannot_be_planted_ends_in_one_line_before_counting(rate, code, line, grey_model, tmp_path):
    with_table(tmp_path / "photos")
    done = reconcile("evaluate", "--data", "photos", "--model", grey_model, f"--plant={rate}")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"reconcile: {line}\n")
