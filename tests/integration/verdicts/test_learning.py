"""What recounts teach of how many records are wrong."""

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
from tests.integration.verdicts.warehouse import fill_in, queue, results, taken


def test_recounts_teach_how_many_records_are_wrong(grey_model, tmp_path):
    """Photos that disagree with one record in five, and people who find them all right or all wrong."""
    bins = {f"{n:03d}": (2, 3 if n % 5 == 0 else 2) for n in range(200)}
    bucket = write_bucket(tmp_path / "many", bins)
    arguments = ["run", "--bucket", bucket, "--model", grey_model]
    assert reconcile(*arguments, "--out", "first", "--run-id", "n1", "--capacity", 200).returncode == 0
    rates = {}
    for found in ("as in the photo", "as on record"):
        out = found.replace(" ", "-")
        shutil.copytree("first", out)
        counts = {name: seen if found == "as in the photo" else record for name, (seen, record) in bins.items()}
        fill_in("n1", counts, out=out)
        taken("filled.csv", out=out)
        assert reconcile(*arguments, "--out", out, "--run-id", "n2").returncode == 0
        rows, summary = results(out, "n2")
        assert queue(rows) == []
        assert summary["recounts"]["wrong"] == (40 if found == "as in the photo" else 0)
        assert summary["record_accuracy"]["value"] == pytest.approx(0.8 if found == "as in the photo" else 1)
        rates[found] = summary["record_error_rate"]
    assert rates["as on record"] < 0.03 < rates["as in the photo"]


def test_what_a_night_with_another_mix_teaches_is_what_it_was_judged_by(tmp_path):
    """Recounts of a night whose probabilities were corrected must not make records look wrong more often."""
    rng = np.random.default_rng(8)
    labels = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))
    prior, mix, rate = np.full(7, 1 / 7), np.array([0.02, 0.4, 0.3, 0.1, 0.08, 0.05, 0.05]), 0.05
    truth = rng.choice(7, p=mix, size=6000)
    likelihoods = np.exp(-0.5 * (np.arange(7)[None] - truth[:, None] - rng.normal(0, 0.9, (6000, 1))) ** 2 / 0.81)
    photo = (likelihoods * prior / (likelihoods * prior).sum(axis=1, keepdims=True)).astype(np.float32)
    wrong = rng.random(6000) < rate
    record = np.where(wrong, np.clip(truth + rng.choice([-1, 1], 6000), 0, 6), truth)
    judged = posterior(adjust_for_prior(photo, prior, mix), record, labels, ErrorModel(0.03))
    p = p_wrong(judged, record)
    run = tmp_path / "out" / "runs" / "n1"
    run.mkdir(parents=True)
    night = pd.DataFrame({"bin_id": [f"{n:05d}" for n in range(6000)], "expected_quantity": record, "p_wrong": p})
    night = night.assign(image_key=night["bin_id"], image_etag="e", status="match", probabilities=list(photo))
    night.to_parquet(run / "reconciled.parquet")
    summary = {
        "labels": labels.names,
        "bucket": "b",
        "started_at": "t",
        "mix": mix.tolist(),
        "class_prior": prior.tolist(),
    }
    (run / "summary.json").write_text(json.dumps(summary))
    first = np.argsort(-p)[:1200]
    found = pd.DataFrame({"bin_id": night["bin_id"][first], "run_id": "n1", "true_count": truth[first]})
    found.to_csv("v.csv", index=False)
    assert taken("v.csv").startswith("1,200 verdicts taken")

    parts = [str(path) for path in (tmp_path / "out" / "verdicts").iterdir()]
    latest = latest_verdicts(parts, tmp_path)
    learned = fit_error_model(ErrorModel(0.03), recounts_for(labels, latest), labels)
    actual = (record != truth).mean()
    assert learned.model.rate == pytest.approx(actual, rel=0.25)
    last = last_recounts("b", latest)
    assert (last.recounted, last.wrong) == (1200, (record != truth)[first].sum())
    assert last_recounts("another bucket", latest) is None
