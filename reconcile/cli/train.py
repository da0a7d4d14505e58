"""Commands `train` and `tune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from reconcile.cli import options
from reconcile.cli.exits import report_failure
from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError, UsageError
from reconcile.inference.precision import Precision
from reconcile.logs import RunLog
from reconcile.temporary import temporary_parent

SAGEMAKER_VARIABLES = "SageMaker sets the environment variables."
_SAGEMAKER_CHECKPOINTS = Path("/opt/ml/checkpoints")
"""The folder that SageMaker keeps if it interrupts a training job."""


def _channel(*names: str) -> Path | None:
    """Return the folder in which SageMaker puts a channel.

    SageMaker's training toolkit also sets SM_CHANNEL_…, but few images have that toolkit.
    """
    folders = [Path(os.environ.get("SM_INPUT_DIR", "/opt/ml/input"), "data", name) for name in names]
    return next((folder for folder in folders if folder.is_dir()), None)


def _training_channel() -> Path:
    folder = _channel("train", "training")
    if folder is None:
        raise UsageError("--data is missing (or SM_CHANNEL_TRAIN): a folder of photos with known counts")
    return folder


Data = Annotated[
    Path,
    typer.Option(
        help=options.LABELLED_PHOTOS,
        envvar=["SM_CHANNEL_TRAIN", "SM_CHANNEL_TRAINING"],
        default_factory=_training_channel,
        show_default=False,
        exists=True,
        file_okay=False,
    ),
]
Validation = Annotated[
    Path | None,
    typer.Option(
        help="Folder of photos for validation only (default: a fold of --data).",
        envvar="SM_CHANNEL_VALIDATION",
        default_factory=lambda: _channel("validation"),
        show_default=False,
        exists=True,
        file_okay=False,
    ),
]
RecipeFile = Annotated[Path | None, typer.Option(help=options.RECIPE, exists=True, dir_okay=False)]


def train(
    data: Data,
    validation: Validation,
    recipe: RecipeFile = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Folder for checkpoints and metrics (default: training, or {_SAGEMAKER_CHECKPOINTS})."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for decoded photos (default: cache, in --out).")] = None,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint in --out.")] = True,
    export_to: Annotated[
        Path | None,
        typer.Option(help="Folder for the trained model as int8 and fp16 ONNX files.", envvar="SM_MODEL_DIR"),
    ] = None,
) -> None:
    """Train a count model (ResNet34) from a recipe. Needs the extra `train`.

    Example: `reconcile train --data photos --out training --export-to models`

    On several GPUs: `torchrun --nproc-per-node gpu --no-python reconcile train --data DIR`
    """
    require_training_extra()
    from reconcile.resources import resource
    from reconcile.training.recipe import read_recipe

    recipe_file = recipe or _recipe_channel() or resource("models", "recipe.toml")
    chosen = read_recipe(recipe_file)
    log = RunLog("text")
    if out is None and _SAGEMAKER_CHECKPOINTS.is_dir():
        # SageMaker copies this folder to S3 all the time, so the cache goes elsewhere.
        out, cache = _SAGEMAKER_CHECKPOINTS, cache or temporary_parent() / "reconcile-cache"
    out = out or Path("training")
    from reconcile.training.checkpoint import LAST
    from reconcile.training.export import ExportSource, export
    from reconcile.training.train import TrainingPaths, train

    start = None if resume and (out / LAST).exists() else _start_model(recipe_file, chosen.start_from)

    with report_failure(log):
        best = train(chosen, TrainingPaths(data, out, validation, start, cache), log, resume=resume)
        if os.environ.get("RANK", "0") != "0":
            return
        print(f"best checkpoint: {best}")
        if export_to:
            cancellation.raise_if_cancelled()  # a signal may have come while the last checkpoint was written
            files = {kept: export_to / f"bin-counter-{kept}.onnx" for kept in (Precision.INT8, Precision.FP16)}
            export(ExportSource(best, data, validation, cache), files, log.info)


def tune(
    data: Data,
    validation: Validation,
    recipe: RecipeFile = None,
    trials: Annotated[int, typer.Option(help="Number of trials in all, with those of earlier calls.", min=1)] = 20,
    out: Annotated[Path, typer.Option(help="Folder for the study and the best recipe.")] = Path("tuning"),
) -> None:
    """Search for a better recipe with Optuna: learning rate, batch size and more. Needs the extra `train`.

    Run the same command again to continue the search. The stages of the recipe decide how long a trial takes.
    """
    require_training_extra()
    from reconcile.resources import resource
    from reconcile.training.recipe import read_recipe
    from reconcile.training.train import TrainingPaths
    from reconcile.training.tune import tune

    recipe_file = recipe or resource("models", "recipe.toml")
    base = read_recipe(recipe_file)
    start = _start_model(recipe_file, base.start_from)
    log = RunLog("text")
    with report_failure(log):
        best = tune(base, TrainingPaths(data, out, validation, start), trials, log)
    print(f"best recipe: {best}")


def require_training_extra() -> None:
    """Check that the packages for training are installed.

    Raises:
        ReconcileError: a package is missing; the message says how to install it.
    """
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("torch", "torchvision", "onnxscript", "optuna")):
        raise ReconcileError("training needs the extra `train`: in a checkout, make dev or pip install '.[train]'")


def _start_model(recipe: Path, start_from: str | None) -> str | None:
    """Return the weights that a recipe starts from, with an absolute path; None if it starts from random weights.

    This is checked early, because reading the photos may take an hour. A training that continues needs no such file.

    Raises:
        UsageError: the file does not exist.
        ReconcileError: the model keeps weights in other files.
    """
    from reconcile.inference.external_data import ONNX, refuse_external_data
    from reconcile.training.recipe import TORCHVISION

    if not start_from or start_from.startswith(TORCHVISION):
        return start_from or None
    start = recipe.parent / start_from
    if not start.is_file():
        raise UsageError(
            f"{recipe}: start_from: there is no file {start.absolute()}; the path is relative to the recipe"
        )
    if start.suffix.lower() == ONNX:
        refuse_external_data(start)
    return str(start)


def _recipe_channel() -> Path | None:
    """Return the recipe that `reconcile sagemaker train` sent beside the photos."""
    recipe = Path(os.environ.get("SM_CHANNEL_RECIPE", ""), "recipe.toml")
    return recipe if "SM_CHANNEL_RECIPE" in os.environ and recipe.is_file() else None
