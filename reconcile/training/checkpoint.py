"""Checkpoints: whole or absent, and tied to the recipe and the photos they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from reconcile.errors import ReconcileError, UsageError
from reconcile.training.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path


LAST = "last.pt"
"""The checkpoint that a training goes on from."""


def save(state: dict[str, Any], recipe: Recipe, data_fingerprint: str, path: Path) -> None:
    """Write beside, then rename."""
    partial = path.with_suffix(".partial")
    torch.save(state | {"recipe": recipe.model_dump(), "data_fingerprint": data_fingerprint}, partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        ReconcileError: the file is no checkpoint of ours.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not {"recipe", "data_fingerprint"} <= state.keys():
            raise KeyError
    except Exception:  # torch raises whatever it likes on bytes that are no checkpoint
        raise ReconcileError(f"{path} is no checkpoint of `reconcile train`") from None
    return state


def _recipe_of(state: dict[str, Any]) -> Recipe | None:
    """None where it is of no form that is known here; what it does not say yet is at its default."""
    try:
        return Recipe.model_validate(state["recipe"])
    except ValidationError:
        return None


def load_to_resume(path: Path, recipe: Recipe, data_fingerprint: str, processes: int) -> dict[str, Any]:
    """Read a checkpoint that must fit what is to be trained now.

    Raises:
        UsageError: it was made after another recipe, from other photos, or by another number of processes.
    """
    state = load(path)
    for name, differs in (
        ("with another recipe", _recipe_of(state) != recipe),
        ("from other photos", state["data_fingerprint"] != data_fingerprint),
        (f"by {state['processes']} process(es), not {processes}", state["processes"] != processes),
    ):
        if differs:
            raise UsageError(f"{path} was made {name}; say --no-resume, or another --out")
    return state
