"""The figures of an evaluation against versions written photo by photo, and against cases done by hand."""

import json
import math

import numpy as np
import pytest

from reconcile.errors import ReconcileError
from reconcile.labels import CountLabels
from reconcile.metrics.classification import evaluate, restrict
from tests.unit.metrics.photos import SEVEN, Photos, certain_rows


def restricted_errors(photos, first, last):
    """Return (on record, error in items, probability) of photos with `first` to `last` items on record.

    The model may choose only from these counts. 6 stands for 6+.
    """
    errors = []
    for row, count in zip(photos.probabilities.tolist(), photos.counts, strict=True):
        on_record = min(count, 6)
        if first <= on_record <= last:
            predicted = max(range(first, last + 1), key=lambda label, row=row: row[label])
            errors.append((on_record, predicted - on_record, row[predicted] / sum(row[first : last + 1])))
    return errors


@pytest.mark.parametrize(("number", "first", "last"), [(0, 0, 6), (1, 0, 5), (2, 1, 5)])
def test_each_protocol_agrees_with_counting_photo_by_photo(photos, evaluation, number, first, last):
    protocol, errors = evaluation.protocols[number], restricted_errors(photos, first, last)
    assert protocol.photos == len(errors)
    assert protocol.accuracy.value == pytest.approx(sum(error == 0 for _, error, _ in errors) / len(errors))
    assert protocol.rmse.value == pytest.approx(math.sqrt(sum(error**2 for _, error, _ in errors) / len(errors)))
    assert protocol.within_one == pytest.approx(sum(abs(error) <= 1 for _, error, _ in errors) / len(errors))
    assert [result.label for result in protocol.classes] == [SEVEN.names[label] for label in range(first, last + 1)]
    for result, label in zip(protocol.classes, range(first, last + 1), strict=True):
        own = [error for on_record, error, _ in errors if on_record == label]
        assert result.photos == len(own)
        assert result.accuracy.value == pytest.approx(own.count(0) / len(own))
        assert result.rmse == pytest.approx(math.sqrt(sum(error**2 for error in own) / len(own)))
        assert result.within_one == pytest.approx(sum(abs(error) <= 1 for error in own) / len(own))
    assert protocol.commonest == max(result.photos for result in protocol.classes) / len(errors)
    gap = 0.0
    for edge in range(15):
        members = [(p, error == 0) for _, error, p in errors if edge / 15 < p <= (edge + 1) / 15]
        gap += abs(sum(p for p, _ in members) - sum(correct for _, correct in members)) / len(errors)
    assert protocol.calibration_error == pytest.approx(gap)


def test_confusion_and_precision_agree_with_counting_photo_by_photo(photos, evaluation):
    pairs = [(on_record, predicted) for on_record, predicted, _ in photos.top_labels()]
    for on_record in range(7):
        for predicted in range(7):
            assert evaluation.confusion[on_record][predicted] == pairs.count((on_record, predicted))
    for predicted, result in enumerate(evaluation.said):
        own = [on_record for on_record, label in pairs if label == predicted]
        assert result.photos == len(own)
        assert result.precision.value == pytest.approx(own.count(predicted) / len(own))


def test_original_and_squashed_photos_are_evaluated_separately(photos, evaluation):
    original, squashed = evaluation.origins
    assert (original.squashed, squashed.squashed) == (False, True)
    for origin in evaluation.origins:
        chosen = [index for index, value in enumerate(photos.squashed) if value is origin.squashed]
        own = Photos(photos.probabilities[chosen], [photos.counts[index] for index in chosen], [])
        errors = restricted_errors(own, 0, 6)
        assert origin.photos == len(chosen) > 50
        assert origin.accuracy.value == pytest.approx(sum(error == 0 for _, error, _ in errors) / len(chosen))
        assert origin.rmse.value == pytest.approx(math.sqrt(sum(error**2 for _, error, _ in errors) / len(chosen)))


def test_only_the_seed_decides_the_intervals(photos, evaluation):
    assert evaluate(*photos[:2], SEVEN, photos.squashed, seed=1) == evaluation
    other = evaluate(*photos[:2], SEVEN, photos.squashed, seed=2)
    assert other.protocols[0].accuracy != evaluation.protocols[0].accuracy
    assert other.protocols[0].accuracy.value == evaluation.protocols[0].accuracy.value


