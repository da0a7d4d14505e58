"""Hyper-parameter search with Optuna: short trainings, of which unpromising ones are stopped early."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from reconcile.errors import ReconcileError, UsageError
from reconcile.training.recipe import TORCHVISION, Recipe, write_recipe
from reconcile.training.train import TrainingPaths, train
from reconcile.training.trainer import Diverged

if TYPE_CHECKING:
    from reconcile.logs import RunLog
    from reconcile.training.metrics import EpochMetrics


_STUDY = "reconcile"
_EPOCHS_BEFORE_PRUNING = 2
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_RANGES = {
    "learning_rate_factor": (0.2, 5.0),
    "weight_decay": (0.0, 0.3),
    "label_sigma": (0.0, 1.2),
    "stitched": (0.0, 0.5),
    "erased": (0.0, 0.5),
    "averaged_steps": (50.0, 5000.0),
}
"""The usual range of each setting."""
_LOGARITHMIC = ("learning_rate_factor", "averaged_steps")
_BATCH_SIZES = {16, 32, 64, 128, 256}


@dataclass(frozen=True)
class _TrialResult:
    """The result of one trial."""

    losses: list[float]
    """The mean −ln P(true label) of the held-out photos after each epoch, in nats."""
    stopped: str | None = None
    """Why the trial was stopped early; None if it was not."""


def tune(recipe: Recipe, paths: TrainingPaths, trials: int, log: RunLog) -> Path:
    """Train a recipe with other settings, and write the best recipe.

    The search varies the learning rate (one factor for all stages), the batch size, the weight decay, σ of the soft
    targets, the fractions of stitched and of erased images, and the number of steps over which weights are averaged. It
    uses Optuna's tree-structured Parzen estimator (Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization,
    NIPS 24). After each epoch, a trial is stopped if its −ln P on held-out photos is worse than the median of the
    earlier trials at that epoch. The first trial is the recipe as it is.

    Args:
        recipe: the recipe to start from. Its stages decide how long a trial takes, so make them short.
        paths: the photos and the model to start from. study.log and best.toml are written to `paths.out`. If that
            folder has a study, the search continues.
        trials: the number of all trials, including stopped ones and those of earlier calls.
        log: receives the progress.

    Returns:
        the path of the best recipe.

    Raises:
        UsageError: `paths.out` has a search of another recipe or other photos, or torchrun started several processes.
        ReconcileError: `paths.out` cannot be written, or no trial finished.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "tuning runs in one process; start one search per GPU with CUDA_VISIBLE_DEVICES and its own --out"
        )
    paths.make_out()
    study = _open_study(recipe, paths)
    while (done := len(study.get_trials(deepcopy=False, states=_DONE))) < trials:
        trial = study.ask()
        candidate = _suggest(trial, recipe)
        log.info(f"trial {done + 1} of {trials}: {_describe(trial.params)}")
        result = _train(trial, candidate, paths, log)
        _record(study, trial, result, log)
        _write_best(study, recipe, paths)
    for temporary in ("trial", "cache"):
        shutil.rmtree(paths.out / temporary, ignore_errors=True)
    best = paths.out / "best.toml"
    if not best.exists():
        raise ReconcileError(f"none of the {trials} trials finished; start from a recipe that trains without diverging")
    return best


