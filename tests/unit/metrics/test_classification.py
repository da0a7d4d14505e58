"""The figures of an evaluation against versions written photo by photo, and against cases done by hand."""

import json
import math
import tracemalloc

import numpy as np
import pytest

from reconcile.errors import ReconcileError
from reconcile.labels import CountLabels
from reconcile.metrics.calibration import (
    brier_score,
    debiased_rms_calibration_error,
    ece_if_calibrated,
    negative_log_likelihood,
    reliability,
    risk_coverage,
)
from reconcile.metrics.classification import evaluate, restrict
from reconcile.metrics.intervals import bootstrap, wilson

SEVEN = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))


@pytest.fixture(scope="module")
def many():
    """300 photos of a model that is right about every other time: probabilities, counts, squashed."""
    rng = np.random.default_rng(11)
    counts = rng.integers(0, 12, size=300)
    shares = rng.dirichlet(np.full(7, 0.6), size=300)
    for row, count in zip(shares[::2], counts[::2], strict=True):
        row[min(count, 6)] += 1.5
    shares /= shares.sum(axis=1, keepdims=True)
    return (
        shares.astype(np.float32),
        counts.tolist(),
        [None if place % 5 == 0 else place % 3 == 0 for place in range(300)],
    )


@pytest.fixture(scope="module")
def found(many):
    return evaluate(many[0], many[1], SEVEN, many[2], seed=1)


def sure(*labels, of=7, certainty=0.9):
    """One row a photo: the model is that certain of the label at that place."""
    rows = np.full((len(labels), of), (1 - certainty) / (of - 1))
    rows[np.arange(len(labels)), labels] = certainty
    return rows


def by_hand(many, first, last):
    """Errors in items, photo by photo, asked only among the counts first to last; 6 stands for 6+."""
    errors = []
    for shares, count in zip(many[0].tolist(), many[1], strict=True):
        on_record = min(count, 6)
        if first <= on_record <= last:
            counted = max(range(first, last + 1), key=lambda label, row=shares: row[label])
            errors.append((on_record, counted - on_record, shares[counted] / sum(shares[first : last + 1])))
    return errors


@pytest.mark.parametrize(("place", "first", "last"), [(0, 0, 6), (1, 0, 5), (2, 1, 5)])
def test_each_protocol_agrees_with_counting_photo_by_photo(many, found, place, first, last):
    protocol, errors = found.protocols[place], by_hand(many, first, last)
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
        inside = [(share, error == 0) for _, error, share in errors if edge / 15 < share <= (edge + 1) / 15]
        gap += abs(sum(share for share, _ in inside) - sum(right for _, right in inside)) / len(errors)
    assert protocol.calibration_error == pytest.approx(gap)


def test_confusion_and_precision_agree_with_counting_photo_by_photo(many, found):
    pairs = [(min(count, 6), row.index(max(row))) for row, count in zip(many[0].tolist(), many[1], strict=True)]
    for on_record in range(7):
        for counted in range(7):
            assert found.confusion[on_record][counted] == pairs.count((on_record, counted))
    for counted, said in enumerate(found.said):
        own = [on_record for on_record, label in pairs if label == counted]
        assert said.photos == len(own)
        assert said.precision.value == pytest.approx(own.count(counted) / len(own))


def test_scores_of_all_probabilities_agree_with_their_sums(many, found):
    loss = brier = 0.0
    for row, count in zip(many[0].tolist(), many[1], strict=True):
        loss -= math.log(row[min(count, 6)]) / 300
        brier += sum((share - (label == min(count, 6))) ** 2 for label, share in enumerate(row)) / 300
    assert found.calibration.negative_log_likelihood == pytest.approx(loss)
    assert found.calibration.brier == pytest.approx(brier)


def test_reliability_bins_hold_every_photo_once(many, found):
    bins = found.calibration.bins
    assert sum(row.photos for row in bins) == found.photos == 300
    assert all(row.low < row.probability <= row.high for row in bins if row.photos)
    assert sum(row.photos * row.accuracy.value for row in bins if row.photos) == pytest.approx(
        300 * found.protocols[0].accuracy.value
    )
    assert found.calibration.expected_error == found.protocols[0].calibration_error


