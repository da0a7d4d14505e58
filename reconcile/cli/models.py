"""Commands of whoever makes the model: train, tune, export, evaluate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from reconcile.cli import options
from reconcile.cli.exits import INTERRUPTED, report_failure
from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError, UsageError
from reconcile.inference.precision import Precision
from reconcile.logs import RunLog

FROM_SAGEMAKER = "Environment variables are those that SageMaker sets."


def _channel(*names: str) -> Path | None:
    """Where SageMaker puts the photos. SM_CHANNEL_… are set by its training toolkit, which few images have."""
    folders = [Path(os.environ.get("SM_INPUT_DIR", "/opt/ml/input"), "data", name) for name in names]
    return next((folder for folder in folders if folder.is_dir()), None)


def _training_channel() -> Path:
    found = _channel("train", "training")
    if found is None:
        raise UsageError("--data is missing (or SM_CHANNEL_TRAIN): a folder of photos with counts")
    return found


_Data = Annotated[
    Path,
    typer.Option(
        help="Photos with counts: labels.csv, or bin-images/ and metadata/, or one folder a count.",
        envvar=["SM_CHANNEL_TRAIN", "SM_CHANNEL_TRAINING"],
        default_factory=_training_channel,
        show_default=False,
        exists=True,
        file_okay=False,
    ),
]
_Validation = Annotated[
    Path | None,
    typer.Option(
        help="Photos to hold out, in a folder of their own; else a fold of --data.",
        envvar="SM_CHANNEL_VALIDATION",
        default_factory=lambda: _channel("validation"),
        show_default=False,
        exists=True,
        file_okay=False,
    ),
]
_Recipe = Annotated[
    Path | None, typer.Option(help="TOML file; the shipped model's by default.", exists=True, dir_okay=False)
]
_SAGEMAKER_CHECKPOINTS = Path("/opt/ml/checkpoints")
"""What SageMaker keeps of a training job that it interrupts."""


def train(
    data: _Data,
    validation: _Validation,
    recipe: _Recipe = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Checkpoints and metrics go here (default: training, or {_SAGEMAKER_CHECKPOINTS})."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Decoded photos go here (default: cache, in --out).")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in --out.")] = True,
    export_to: Annotated[
        Path | None,
        typer.Option(help="Also write the trained model as int8 and fp16 ONNX here.", envvar="SM_MODEL_DIR"),
    ] = None,
) -> None:
    """Train a ResNet34 after a recipe. Needs the extra `train`.

    On several GPUs: torchrun --nproc-per-node gpu --no-python reconcile train --data DIR
    """
    _need_training_extra()
    from tempfile import gettempdir

    from reconcile.resources import resource
    from reconcile.training.recipe import read_recipe

    recipe = recipe or _sent_recipe() or resource("models", "recipe.toml")
    read = read_recipe(recipe)
    messages = RunLog("text")
    if out is None and _SAGEMAKER_CHECKPOINTS.is_dir():
        # What lies there is copied to S3 all the time, which is no place for a cache.
        out, cache = _SAGEMAKER_CHECKPOINTS, cache or Path(gettempdir(), "reconcile-cache")
    out = out or Path("training")
    from reconcile.training.checkpoint import LAST
    from reconcile.training.export import export
    from reconcile.training.train import train

    start = None if resume and (out / LAST).exists() else _start(recipe, read.start_from)

    with report_failure(messages):
        best = train(data, read, out, messages, validation=validation, start=start, cache=cache, resume=resume)
        if os.environ.get("RANK", "0") != "0":
            return
        print(f"best checkpoint: {best}")
        if export_to:
            cancellation.raise_if_cancelled()  # somebody may have asked while the last checkpoint was written
            files = {kept: export_to / f"bin-counter-{kept}.onnx" for kept in (Precision.INT8, Precision.FP16)}
            export(best, data, files, messages.info, validation=validation, cache=cache)


def _start(recipe: Path, start_from: str | None) -> Path | None:
    """The model that a recipe starts from. A training that goes on needs none: its checkpoint has been further.

    Raises:
        UsageError: it is not there, which is better said before an hour of reading photos.
    """
    if not start_from:
        return None
    start = recipe.parent / start_from
    if not start.is_file():
        raise UsageError(f"{recipe}: start_from: there is no {start.absolute()}; the path is seen from the recipe")
    return start


def tune(
    data: _Data,
    validation: _Validation,
    recipe: _Recipe = None,
    trials: Annotated[int, typer.Option(help="How many trainings there are to be in all.", min=1)] = 20,
    out: Annotated[Path, typer.Option(help="The study and the best recipe go here.")] = Path("tuning"),
) -> None:
    """Search learning rate, batch size and the like with Optuna; ends in a recipe. Needs the extra `train`.

    Run again, it goes on. Its stages decide how long one trial takes.
    """
    _need_training_extra()
    from reconcile.resources import resource
    from reconcile.training.recipe import read_recipe
    from reconcile.training.tune import tune

    recipe = recipe or resource("models", "recipe.toml")
    read = read_recipe(recipe)
    start = _start(recipe, read.start_from)
    messages = RunLog("text")
    with report_failure(messages):
        best = tune(data, read, out, trials, messages, validation=validation, start=start)
    print(f"best recipe: {best}")


def export(
    checkpoint: Annotated[Path, typer.Option(help="best.pt of a training.", exists=True, dir_okay=False)],
    data: Annotated[Path, typer.Option(help="The photos it was trained on.", exists=True, file_okay=False)],
    destination: Annotated[Path, typer.Option("--to", help="The ONNX file to write.")],
    validation: _Validation,
    precision: Annotated[
        Precision, typer.Option(help="int8 is for CPUs, fp16 for GPUs, fp32 for comparison.")
    ] = Precision.INT8,
    input_size: Annotated[
        int | None, typer.Option(help="Pixels; smaller counts faster (default: as trained).", min=32)
    ] = None,
) -> None:
    """Calibrate a trained checkpoint and write it as an ONNX file for `reconcile run --model`."""
    _need_training_extra()
    from reconcile.training.export import export

    messages = RunLog("text")
    with report_failure(messages):
        export(checkpoint, data, {precision: destination}, messages.info, validation=validation, size=input_size)


def evaluate(
    data: Annotated[
        Path,
        options.option(
            "Photos with counts: labels.csv, or bin-images/ and metadata/, or one folder a count.", options.WHERE
        ),
    ],
    fold: Annotated[int | None, options.option("Only the photos of this fold (default: all).", options.WHERE)] = None,
    model: options.Model = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    out: Annotated[
        Path | None, options.option("Folder for evaluation.txt, evaluation.json and evaluation.html.", options.WHEN)
    ] = None,
    plant: Annotated[
        str | None,
        options.option(
            "Also alter this share of the records, such as 8%, and see how well they are found.", options.WHEN
        ),
    ] = None,
    seed: Annotated[int, options.option("Of intervals and altered records (default: 1).", options.WHEN, min=0)] = 1,
) -> None:
    """Count photos whose count is on record, and say how good the model is.

    With --plant RATE: also how good the recount queue is, by altering records on purpose and looking for them.
    """
    from reconcile.config import load_settings

    flags = {"model": model, "device": device, "batch_size": batch_size}
    settings = load_settings(flags, need_bucket=False)
    from reconcile.config import parse_rate
    from reconcile.evaluation.run import run_evaluation

    rate = None if plant is None else parse_rate(plant)
    messages = RunLog(settings.log_format)
    try:
        print(run_evaluation(data, fold, out, seed, settings, messages, rate))
    except KeyboardInterrupt:
        messages.error("interrupted; nothing is kept of an evaluation")
        raise typer.Exit(INTERRUPTED) from None


def _sent_recipe() -> Path | None:
    """What `reconcile sagemaker train` sent beside the photos."""
    sent = Path(os.environ.get("SM_CHANNEL_RECIPE", ""), "recipe.toml")
    return sent if "SM_CHANNEL_RECIPE" in os.environ and sent.is_file() else None


def _need_training_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("torch", "torchvision", "onnxscript", "optuna")):
        raise ReconcileError("training needs the extra `train`: in a checkout, make dev or pip install '.[train]'")
