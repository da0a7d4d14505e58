"""Drawings as training images."""

import pytest

from reconcile.training.dataset import Drawing, read_training_data
from reconcile.training.recipe import Recipe


def test_drawing_depends_only_on_its_seed_and_count():
    assert Drawing(3, 2).as_jpeg() == Drawing(3, 2).as_jpeg() != Drawing(4, 2).as_jpeg()


@pytest.mark.parametrize(("photos", "held_out"), [(10, 1), (20, 2), (80, 8), (120, 12)])
def test_tenth_of_few_neighbouring_photos_is_held_out(tmp_path, photos, held_out):
    (tmp_path / "3").mkdir()
    for number in range(1600, 1600 + photos):
        (tmp_path / "3" / f"{number}.jpg").touch()
    recipe = Recipe(version="1", stages=[{"size": 32, "epochs": 1, "learning_rate": 0.01}], drawings=0)
    data = read_training_data(tmp_path, recipe, None, pytest.fail)
    assert (len(data.photos), len(data.held_out)) == (photos - held_out, held_out)
