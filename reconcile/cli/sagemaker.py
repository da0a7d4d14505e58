"""Commands `ingest` and `sagemaker train`."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 # typer reads annotations
from typing import Annotated, Any

import typer

from reconcile.cli import options
from reconcile.cli.exits import FAILED, report_failure
from reconcile.cli.help import App
from reconcile.logs import RunLog, printable

app = App(help="Train on Amazon SageMaker. To count there, use `reconcile run --engine sagemaker`.")


@options.takes(*options.OUTPUT)
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder or s3://name/prefix with the .out files of a SageMaker transform job."
        ),
    ],
    **flags: Any,
) -> None:
    """Import the counts of a SageMaker transform job that was started elsewhere.

    Later runs with the same model do not count these photos again. Importing the same files again changes nothing.

    Each line of the files must be a response of `reconcile serve` to a key. Invalid lines are listed by number.

    Exit codes: 0 done, 1 failed or some lines are invalid, 2 wrong usage.
    """
    from reconcile.config import load_settings

    settings = load_settings(flags, need_bucket=False)
    from reconcile.engines.sagemaker.external_ingest import ingest_responses
    from reconcile.locations import as_folder, open_output
    from reconcile.storage.open import open_bucket

    result = ingest_responses(open_bucket(as_folder(source), settings.s3_access()), open_output(settings, create=True))
    for problem in result.invalid_lines:
        print(f"reconcile: {printable(problem)}", file=sys.stderr)
    if result.more_invalid:
        print(f"reconcile: {result.more_invalid:,} more lines are invalid", file=sys.stderr)
    for model_id, photos in sorted(result.rows.items()):
        print(f"imported counts of {photos:,} photos by model {model_id}")
    if result.invalid_lines:
        raise typer.Exit(FAILED)


@app.command()
@options.takes("image_uri", "role", "instance_type", "sagemaker_options", *options.S3)
def train(
    data: Annotated[
        str, typer.Option(help="s3://name/prefix of photos with known counts, in a layout of `reconcile train`.")
    ],
    validation: Annotated[
        str | None, typer.Option(help="s3://name/prefix of photos for validation only (default: a fold of --data).")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help=options.RECIPE, exists=True, dir_okay=False)] = None,
    out: Annotated[
        str | None,
        typer.Option(help="s3://name/prefix for the recipe, checkpoints and the trained model.", show_default=False),
    ] = None,
    bring_to: Annotated[
        Path | None, typer.Option(help="Folder to download the trained ONNX files to (default: no download).")
    ] = None,
    **flags: Any,
) -> None:
    """Train a model in a SageMaker training job, and wait for it.

    If you interrupt the command, the job continues; run the same command again to wait for it.
    If a job failed or was stopped, the same command starts another, which continues from its checkpoints.
    """
    from reconcile.config import load_settings

    settings = load_settings(flags | {"out": out}, need_bucket=False)
    from reconcile.resources import resource
    from reconcile.training.sagemaker_job import train_on_sagemaker

    log = RunLog(settings.log_format)
    with report_failure(log):
        recipe_file = recipe or resource("models", "recipe.toml")
        print(train_on_sagemaker(data, validation, recipe_file, settings, bring_to, log))
