"""The moving average of the weights."""

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch

from reconcile.training.ema import averaged_model


def test_average_follows_the_weights_and_copies_counters():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    average = averaged_model(network, decay=0.9)
    expected = 0.0
    for step in range(40):
        with torch.no_grad():
            network[0].weight.fill_(float(step))
        average.update_parameters(network)
        kept = min(0.9, (1 + step) / (10 + step)) if step else 0.0  # the first update copies the weights
        expected = kept * expected + (1 - kept) * step
    assert average.module[0].weight.item() == pytest.approx(expected, rel=1e-4)
    assert expected < 36, "the average lags behind the weights"
    network[1].num_batches_tracked.fill_(7)
    average.update_parameters(network)
    assert average.module[1].num_batches_tracked.item() == 7
