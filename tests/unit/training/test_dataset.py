"""Drawings as training images."""

from reconcile.training.dataset import Drawing


def test_drawing_depends_only_on_its_seed_and_count():
    assert Drawing(3, 2).as_jpeg() == Drawing(3, 2).as_jpeg() != Drawing(4, 2).as_jpeg()
