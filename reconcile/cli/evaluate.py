"""Command `evaluate`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 # typer reads annotations
from typing import Annotated, Any

from reconcile.cli import options
from reconcile.cli.startup import INTERRUPTED
from reconcile.logs import RunLog


@options.takes(*options.COUNTING)
def evaluate(
    data: Annotated[Path, options.option(options.LABELLED_PHOTOS, options.INPUT)],
    fold: Annotated[
        int | None, options.option("Use only the photos of this fold (default: all photos).", options.INPUT)
    ] = None,
    out: Annotated[
        Path | None, options.option("Folder for evaluation.txt, evaluation.json and evaluation.html.", options.RESULTS)
    ] = None,
    plant: Annotated[
        str | None,
        options.option(
            "Also change this share of the records, such as 8%, and measure how well they are found.",
            options.RESULTS,
            metavar="<percent>",
        ),
    ] = None,
    seed: Annotated[
        int, options.option("Seed for the intervals and the changed records (default: 1).", options.RESULTS, min=0)
    ] = 1,
    **flags: Any,
) -> None:
    """Measure how well the model counts photos with known counts.

    With --plant 8%, the command also measures how well the recount queue finds records that it changed on purpose.
    """
    from reconcile.config import load_settings, parse_rate

    settings = load_settings(flags, need_bucket=False)
    rate = None if plant is None else parse_rate(plant)
    from reconcile.evaluation.run import EvaluationRequest, run_evaluation

    log = RunLog(settings.log_format)
    try:
        print(run_evaluation(EvaluationRequest(data, fold, out, seed, rate), settings, log))
    except KeyboardInterrupt:
        log.error("interrupted; an evaluation keeps no partial results")
        raise SystemExit(INTERRUPTED) from None
