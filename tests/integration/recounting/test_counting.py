"""Counting through the HTTP interface: blind cards, taps, undo, claims and progress."""

import json

import pytest

from tests.conftest import reconcile


def test_nothing_about_the_record_is_sent_before_the_count(app):
    ann = app.phone("Ann")
    page, queue = ann.get("/")[1].decode(), ann.get("/api/queue")[1].decode()
    assert [sorted(card) for card in json.loads(queue)["cards"]] == [["bin", "items", "n", "parts"]] * 6
    assert ann.queue()["cards"]["A-1-2"]["items"] == ["name of B0TEST"]
    state = json.dumps(ann.poll())
    for text in (page, queue, state):
        assert "expected_quantity" not in text
        assert '"record"' not in text
        assert "p_wrong" not in text
    assert ann.count("A-1-2", 1) | {"id": 0} == {"id": 0, "saved": True, "record": 4, "photo": "1", "found": 1}


def test_counts_reach_the_verdicts_with_all_facts(app, out):
    ann = app.phone("Ann <b>")
    ann.count("A-1-2", 1, note=" torn\nbox ", reason="damaged")
    ann.count("A-1-1", 300)
    ann.send(ann.entry("B-1-9", action="cannot", note="locked"))
    rows = {row["bin_id"]: row for row in app.verdicts()}
    row = rows["A-1-2"]
    assert (row["run_id"], row["true_count"], row["expected_quantity"], row["note"]) == ("n1", 1, 4, "torn box")
    assert (row["counted_by"], row["reason"]) == ("Ann <b>", "damaged")
    assert row["image_key"] == "bin-images/A-1-2.jpg"
    assert sum(row["probabilities"]) == pytest.approx(1)
    assert row["p_wrong"] > 0.5
    assert rows["A-1-1"]["true_count"] == 300
    assert (rows["B-1-9"]["true_count"], rows["B-1-9"]["note"]) == (None, "locked")
    listed = reconcile("verdicts", "list", "--out", out).stdout
    assert "A-1-2" in listed
    assert "Ann <b>" in listed
    assert "B-1-9" not in listed


def test_repeated_entry_is_saved_once(app, out):
    ann = app.phone("Ann")
    entry = ann.entry("A-1-2", 1)
    first, second = ann.send(entry, entry)
    assert first == second == ann.send(entry)[0]
    ann.count("A-1-1", 2)
    app.verdicts()
    assert sorted(row["bin_id"] for row in app.verdicts()) == ["A-1-1", "A-1-2"]


def test_undo_withdraws_the_count_everywhere(app, out):
    ann = app.phone("Ann")
    entry = ann.entry("A-1-2", 1)
    ann.send(entry)
    assert ann.poll()["progress"]["done"] == 1
    assert len(app.verdicts()) == 1
    ann.send(ann.entry("A-1-2", action="undo", withdraws=entry["id"]))
    assert ann.poll()["progress"] | {"total": 6} == {"total": 6, "done": 0, "wrong": 0, "cannot": 0, "second": 0}
    assert len(app.verdicts()) == 2
    assert "no verdicts yet" in reconcile("verdicts", "list", "--out", out).stdout


def test_cards_come_in_walking_order_by_chance_or_by_aisle(app):
    ann = app.phone("Ann")
    queue = ann.queue()
    names = ann.names()
    assert [names[number] for number in queue["walking"]] == ["A-1-1", "A-1-2", "A-2-1", "A-10-1", "B-1-9", "B-1-10"]
    assert queue["parts"] == ["aisle", "rack", "shelf"]
    assert queue["cards"]["B-1-10"]["parts"] == ["B", "1", "10"]
    assert names[ann.poll()["next"]] == "A-1-1"
    assert ann.poll(wish="chance")["next"] == 1
    assert names[ann.poll(area="B")["next"]] == "B-1-9"
    last = queue["cards"]["B-1-10"]["n"]
    assert names[ann.poll(after=last)["next"]] == "A-1-1", "after the last bin come those that were left out"


