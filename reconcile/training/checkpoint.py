"""Read and write checkpoints. A checkpoint belongs to one recipe and one set of photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from reconcile.errors import ReconcileError, UsageError
from reconcile.training.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path


LAST = "last.pt"
"""The file name of the checkpoint from which a training continues."""


def save(state: dict[str, Any], recipe: Recipe, data_fingerprint: str, path: Path) -> None:
    """Write a checkpoint, so that the file is either complete or absent.

    Args:
        state: the entries of the checkpoint.
        recipe: the recipe of the training, which is added.
        data_fingerprint: the fingerprint of the photos, which is added.
        path: the file to write.
    """
    partial = path.with_suffix(".partial")
    torch.save(state | {"recipe": recipe.model_dump(), "data_fingerprint": data_fingerprint}, partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        ReconcileError: the file is not a checkpoint of `reconcile train`.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not {"recipe", "data_fingerprint"} <= state.keys():
            raise KeyError
    except Exception:  # torch raises many kinds of errors for other files
        raise ReconcileError(f"{path} is not a checkpoint of `reconcile train`") from None
    return state


def _parse_recipe(state: dict[str, Any]) -> Recipe | None:
    """Return the recipe of a checkpoint, with defaults for missing settings; None if it is malformed."""
    try:
        return Recipe.model_validate(state["recipe"])
    except ValidationError:
        return None


def load_to_resume(path: Path, recipe: Recipe, data_fingerprint: str, processes: int) -> dict[str, Any]:
    """Read a checkpoint from which a training can continue.

    Args:
        path: the checkpoint.
        recipe: the recipe of the training.
        data_fingerprint: the fingerprint of its photos.
        processes: the number of its processes.

    Raises:
        ReconcileError: the file is not a checkpoint of `reconcile train`.
        UsageError: the checkpoint was made with another recipe, with other photos or by another number of processes.
    """
    state = load(path)
    for name, differs in (
        ("with another recipe", _parse_recipe(state) != recipe),
        ("with other photos", state["data_fingerprint"] != data_fingerprint),
        (f"by {state['processes']} process(es), not {processes}", state["processes"] != processes),
    ):
        if differs:
            raise UsageError(f"{path} was made {name}; start again with --no-resume, or choose another --out")
    return state
