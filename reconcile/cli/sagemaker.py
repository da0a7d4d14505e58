"""Commands on what Amazon SageMaker does: ingest, sagemaker train."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 # typer reads annotations
from typing import Annotated

import typer

from reconcile.cli import options  # noqa: TC001 # likewise
from reconcile.cli.exits import FAILED, report_failure
from reconcile.logs import RunLog, printable

app = typer.Typer(help="Train on Amazon SageMaker. (To count there: run --engine sagemaker.)", no_args_is_help=True)


def ingest(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Folder or s3://… with the .out files of a transform job.")
    ],
    out: options.Out = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
) -> None:
    """Take up what a SageMaker transform job counted that others started. Runs with that model count none of it again.

    Each line has to be what `reconcile serve` answers to a key. Ingesting the same files again changes nothing.

    Exit codes: 0 done, 1 failed, or some lines could not be taken, 2 wrong usage.
    """
    from reconcile.config import load_settings

    flags = {"out": out, "endpoint_url": endpoint_url, "region": region, "profile": profile}
    settings = load_settings(flags, need_bucket=False)
    from reconcile.engines.sagemaker.external_ingest import ingest_responses
    from reconcile.locations import as_folder, open_output
    from reconcile.storage.open import open_bucket

    taken = ingest_responses(open_bucket(as_folder(source), settings.s3_access()), open_output(settings, create=True))
    for problem in taken.bad:
        print(f"reconcile: {printable(problem)}", file=sys.stderr)
    if taken.more_bad:
        print(f"reconcile: {taken.more_bad:,} more lines could not be taken", file=sys.stderr)
    for model_id, rows in sorted(taken.rows.items()):
        print(f"{rows:,} photos of model {model_id}, for runs with that model")
    if taken.bad:
        raise typer.Exit(FAILED)


@app.command()
def train(
    data: Annotated[str, typer.Option(help="s3://… with photos and counts, in a layout that `reconcile train` takes.")],
    validation: Annotated[
        str | None, typer.Option(help="s3://… with photos to hold out; else a fold of --data.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="TOML file; the shipped model's by default.", exists=True, dir_okay=False)
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="s3://… for recipe, checkpoints and the trained model.", show_default=False)
    ] = None,
    bring_to: Annotated[Path | None, typer.Option(help="Folder for the trained ONNX files (default: none).")] = None,
    image_uri: options.ImageUri = None,
    role: options.Role = None,
    instance_type: options.InstanceType = None,
    sagemaker_options: options.SagemakerOptions = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
) -> None:
    """Train after a recipe in a SageMaker training job, follow it, and bring the model back.

    Interrupted, the job goes on; the same command takes it up again. After a failure it goes on from the checkpoints.
    """
    from reconcile.config import load_settings

    flags = {
        "out": out,
        "image_uri": image_uri,
        "role": role,
        "instance_type": instance_type,
        "sagemaker_options": sagemaker_options,
        "endpoint_url": endpoint_url,
        "region": region,
        "profile": profile,
    }
    settings = load_settings(flags, need_bucket=False)
    from reconcile.resources import resource
    from reconcile.training.sagemaker_job import train_on_sagemaker

    messages = RunLog(settings.log_format)
    with report_failure(messages):
        chosen = recipe or resource("models", "recipe.toml")
        print(train_on_sagemaker(data, validation, chosen, settings, bring_to, messages))
