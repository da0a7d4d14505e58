"""Phase 3 of a run: fit the error model, then join, score and rank all bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import fit_error_model
from reconcile.discrepancy.scoring import DiscrepancyScorer
from reconcile.verdicts.outcomes import last_recounts, recounts_for
from reconcile.verdicts.queries import latest_verdicts

if TYPE_CHECKING:
    from reconcile.discrepancy.error_model_fit import FittedErrorModel
    from reconcile.output.summary import Summary
    from reconcile.pipeline.context import RunContext
    from reconcile.pipeline.list_inputs import RunInputs


RECONCILED = "reconciled.parquet"
"""The name of the file with all bins, in the scratch folder and in the folder of the run."""


def reconcile(context: RunContext, inputs: RunInputs, summary: Summary) -> FittedErrorModel:
    """Fit the error model to the recounts so far, then join, score and rank all bins.

    The result is reconciled.parquet in the scratch folder.

    Args:
        context: what the run needs.
        inputs: the tables of the run.
        summary: gets the results of earlier recounts, the class prior and the time of this phase.

    Returns:
        the error model from which the scores were computed.
    """
    settings, card = context.settings, context.engine.model.card
    with summary.timed("reconcile"):
        latest = latest_verdicts(inputs.verdicts, inputs.scratch)
        recounts = recounts_for(card.labels, latest)
        errors = fit_error_model(ErrorModel(rate=settings.record_error_rate), recounts, card.labels)
        scorer = DiscrepancyScorer(card.labels, card.class_prior, errors, settings.tolerance)
        last = last_recounts(summary.bucket, latest)
        summary.recounts = None if last is None else last.as_dict()
        del latest  # frees memory, which the join needs
        class_prior = inputs.reconciler.reconcile(
            inputs.scratch / RECONCILED, scorer, settings.rank_by, settings.stale_after
        )
    summary.mix = None if class_prior is None else [round(float(fraction), 5) for fraction in class_prior]
    summary.class_prior = list(card.class_prior)
    summary.learned_from = 0 if recounts is None else len(recounts.counted)
    return errors
