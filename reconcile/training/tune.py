"""Searches for a better recipe: short trainings, of which the hopeless are given up early."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from reconcile.errors import ReconcileError, UsageError
from reconcile.training.recipe import Recipe, write_recipe
from reconcile.training.train import train
from reconcile.training.trainer import Diverged

if TYPE_CHECKING:
    from pathlib import Path

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


def tune(
    folder: Path,
    recipe: Recipe,
    out: Path,
    trials: int,
    messages: RunLog,
    *,
    validation: Path | None = None,
    start: Path | None = None,
) -> Path:
    """Train the recipe with other settings, `trials` times in all, and write the best recipe.

    What is searched: the learning rate (of all stages, by one factor), batch size, weight decay, σ of the soft labels,
    the shares of stitched and of erased images, and over how many steps weights are averaged; by Optuna's
    tree-structured Parzen estimator (Bergstra et al. 2011). A trial whose held-out −ln P after an epoch is worse than
    the median of the earlier trials' at that epoch is given up. The first trial is the recipe as it is.

    Args:
        folder: photos with labels.
        recipe: what to start from; its stages say how long a trial is, so make them short.
        out: study.log and the best recipe, best.toml, go here. With a study there already, it goes on.
        trials: how many there are to be in the end, given up ones included.
        messages: told how it goes.
        validation: see `train`.
        start: see `train`.

    Returns:
        the path of the best recipe.

    Raises:
        UsageError: `out` holds another search, or torchrun started several processes.
        ReconcileError: `out` cannot be written, or not one trial came to an end.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("tuning runs in one process; give each GPU a study of its own with CUDA_VISIBLE_DEVICES")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReconcileError(f"--out {out} is no folder that can be written: {error.strerror}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=_STUDY,
        storage=JournalStorage(JournalFileBackend(str(out / "study.log"))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=_EPOCHS_BEFORE_PRUNING),
        load_if_exists=True,
    )
    _check_same(study, recipe, folder, out)
    # A search that goes on must not draw the same settings again.
    study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + len(study.get_trials(deepcopy=False)))
    _resume(study, recipe)
    while (done := len(study.get_trials(deepcopy=False, states=_DONE))) < trials:
        trial = study.ask()
        candidate = _suggest(trial, recipe)
        messages.info(f"trial {done + 1} of {trials}: {_settings(trial.params)}")
        reported: list[float] = []

        def watch(metrics: EpochMetrics, trial: optuna.Trial = trial, reported: list[float] = reported) -> None:
            reported.append(min(metrics.loss_current, metrics.loss_averaged))
            trial.report(reported[-1], step=len(reported))
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            train(
                folder,
                candidate,
                out / "trial",
                messages,
                validation=validation,
                start=start,
                cache=out / "cache",
                resume=False,
                watch=watch,
            )
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
            messages.info(f"given up after {len(reported)} epochs")
        except Diverged as reason:
            study.tell(trial, state=TrialState.PRUNED)
            messages.info(f"given up: {reason}")
        else:
            study.tell(trial, reported[-1])
            messages.info(f"−ln P {reported[-1]:.4f}; best so far {study.best_value:.4f}")
        _write_best(study, recipe, start, out)
    for leftover in ("trial", "cache"):
        shutil.rmtree(out / leftover, ignore_errors=True)
    if not (out / "best.toml").exists():
        raise ReconcileError(f"none of {trials} trials came to an end: begin with a recipe that trains")
    return out / "best.toml"


def _check_same(study: optuna.Study, recipe: Recipe, folder: Path, out: Path) -> None:
    """A study compares trainings that differ in nothing but what is searched."""
    now = {"recipe": recipe.model_dump(), "data": str(folder.resolve())}
    if not study.user_attrs:
        for name, value in now.items():
            study.set_user_attr(name, value)
    elif study.user_attrs != now:
        raise UsageError(f"{out} holds a search from another recipe or other photos; take another --out")


def _resume(study: optuna.Study, recipe: Recipe) -> None:
    """Begin with the recipe as it is; do again what a killed search was at."""
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
    """Settings around usual ones, and as far as those of the recipe."""
    own = _as_params(recipe)
    for name, (low, high) in _RANGES.items():
        is_logarithmic = name in ("learning_rate_factor", "averaged_steps")
        trial.suggest_float(name, min(low, own[name]), max(high, own[name]), log=is_logarithmic)
    trial.suggest_categorical("batch_size", sorted({16, 32, 64, 128, 256, recipe.batch_size}))
    return _with(recipe, trial.params)


def _with(recipe: Recipe, params: dict[str, float]) -> Recipe:
    """The recipe with other settings, to six digits, as its file will say."""

    def short(value: float) -> float:
        return float(f"{value:.6g}")

    stages = [
        stage.model_copy(update={"learning_rate": short(stage.learning_rate * params["learning_rate_factor"])})
        for stage in recipe.stages
    ]
    values = {name: short(params[name]) for name in ("weight_decay", "label_sigma", "stitched", "erased")}
    changed = {
        "stages": stages,
        "batch_size": int(params["batch_size"]),
        "ema_decay": short(1 - 1 / params["averaged_steps"]),
    }
    return Recipe.model_validate((recipe.model_copy(update=values | changed)).model_dump())


def _write_best(study: optuna.Study, recipe: Recipe, start: Path | None, out: Path) -> None:
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        return
    best = _with(recipe, study.best_params)
    if start is not None:  # a path seen from the recipe, which lies elsewhere now
        best = best.model_copy(update={"start_from": os.path.relpath(start.resolve(), out.resolve())})
    comment = (
        f"Best of {len(finished)} finished trials by `reconcile tune`: −ln P {study.best_value:.4f} on held-out photos."
    )
    write_recipe(best, out / "best.toml", comment)


def _settings(params: dict[str, float]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in params.items()
    )