def test_two_people_never_get_the_same_card(app):
    ann, ben = app.phone("Ann"), app.phone("Ben")
    first, second = ann.poll()["next"], ben.poll()["next"]
    assert first != second
    assert ben.poll(holding=[second])["taken"] == {str(first): "Ann"}
    assert ben.poll(holding=[first], wish=None)["held"] == []
    ann.count(ann.names()[first], 2)
    assert ben.poll(holding=[second])["taken"] == {}
    ann.poll(holding=[ann.poll(after=first)["next"]])
    ann.poll(wish=None)
    assert ben.poll(holding=[second])["taken"] == {}, "a phone that shows no card holds no card"


def test_result_says_what_another_person_found(app):
    app.phone("Ann").count("A-1-2", 1)
    assert app.phone("Ben").count("A-1-2", 2)["other"] == {"who": "Ann", "found": 1}


def test_finished_queue_compares_findings_with_expectation(app):
    ann = app.phone("Ann")
    found = {"A-1-1": 2, "A-1-2": 1, "A-2-1": 5, "A-10-1": 3, "B-1-9": 4, "B-1-10": 0}
    for bin_id, count in found.items():
        ann.count(bin_id, count)
    progress = ann.poll()["progress"]
    assert (progress["total"], progress["done"], progress["wrong"]) == (6, 6, 3)
    assert 2 < progress["expected"] < 4
    assert progress["low"] <= progress["expected"] <= progress["high"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"count": -1}, "a whole number from 0"),
        ({"count": 100_000}, "is it a barcode?"),
        ({"count": 1.5}, "a whole number"),
        ({"count": True}, "a whole number"),
        ({"run": "../../etc"}, "no longer exists"),
        ({"run": "n9"}, "the run n9 no longer exists; write the count down"),
        ({"number": 99}, "no such bin"),
        ({"bin": "B-1-9"}, "no such bin"),
        ({"action": "drop"}, "the action"),
        ({"id": "../x"}, "no valid id"),
    ],
)
def test_entries_that_cannot_be_saved_are_refused_alone(app, changes, reason):
    ann = app.phone("Ann")
    good = ann.entry("A-1-1", 2)
    refused, saved = ann.send(ann.entry("A-1-2", 1) | changes, good)
    assert refused["saved"] is False
    assert reason in refused["reason"]
    assert saved["saved"] is True


def test_open_count_shows_record_and_photo(start_app):
    app = start_app(is_open=True)
    card = app.phone("Ann").queue()["cards"]["A-1-2"]
    assert (card["record"], card["photo"]) == (4, "1")


def test_count_beyond_tolerance_is_repeated_by_another_person(start_app):
    app = start_app(second_counts=True, tolerance=1)
    ann, ben = app.phone("Ann"), app.phone("Ben")
    assert "second" not in ann.count("A-1-1", 1)  # the record says 2
    assert ann.count("A-1-2", 1)["second"] is True  # the record says 4
    number = ann.queue()["cards"]["A-1-2"]["n"]
    state = ann.poll(wish="chance")
    assert state["progress"]["second"] == 1
    assert [number, "mine"] in state["bins"]
    assert state["next"] != number
    state = ben.poll(wish="chance")
    assert [number, "second"] in state["bins"]
    offered = set()
    while (following := ben.poll(wish="chance", skipped=sorted(offered))["next"]) is not None:
        offered.add(following)
    assert number in offered
    assert ben.count("A-1-2", 2)["other"] == {"who": "Ann", "found": 1}
    rows = app.verdicts()
    [second] = [row for row in rows if row["counted_by"] == "Ben"]
    assert (second["true_count"], second["first_count"], second["first_counted_by"]) == (2, 1, "Ann")
    assert ann.poll()["progress"]["second"] == 0