def test_a_model_that_says_what_it_does_is_calibrated():
    """Nine of ten right at 90 %, and the calibration error is none; all wrong, and it is 90 %."""
    honest = evaluate(sure(*[1] * 10), [1] * 9 + [2], SEVEN, [None] * 10, seed=1)
    assert honest.calibration.expected_error == pytest.approx(0)
    wrong = evaluate(sure(*[1] * 10), [2] * 10, SEVEN, [None] * 10, seed=1)
    assert wrong.calibration.expected_error == pytest.approx(0.9)


def test_so_few_photos_are_off_by_chance_alone():
    """The share of heads among n throws is off by √(1/4n) √(2/π) on average, by 1.96 √(1/4n) at most in 95 of 100."""
    for throws in (100, 2500):
        spread = (1 / (4 * throws)) ** 0.5
        mean, most = ece_if_calibrated(np.full(throws, 0.5))
        assert mean == pytest.approx(spread * (2 / np.pi) ** 0.5, rel=0.1)
        assert most == pytest.approx(1.96 * spread, rel=0.1)


@pytest.mark.parametrize("stray", [0.0, 0.05, 0.2])
def test_the_error_without_chance_is_the_models_own(stray):
    """Two hundred times 300 photos, each right a bit less often than is said: that bit comes out, and 0 of none."""
    rng = np.random.default_rng(0)
    said = rng.uniform(0.3, 0.9, 300)
    found = [
        debiased_rms_calibration_error(reliability(said, rng.random(300) < said - stray), rng) for _ in range(200)
    ]  # fmt: skip
    assert np.median([one.value for one in found]) == pytest.approx(stray, abs=0.01)
    assert np.mean([one.low <= stray <= one.high for one in found]) >= 0.93
    # What is told beside it is mostly chance: so many photos of true probabilities are 7 points off.
    assert ece_if_calibrated(said)[0] > 0.05


def test_one_photo_says_nothing_of_calibration_without_chance():
    assert evaluate(sure(1), [1], SEVEN, [None], seed=1).calibration.without_chance is None


def test_accuracy_at_each_coverage_agrees_with_taking_the_best_photos_one_by_one(many, found):
    ranked = sorted(
        (
            (max(row), row.index(max(row)) == min(count, 6))
            for row, count in zip(many[0].tolist(), many[1], strict=True)
        ),
        key=lambda pair: -pair[0],
    )
    assert [point.photos for point in found.coverage] == [3 * percent for percent in range(1, 101)]
    for point in found.coverage:
        kept = ranked[: point.photos]
        assert point.least_probability == pytest.approx(kept[-1][0])
        assert point.accuracy.value == pytest.approx(sum(right for _, right in kept) / len(kept))
    assert found.coverage[-1].accuracy.value == pytest.approx(found.protocols[0].accuracy.value)


def test_original_and_squashed_photos_are_told_apart(many, found):
    original, squashed = found.origins
    assert (original.squashed, squashed.squashed) == (False, True)
    for origin in found.origins:
        chosen = [place for place, value in enumerate(many[2]) if value is origin.squashed]
        own = by_hand((many[0][chosen], [many[1][place] for place in chosen]), 0, 6)
        assert origin.photos == len(chosen) > 50
        assert origin.accuracy.value == pytest.approx(sum(error == 0 for _, error, _ in own) / len(chosen))
        assert origin.rmse.value == pytest.approx(math.sqrt(sum(error**2 for _, error, _ in own) / len(chosen)))


def test_a_bootstrap_interval_is_that_of_drawing_photos_one_by_one():
    rng = np.random.default_rng(5)
    errors = rng.choice([-2, -1, 0, 0, 0, 1, 3], size=80)
    drawn = [errors[rng.integers(0, 80, size=80)] for _ in range(4000)]
    accuracy, rmse = bootstrap(errors, np.random.default_rng(1))
    expected = np.percentile([(sample == 0).mean() for sample in drawn], [2.5, 97.5])
    np.testing.assert_allclose([accuracy.low, accuracy.high], expected, atol=0.02)
    expected = np.percentile([math.sqrt((sample**2).mean()) for sample in drawn], [2.5, 97.5])
    np.testing.assert_allclose([rmse.low, rmse.high], expected, atol=0.04)
    assert accuracy.low < accuracy.value < accuracy.high
    assert rmse.low < rmse.value < rmse.high


