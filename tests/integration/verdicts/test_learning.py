"""The error model that a run learns from recounts."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import fit_error_model
from reconcile.discrepancy.label_shift import adjust_for_prior
from reconcile.discrepancy.posterior import p_wrong, posterior
from reconcile.labels import CountLabels
from reconcile.verdicts.outcomes import last_recounts, recounts_for
from reconcile.verdicts.queries import latest_verdicts
from tests.conftest import reconcile, write_bucket
from tests.integration.verdicts.verdict_helpers import fill_in_counts, import_file, queued_bins, read_results


def test_recounts_change_the_estimated_record_error_rate(grey_model, tmp_path):
    """Recount 200 bins. 40 photos disagree with their records, and all recounts agree with either photos or records."""
    bins = {f"{n:03d}": (2, 3 if n % 5 == 0 else 2) for n in range(200)}
    bucket = write_bucket(tmp_path / "many", bins)
    arguments = ["run", "--bucket", bucket, "--model", grey_model]
    assert reconcile(*arguments, "--out", "first", "--run-id", "n1", "--capacity", 200).returncode == 0
    rates = {}
    for truth in ("as in the photo", "as on record"):
        out = truth.replace(" ", "-")
        shutil.copytree("first", out)
        counts = {name: photo if truth == "as in the photo" else record for name, (photo, record) in bins.items()}
        fill_in_counts("n1", counts, out=out)
        import_file("filled.csv", out=out)
        assert reconcile(*arguments, "--out", out, "--run-id", "n2").returncode == 0
        rows, summary = read_results(out, "n2")
        assert queued_bins(rows) == []
        assert summary["recounts"]["wrong"] == (40 if truth == "as in the photo" else 0)
        assert summary["record_accuracy"]["value"] == pytest.approx(0.8 if truth == "as in the photo" else 1)
        rates[truth] = summary["record_error_rate"]
    assert rates["as on record"] < 0.03 < rates["as in the photo"]


def test_learned_error_rate_is_accurate_after_a_prior_correction(tmp_path):
    """Fit the error model to recounts of a run whose probabilities were adjusted to another class prior."""
    rng = np.random.default_rng(8)
    labels = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))
    prior, class_prior, rate = np.full(7, 1 / 7), np.array([0.02, 0.4, 0.3, 0.1, 0.08, 0.05, 0.05]), 0.05
    truth = rng.choice(7, p=class_prior, size=6000)
    likelihoods = np.exp(-0.5 * (np.arange(7)[None] - truth[:, None] - rng.normal(0, 0.9, (6000, 1))) ** 2 / 0.81)
    photo = (likelihoods * prior / (likelihoods * prior).sum(axis=1, keepdims=True)).astype(np.float32)
    wrong = rng.random(6000) < rate
    record = np.where(wrong, np.clip(truth + rng.choice([-1, 1], 6000), 0, 6), truth)
    scored = posterior(adjust_for_prior(photo, prior, class_prior), record, labels, ErrorModel(0.03))
    p = p_wrong(scored, record)
    folder = tmp_path / "out" / "runs" / "n1"
    folder.mkdir(parents=True)
    rows = pd.DataFrame({"bin_id": [f"{n:05d}" for n in range(6000)], "expected_quantity": record, "p_wrong": p})
    rows = rows.assign(image_key=rows["bin_id"], image_etag="e", status="match", probabilities=list(photo))
    rows.to_parquet(folder / "reconciled.parquet")
    summary = {
        "labels": labels.names,
        "bucket": "b",
        "started_at": "t",
        "mix": class_prior.tolist(),
        "class_prior": prior.tolist(),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    recounted = np.argsort(-p)[:1200]
    verdicts = pd.DataFrame({"bin_id": rows["bin_id"][recounted], "run_id": "n1", "true_count": truth[recounted]})
    verdicts.to_csv("v.csv", index=False)
    assert import_file("v.csv").startswith("1,200 verdicts imported")

    parts = [str(path) for path in (tmp_path / "out" / "verdicts").iterdir()]
    latest = latest_verdicts(parts, tmp_path)
    fit = fit_error_model(ErrorModel(0.03), recounts_for(labels, latest), labels)
    true_rate = (record != truth).mean()
    assert fit.model.rate == pytest.approx(true_rate, rel=0.25)
    last = last_recounts("b", latest)
    assert (last.recounted, last.wrong) == (1200, (record != truth)[recounted].sum())
    assert last_recounts("another bucket", latest) is None
