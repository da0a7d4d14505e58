"""Checkpoints and the recipes they belong to."""

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch

from reconcile.errors import UsageError
from reconcile.training import checkpoint
from reconcile.training.recipe import Recipe, Stage


def test_checkpoint_of_an_older_recipe_format_is_resumed(tmp_path):
    recipe = Recipe(version="a", stages=[Stage(size=32, epochs=1, learning_rate=1)])
    checkpoint.save({"processes": 1}, recipe, "photos", tmp_path / "last.pt")
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    del state["recipe"]["dtype"]
    torch.save(state, tmp_path / "last.pt")
    assert checkpoint.load_to_resume(tmp_path / "last.pt", recipe, "photos", 1)["processes"] == 1
    for other in (recipe.model_copy(update={"dtype": "float32"}), recipe.model_copy(update={"seed": 9})):
        with pytest.raises(UsageError, match="with another recipe"):
            checkpoint.load_to_resume(tmp_path / "last.pt", other, "photos", 1)
    state["recipe"]["stages"] = "none"
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(UsageError, match="with another recipe"):
        checkpoint.load_to_resume(tmp_path / "last.pt", recipe, "photos", 1)