def test_a_bootstrap_of_100_000_photos_needs_little_memory():
    errors = np.random.default_rng(2).integers(-6, 7, size=100_000)
    tracemalloc.start()
    bootstrap(errors, np.random.default_rng(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_the_seed_alone_decides_the_intervals(many, found):
    assert evaluate(many[0], many[1], SEVEN, many[2], seed=1) == found
    other = evaluate(many[0], many[1], SEVEN, many[2], seed=2)
    assert other.protocols[0].accuracy != found.protocols[0].accuracy
    assert other.protocols[0].accuracy.value == found.protocols[0].accuracy.value


def test_wilson_intervals():
    """8 of 10 and 0 of 20 as in tables; the limits of none and of all right are exact."""
    eight = wilson(8, 10)
    assert (eight.value, round(eight.low, 4), round(eight.high, 4)) == (0.8, 0.4902, 0.9433)
    none = wilson(0, 20)
    assert (none.value, none.low, round(none.high, 4)) == (0, 0, 0.1611)
    assert wilson(20, 20).high == 1
    assert wilson(0, 0) is None


def test_four_photos_by_hand():
    """On record 1, 2, 9 (6+) and 4; counted 1, 4, 6+ and 6+."""
    found = evaluate(sure(1, 4, 6, 6), [1, 2, 9, 4], SEVEN, [None, True, None, True], seed=3)
    whole = found.protocols[0]
    assert (whole.photos, whole.accuracy.value, whole.within_one) == (4, 0.5, 0.5)
    assert whole.rmse.value == pytest.approx(math.sqrt((0 + 4 + 0 + 4) / 4))
    # Asked among 0 to 5 only, what was 6+ is whichever of equally likely counts comes first.
    small = found.protocols[1]
    assert small.photos == 3
    assert small.accuracy.value == pytest.approx(1 / 3)
    assert small.rmse.value == pytest.approx(math.sqrt((0 + 4 + 16) / 3))
    assert [result.photos for result in small.classes] == [0, 1, 1, 0, 1, 0]
    assert [said.photos for said in found.said] == [0, 1, 0, 0, 1, 0, 2]
    assert [said.precision and said.precision.value for said in found.said] == [None, 1, None, None, 0, None, 0.5]
    assert [(origin.squashed, origin.photos, origin.accuracy.value) for origin in found.origins] == [(True, 2, 0)]


def test_one_photo_is_enough():
    found = evaluate(sure(3), [3], SEVEN, [None], seed=1)
    assert found.protocols[0].accuracy.value == 1
    assert {point.photos for point in found.coverage} == {1}
    assert found.origins == ()
    empty = found.protocols[0].classes[0]
    assert (empty.photos, empty.accuracy, empty.rmse, empty.within_one) == (0, None, None, None)
    json.dumps(found.as_dict(), allow_nan=False)


def test_counts_that_no_label_covers_are_left_out_and_counted():
    labels = CountLabels(("1", "2", "3"))
    found = evaluate(sure(0, 1, 2, 2, of=3), [1, 0, 4, 3], labels, [False] * 4, seed=1)
    assert (found.photos, found.not_covered) == (2, 2)
    assert found.protocols[0].accuracy.value == 1
    with pytest.raises(ReconcileError, match="1, 2, 3"):
        evaluate(sure(0, of=3), [8], labels, [None], seed=1)


@pytest.mark.parametrize(
    ("names", "counts", "asked", "left_out"),
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
def test_only_protocols_that_say_something_of_their_own(names, counts, asked, left_out):
    labels = CountLabels(names)
    found = evaluate(sure(0, 1, of=len(names)), counts, labels, [None, None], seed=1)
    assert [protocol.name for protocol in found.protocols] == asked
    assert {protocol.name: protocol.reason for protocol in found.left_out_protocols} == left_out


def test_photos_ruled_out_to_the_last_bit_do_not_break_the_figures():
    rows = np.array([[0.0, 0.0, 1.0], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(restrict(rows, [0, 1]), [[0.5, 0.5], [0.5, 0.5]])
    impossible = negative_log_likelihood(rows, np.array([0, 2]))
    assert 40 < impossible < 50
    assert brier_score(rows, np.array([0, 2])) == pytest.approx((2 + 0.375) / 2)


def test_coverage_takes_at_least_one_photo_and_keeps_the_order_of_equals():
    points = risk_coverage(np.array([0.5, 0.5, 0.9]), np.array([True, False, False]))
    assert (points[0].photos, points[0].accuracy.value) == (1, 0)
    assert (points[65].photos, points[65].accuracy.value) == (2, 0.5)
    assert (points[99].photos, points[99].least_probability) == (3, 0.5)
