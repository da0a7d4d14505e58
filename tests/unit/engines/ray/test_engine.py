"""Tests of the size of a block."""

from reconcile.engines.ray.engine import block_size


def test_block_takes_a_quarter_second_within_one_or_two_batches():
    assert block_size(32, None) == 32  # the speed is not known yet
    assert block_size(32, 1 / 40) == 32
    assert block_size(32, 1 / 200) == 32
    assert block_size(32, 1 / 300) == 64
    assert block_size(128, 1 / 10_000) == 256
    assert block_size(128, 0.0) == 256