def _open_study(recipe: Recipe, paths: TrainingPaths) -> optuna.Study:
    """Open or create the study in the output folder.

    Raises:
        UsageError: the study is of another recipe or other photos.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=_STUDY,
        storage=JournalStorage(JournalFileBackend(str(paths.out / "study.log"))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=_EPOCHS_BEFORE_PRUNING),
        load_if_exists=True,
    )
    _check_same(study, recipe, paths)
    # A search that continues must not draw the same settings again.
    study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + len(study.get_trials(deepcopy=False)))
    _resume(study, recipe)
    return study


def _check_same(study: optuna.Study, recipe: Recipe, paths: TrainingPaths) -> None:
    """Check that the study is of this recipe and these photos. A new study gets them as attributes.

    Raises:
        UsageError: it is not.
    """
    attributes = {"recipe": recipe.model_dump(), "data": str(paths.data.resolve())}
    if not study.user_attrs:
        for name, value in attributes.items():
            study.set_user_attr(name, value)
    elif study.user_attrs != attributes:
        raise UsageError(f"{paths.out} holds a search of another recipe or other photos; choose another --out")


def _resume(study: optuna.Study, recipe: Recipe) -> None:
    """Enqueue the recipe as the first trial, and the trials that an interrupted search did not finish."""
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(_as_params(recipe))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def _as_params(recipe: Recipe) -> dict[str, float]:
    return {
        "learning_rate_factor": 1.0,
        "batch_size": recipe.batch_size,
        "weight_decay": recipe.weight_decay,
        "label_sigma": recipe.label_sigma,
        "stitched": recipe.stitched,
        "erased": recipe.erased,
        "averaged_steps": 1 / (1 - recipe.ema_decay),
    }


def _suggest(trial: optuna.Trial, recipe: Recipe) -> Recipe:
    """Return the recipe with suggested settings. Usual ranges are extended to the settings of the recipe."""
    own = _as_params(recipe)
    for name, (low, high) in _RANGES.items():
        trial.suggest_float(name, min(low, own[name]), max(high, own[name]), log=name in _LOGARITHMIC)
    trial.suggest_categorical("batch_size", sorted(_BATCH_SIZES | {recipe.batch_size}))
    return _with_params(recipe, trial.params)


def _with_params(recipe: Recipe, params: dict[str, float]) -> Recipe:
    """Return the recipe with other settings, rounded to six digits."""

    def rounded(value: float) -> float:
        return float(f"{value:.6g}")

    stages = [
        stage.model_copy(update={"learning_rate": rounded(stage.learning_rate * params["learning_rate_factor"])})
        for stage in recipe.stages
    ]
    values = {name: rounded(params[name]) for name in ("weight_decay", "label_sigma", "stitched", "erased")}
    changed = {
        "stages": stages,
        "batch_size": int(params["batch_size"]),
        "ema_decay": rounded(1 - 1 / params["averaged_steps"]),
    }
    return Recipe.model_validate((recipe.model_copy(update=values | changed)).model_dump())


def _train(trial: optuna.Trial, candidate: Recipe, paths: TrainingPaths, log: RunLog) -> _TrialResult:
    """Train one trial, until it finishes or is stopped."""
    losses: list[float] = []

    def report_epoch(metrics: EpochMetrics) -> None:
        losses.append(min(metrics.loss_current, metrics.loss_averaged))
        trial.report(losses[-1], step=len(losses))
        if trial.should_prune():
            raise optuna.TrialPruned

    trial_paths = replace(paths, out=paths.out / "trial", cache=paths.out / "cache")
    try:
        train(candidate, trial_paths, log, resume=False, on_epoch=report_epoch)
    except optuna.TrialPruned:
        return _TrialResult(losses, f"after {len(losses)} epochs it is worse than the median of the earlier trials")
    except Diverged as reason:
        return _TrialResult(losses, str(reason))
    return _TrialResult(losses)


def _record(study: optuna.Study, trial: optuna.Trial, result: _TrialResult, log: RunLog) -> None:
    """Store the result of a trial in the study, and log it."""
    if result.stopped is not None:
        study.tell(trial, state=TrialState.PRUNED)
        log.info(f"trial stopped: {result.stopped}")
    else:
        study.tell(trial, result.losses[-1])
        log.info(
            f"trial finished: −ln P {result.losses[-1]:.4f} on held-out photos; best so far {study.best_value:.4f}"
        )


def _write_best(study: optuna.Study, recipe: Recipe, paths: TrainingPaths) -> None:
    """Write the recipe of the best finished trial, if there is one."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        return
    best = _with_params(recipe, study.best_params)
    if paths.start is not None and not paths.start.startswith(TORCHVISION):
        # The path is relative to the recipe, which is in another folder now.
        start = os.path.relpath(Path(paths.start).resolve(), paths.out.resolve())
        best = best.model_copy(update={"start_from": start})
    comment = (
        f"Best of {len(finished)} finished trials by `reconcile tune`: −ln P {study.best_value:.4f} on held-out photos."
    )
    write_recipe(best, paths.out / "best.toml", comment)


def _describe(params: dict[str, float]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in params.items()
    )