def test_four_photos_agree_with_figures_done_by_hand():
    """On record are 1, 2, 9 (6+) and 4. The model counts 1, 4, 6+ and 6+."""
    evaluation = evaluate(certain_rows(1, 4, 6, 6), [1, 2, 9, 4], SEVEN, [None, True, None, True], seed=3)
    whole = evaluation.protocols[0]
    assert (whole.photos, whole.accuracy.value, whole.within_one) == (4, 0.5, 0.5)
    assert whole.rmse.value == pytest.approx(math.sqrt((0 + 4 + 0 + 4) / 4))
    # With only 0 to 5 to choose from, a photo of 6+ gets the first of equally likely counts.
    restricted = evaluation.protocols[1]
    assert restricted.photos == 3
    assert restricted.accuracy.value == pytest.approx(1 / 3)
    assert restricted.rmse.value == pytest.approx(math.sqrt((0 + 4 + 16) / 3))
    assert [result.photos for result in restricted.classes] == [0, 1, 1, 0, 1, 0]
    predicted = evaluation.said
    assert [result.photos for result in predicted] == [0, 1, 0, 0, 1, 0, 2]
    precisions = [result.precision and result.precision.value for result in predicted]
    assert precisions == [None, 1, None, None, 0, None, 0.5]
    origins = [(origin.squashed, origin.photos, origin.accuracy.value) for origin in evaluation.origins]
    assert origins == [(True, 2, 0)]


def test_one_photo_gives_all_figures():
    evaluation = evaluate(certain_rows(3), [3], SEVEN, [None], seed=1)
    assert evaluation.protocols[0].accuracy.value == 1
    assert {point.photos for point in evaluation.coverage} == {1}
    assert evaluation.origins == ()
    empty = evaluation.protocols[0].classes[0]
    assert (empty.photos, empty.accuracy, empty.rmse, empty.within_one) == (0, None, None, None)
    json.dumps(evaluation.as_dict(), allow_nan=False)


def test_counts_without_a_label_are_left_out_and_counted():
    labels = CountLabels(("1", "2", "3"))
    rows = certain_rows(0, 1, 2, 2, number_of_labels=3)
    evaluation = evaluate(rows, [1, 0, 4, 3], labels, [False] * 4, seed=1)
    assert (evaluation.photos, evaluation.not_covered) == (2, 2)
    assert evaluation.protocols[0].accuracy.value == 1
    with pytest.raises(ReconcileError, match="1, 2, 3"):
        evaluate(certain_rows(0, number_of_labels=3), [8], labels, [None], seed=1)


@pytest.mark.parametrize(
    ("names", "counts", "protocols", "left_out"),
    [
        (
            SEVEN.names,
            [0, 7],
            ["all labels", "counts 0 to 5"],
            {"counts 1 to 5": "no photo has 1 to 5 items on record"},
        ),
        (SEVEN.names[:6], [0, 5], ["all labels", "counts 1 to 5"], {"counts 0 to 5": "the same as all labels"}),
        (
            SEVEN.names[1:6],
            [1, 5],
            ["all labels"],
            {"counts 0 to 5": "the model has no label 0", "counts 1 to 5": "the same as all labels"},
        ),
        (
            ("0", "1", "2", "3", "4", "5+"),
            [1, 5],
            ["all labels"],
            {"counts 0 to 5": "the model has no label 5", "counts 1 to 5": "the model has no label 5"},
        ),
    ],
)
def test_protocols_without_a_result_of_their_own_are_left_out(names, counts, protocols, left_out):
    labels = CountLabels(names)
    evaluation = evaluate(certain_rows(0, 1, number_of_labels=len(names)), counts, labels, [None, None], seed=1)
    assert [protocol.name for protocol in evaluation.protocols] == protocols
    assert {protocol.name: protocol.reason for protocol in evaluation.left_out_protocols} == left_out


def test_restricting_to_impossible_labels_gives_uniform_rows():
    rows = np.array([[0.0, 0.0, 1.0], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(restrict(rows, [0, 1]), [[0.5, 0.5], [0.5, 0.5]])
