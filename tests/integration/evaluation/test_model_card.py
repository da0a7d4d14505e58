"""The figures of models/MODEL_CARD.md are what `reconcile evaluate` measures on the photos of `night`.

If they differ, the failure prints the table that the card should have. The figures of the fp16 file come from recorded
probabilities; some photos are counted again to check the recording. The figures of the queue come from the same photos,
which the model never saw, with 8 % of the records altered.
"""

import json
import re
from dataclasses import asdict

import numpy as np
import pytest

from reconcile.config import load_settings
from reconcile.datasets.labelled import fingerprint
from reconcile.evaluation.run import EvaluationRequest, run_evaluation
from reconcile.inference import openvino_cpu
from reconcile.logs import RunLog
from reconcile.metrics.classification import evaluate
from reconcile.resources import resource
from tests.conftest import SHARED, needs_abid
from tests.integration.evaluation.fp16_reference import count_all, fp16_predictor, night_photos, recorded

pytestmark = needs_abid

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
MAX_CHANGED_PHOTOS = 3
"""Processors round differently, which may change the count of a photo with two nearly equal probabilities."""


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    """Evaluate the shipped int8 file with ONNX Runtime, as most CPUs count, and with altered records."""
    out = tmp_path_factory.mktemp("int8")
    settings = load_settings({"model": resource("models", "bin-counter-int8.onnx"), "device": "cpu"}, need_bucket=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino_cpu, "is_available", lambda: False)
        request = EvaluationRequest(SHARED / "night", out=out, error_rate=0.08)
        run_evaluation(request, settings, RunLog("text"))
    return json.loads((out / "evaluation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured(int8):
    """Return the evaluation of both files."""
    photos, predictor = night_photos(), fp16_predictor()
    counts, squashed = [photo.count for photo in photos], [photo.squashed for photo in photos]
    fp16 = evaluate(recorded().probabilities, counts, predictor.card.labels, squashed, seed=1)
    return {"int8": int8["evaluation"], "fp16": asdict(fp16)}


@pytest.fixture(scope="module")
def benchmark(int8):
    """Return the benchmark of the queue, by kind of errors."""
    return {errors["name"]: errors for errors in int8["planted"]["errors"]}


def percentage(estimate):
    return f"{estimate['value']:.1%} ({100 * estimate['low']:.1f} – {100 * estimate['high']:.1f})"


def items(estimate):
    return f"{estimate['value']:.2f} ({estimate['low']:.2f} – {estimate['high']:.2f})"


def measured_tables(evaluation):
    """Return the measured part of the card as it should be."""
    lines = [
        "| labels to choose from | photos | agrees with the record | RMSE in items | at most one off |",
        "| --- | --- | --- | --- | --- |",
    ]
    for protocol in evaluation["protocols"]:
        figures = (
            f"{protocol['photos']:,}",
            percentage(protocol["accuracy"]),
            items(protocol["rmse"]),
            f"{protocol['within_one']:.1%}",
        )
        lines.append(f"| {protocol['name']} | {' | '.join(figures)} |")
    lines += ["", "| on record | photos | agrees | RMSE | agrees, labels 0 to 5 only | RMSE |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    restricted = {one["label"]: one for one in evaluation["protocols"][1]["classes"]}
    for one in evaluation["protocols"][0]["classes"]:
        cells = [one["label"], f"{one['photos']:,}", percentage(one["accuracy"]), f"{one['rmse']:.2f}"]
        other = restricted.get(one["label"])
        cells += [percentage(other["accuracy"]), f"{other['rmse']:.2f}"] if other else ["–", "–"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| photos | number | agrees with the record | RMSE |", "| --- | --- | --- | --- |"]
    for one in evaluation["origins"]:
        name = "resized to 224 x 224" if one["squashed"] else "in their original proportions"
        lines.append(f"| {name} | {one['photos']:,} | {percentage(one['accuracy'])} | {items(one['rmse'])} |")
    for percent in (50, 20):
        one = evaluation["coverage"][percent - 1]
        lines.append(f"| the most certain {percent}% | {one['photos']:,} | {percentage(one['accuracy'])} | – |")
    calibration = evaluation["calibration"]
    unbiased = calibration["without_chance"]
    lines += [
        "",
        f"Expected calibration error: {calibration['expected_error']:.3f} (15 bins of equal width); mean −ln P: "
        f"{calibration['negative_log_likelihood']:.3f}; Brier score: {calibration['brier']:.3f}.",
        f"True probabilities would have a calibration error of {calibration['by_chance']:.3f} on average with as many "
        f"photos, and at most {calibration['by_chance_at_most']:.3f} in 95 of 100 cases.",
        f"Unbiased root mean square calibration error: {unbiased['value']:.3f} ({unbiased['low']:.3f} – "
        f"{unbiased['high']:.3f}).",
    ]
    return "\n".join(lines)


def measured_part(card, precision):
    match = re.search(rf"<!-- measured: {precision} -->\n(.*?)\n<!-- end -->", card, re.DOTALL)
    assert match, f"the card has no figures of {precision}"
    return match[1]


def differences(claimed, measured):
    """Return the lines whose numbers differ by more than a few changed photos explain."""
    different = []
    for ours, theirs in zip(claimed.splitlines(), measured.splitlines(), strict=True):
        own, other = ([float(number.replace(",", "")) for number in NUMBER.findall(line)] for line in (ours, theirs))
        photos = max([number for number in other if number == int(number)], default=1401)
        for one, two in zip(own, other, strict=len(own) == len(other)):
            # Tolerances: a few photos for a percentage, 0.06 for an RMSE in items, 0.006 for numbers up to 0.1.
            allowed = 100 * MAX_CHANGED_PHOTOS / photos + 0.06 if two > 10 else 0.06 if two > 0.1 else 0.006
            if ours.startswith("Unbiased root mean square"):
                allowed = 0.02  # the root of a difference of two larger numbers
            if abs(one - two) > allowed:
                different.append(f"claimed:  {ours}\nmeasured: {theirs}")
                break
        if NUMBER.sub("#", ours) != NUMBER.sub("#", theirs):
            different.append(f"claimed:  {ours}\nmeasured: {theirs}")
    return different


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_model_card_has_the_measured_figures(measured, precision):
    card = resource("models", "MODEL_CARD.md").read_text(encoding="utf-8")
    expected = measured_tables(measured[precision])
    claimed = measured_part(card, precision)
    assert claimed.count("\n") == expected.count("\n"), f"the card should contain:\n{expected}"
    assert not differences(claimed, expected), f"the card should contain:\n{expected}"


def test_fp16_file_agrees_with_the_recorded_probabilities():
    """Count every tenth photo again."""
    kept, photos, predictor = recorded(), night_photos(), fp16_predictor()
    advice = "record it again: python -m tests.integration.evaluation.fp16_reference"
    assert (kept.model_id, kept.data_fingerprint) == (predictor.model_id, fingerprint(photos)), advice
    counted, expected = count_all(predictor, photos[::10]), kept.probabilities[::10]
    np.testing.assert_allclose(counted, expected, atol=0.01, err_msg=advice)


def test_int8_and_fp16_have_about_the_same_accuracy(measured):
    accuracies = [measured[precision]["protocols"][0]["accuracy"]["value"] for precision in ("int8", "fp16")]
    assert abs(accuracies[0] - accuracies[1]) <= 0.01


def test_check_of_the_card_finds_differences():
    lines = "| all labels | 1,401 | 41.9% (39.3 – 44.5) | 1.69 (1.62 – 1.77) | 67.7% |"
    assert not differences(lines, lines.replace("41.9", "42.0"))
    assert differences(lines, lines.replace("41.9", "42.9"))
    assert differences(lines, lines.replace("1.69", "1.79"))
    assert differences("error 0.021 (15 bins)", "error 0.031 (15 bins)")
    assert differences(lines, lines.replace("1,401", "1,400").replace("all", "most"))


def test_p_wrong_finds_slips_better_than_all_baselines(benchmark):
    ours, *baselines = benchmark["slips"]["methods"]
    assert all(baseline["average_precision"]["value"] < ours["average_precision"]["value"] for baseline in baselines)
    assert all(baseline["lead"]["low"] > 0 for baseline in baselines)
    assert ours["first"][2]["lift"]["value"] >= 5


def test_p_wrong_matches_self_confidence_on_uniform_errors(benchmark):
    leads = {method["name"]: method["lead"] for method in benchmark["uniform"]["methods"][1:]}
    assert leads["self-confidence"]["value"] > -0.015
    assert leads["normalized margin"]["low"] > 0
    assert leads["disagreement"]["low"] > 0


def test_predicted_number_is_in_the_range_of_one_run(benchmark):
    for number in benchmark["slips"]["numbers"]:
        low, high = number["one_night"]
        assert low <= number["predicted"] <= high


def test_predicted_number_is_in_the_interval_of_many_runs(benchmark):
    for number in benchmark["slips"]["numbers"]:
        assert number["found"]["low"] <= number["predicted"] <= number["found"]["high"]
