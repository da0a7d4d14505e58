"""What training does to images and labels."""

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import numpy as np
import torch

from reconcile.errors import UsageError
from reconcile.labels import CountLabels
from reconcile.training import checkpoint
from reconcile.training.augment import augment, stitch
from reconcile.training.dataset import Drawing
from reconcile.training.ema import averaged_model
from reconcile.training.recipe import Recipe, Stage, read_recipe, write_recipe
from reconcile.training.soft_targets import soft_targets
from reconcile.training.temperature import fit_temperature, negative_log_likelihood

LABELS = CountLabels(("0", "1", "2", "3+"))


def test_targets_spread_over_items_and_are_lumped_afterwards():
    targets = soft_targets(torch.tensor([0, 1, 3, 12]), LABELS, 0.6)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    none, one, three, twelve = targets.tolist()
    assert none == [1, 0, 0, 0]
    assert one[0] == 0, "an item is there or it is not"
    assert one[1] > one[2] > one[3] > 0
    near = np.exp(-0.5 * (1 / 0.6) ** 2)
    assert one[2] / one[1] == pytest.approx(near)
    assert three[2] < one[2], "beyond three there is room for half of the spread"
    assert twelve[3] == pytest.approx(1), "twelve items are no neighbours of two"


def test_targets_without_spread_are_the_labels():
    torch.testing.assert_close(soft_targets(torch.tensor([0, 2, 7]), LABELS, 0), torch.eye(4)[[0, 2, 3]])


def test_closed_labels_get_no_share_for_counts_they_lack():
    targets = soft_targets(torch.tensor([1, 5]), CountLabels(("1", "2", "3", "4", "5")), 0.6)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))
    assert targets[1, 4] > targets[1, 3] > targets[1, 0]


@pytest.mark.parametrize("upright", [True, False])
def test_stitched_bins_lie_beside_or_above_each_other(upright):
    first, second = (
        torch.full((2, 16, 16, 3), 10, dtype=torch.uint8),
        torch.full((2, 16, 16, 3), 200, dtype=torch.uint8),
    )
    pixels = stitch(first, second, upright=upright)
    assert pixels.shape == (2, 16, 16, 3)
    parts = (pixels[0][:8], pixels[0][8:]) if upright else (pixels[0][:, :8], pixels[0][:, 8:])
    assert [int(part.unique()) for part in parts] == [10, 200]


def test_augmented_images_keep_their_size_range_and_order():
    torch.manual_seed(1)
    pixels = torch.zeros(6, 44, 44, 3, dtype=torch.uint8)
    pixels[3:] = 255
    images = augment(pixels, 40)
    assert images.shape == (6, 40, 40, 3)
    assert images.min() >= 0
    assert images.max() <= 255
    assert (images.mean(dim=(1, 2, 3)) > 128).tolist() == [False] * 3 + [True] * 3


def test_a_patch_is_painted_over_as_many_images_as_asked_for():
    torch.manual_seed(2)
    pixels = torch.full((400, 44, 44, 3), 128, dtype=torch.uint8)
    plain = augment(pixels, 40, erased=0.0).flatten(1).std(dim=1) < 1
    assert plain.all(), "grey stays grey"
    images = augment(pixels, 40, erased=0.3)
    painted = images.flatten(1).std(dim=1) > 1
    assert 0.2 < painted.float().mean() < 0.4
    changed = (images[painted] - images[painted].median()).abs().amax(dim=3) > 60
    assert changed.float().mean(dim=(1, 2)).max() < 0.1, "a patch is small"


def test_the_average_follows_the_weights_and_counts_what_they_count():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    average = averaged_model(network, decay=0.9)
    expected = 0.0
    for step in range(40):
        with torch.no_grad():
            network[0].weight.fill_(float(step))
        average.update_parameters(network)
        kept = min(0.9, (1 + step) / (10 + step)) if step else 0.0  # the first update takes the weights as they are
        expected = kept * expected + (1 - kept) * step
    assert average.module[0].weight.item() == pytest.approx(expected, rel=1e-4)
    assert expected < 36, "it trails what it follows"
    network[1].num_batches_tracked.fill_(7)
    average.update_parameters(network)
    assert average.module[1].num_batches_tracked.item() == 7


def test_a_drawing_is_the_same_every_time():
    assert Drawing(3, 2).as_jpeg() == Drawing(3, 2).as_jpeg() != Drawing(4, 2).as_jpeg()


def test_the_temperature_that_was_put_in_is_found():
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(5, p=row / row.sum()) for row in shares.astype(np.float64)])
    found = fit_temperature(3 * logits, truth)
    assert found == pytest.approx(3, rel=0.1)
    assert negative_log_likelihood(3 * logits, truth, found) < negative_log_likelihood(3 * logits, truth)


def test_a_recipe_comes_back_as_it_was_written(tmp_path):
    stages = [Stage(size=96, epochs=2, learning_rate=1.25e-3), Stage(size=160, epochs=1, learning_rate=5e-4)]
    recipe = Recipe(version="a.1", stages=stages, stitched=0.2, batch_size=32, start_from="old.onnx", labels=["1", "2"])
    recipe = recipe.model_copy(update={"seed": 20261124, "weight_decay": 0.0123456789, "label_sigma": 1e-7})
    write_recipe(recipe, tmp_path / "recipe.toml", "Two\nlines")
    assert (tmp_path / "recipe.toml").read_text().startswith("# Two\n# lines\n")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


@pytest.mark.parametrize("version", ["a/b", "", "1 2", "-a", ".a", "modèle", 80 * "a"])
def test_a_version_must_fit_a_file_name(tmp_path, version):
    (tmp_path / "recipe.toml").write_text(f'version = "{version}"\n[[stages]]\nsize=32\nepochs=1\nlearning_rate=1')
    with pytest.raises(UsageError, match=r"version: .*letters, digits, dots and hyphens only"):
        read_recipe(tmp_path / "recipe.toml")


def test_a_checkpoint_that_knows_less_of_its_recipe_is_taken_up(tmp_path):
    recipe = Recipe(version="a", stages=[Stage(size=32, epochs=1, learning_rate=1)])
    checkpoint.save({"processes": 1}, recipe, "photos", tmp_path / "last.pt")
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    del state["recipe"]["dtype"]
    torch.save(state, tmp_path / "last.pt")
    assert checkpoint.load_to_resume(tmp_path / "last.pt", recipe, "photos", 1)["processes"] == 1
    for other in (recipe.model_copy(update={"dtype": "float32"}), recipe.model_copy(update={"seed": 9})):
        with pytest.raises(UsageError, match="after another recipe"):
            checkpoint.load_to_resume(tmp_path / "last.pt", other, "photos", 1)
    state["recipe"]["stages"] = "none"
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(UsageError, match="after another recipe"):
        checkpoint.load_to_resume(tmp_path / "last.pt", recipe, "photos", 1)
