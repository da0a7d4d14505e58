"""Training recipes as TOML files."""

import pytest

from reconcile.errors import UsageError
from reconcile.training.recipe import Recipe, Stage, read_recipe, write_recipe


def test_recipe_is_read_as_it_was_written(tmp_path):
    stages = [Stage(size=96, epochs=2, learning_rate=1.25e-3), Stage(size=160, epochs=1, learning_rate=5e-4)]
    recipe = Recipe(version="a.1", stages=stages, stitched=0.2, batch_size=32, start_from="old.onnx", labels=["1", "2"])
    recipe = recipe.model_copy(update={"seed": 20261124, "weight_decay": 0.0123456789, "label_sigma": 1e-7})
    write_recipe(recipe, tmp_path / "recipe.toml", "Two\nlines")
    assert (tmp_path / "recipe.toml").read_text().startswith("# Two\n# lines\n")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


@pytest.mark.parametrize("version", ["a/b", "", "1 2", "-a", ".a", "modèle", 80 * "a"])
def test_version_that_cannot_name_a_folder_is_refused(tmp_path, version):
    (tmp_path / "recipe.toml").write_text(f'version = "{version}"\n[[stages]]\nsize=32\nepochs=1\nlearning_rate=1')
    with pytest.raises(UsageError, match=r"version: .*letters, digits, dots and hyphens only"):
        read_recipe(tmp_path / "recipe.toml")
