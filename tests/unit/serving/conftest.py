"""Fixtures of the serving tests: a batcher with a real model."""

import pytest

from reconcile.inference.counter import load_predictor
from reconcile.serving.batching import DynamicBatcher


@pytest.fixture(scope="module")
def batcher(grey_model):
    """Return a batcher whose model counts on this machine."""
    return DynamicBatcher(load_predictor(grey_model, "cpu", print))
