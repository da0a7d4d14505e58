"""Tests of the block scheduler, on a fake Ray whose actors crash on chosen images."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from reconcile.engines.ray import actors as ray_actors
from reconcile.engines.ray import scheduler
from reconcile.engines.ray.actors import ActorPool, ActorSpec, Capacity
from reconcile.engines.ray.scheduler import BlockScheduler
from reconcile.errors import ReconcileError
from reconcile.labels import CountLabels
from reconcile.storage.base import StoredObject
from tests.unit.engines.ray.fake_ray import FakeRay

LABELS = CountLabels(("0", "1"))


class Blocks:
    """A channel of blocks that is already full."""

    def __init__(self, blocks):
        self.waiting = list(blocks)

    @property
    def is_over(self):
        return not self.waiting

    def get_nowait(self):
        return self.waiting.pop(0) if self.waiting else None


def count_blocks(monkeypatch, deadly, actors):
    """Count 20 blocks of two images. Return the rows in the order of their arrival, and the fake Ray."""
    fake, rows = FakeRay(deadly), []
    monkeypatch.setattr(scheduler, "ray", fake)
    monkeypatch.setattr(ray_actors, "ray", fake)
    now = datetime.now(UTC)
    names = iter(range(40))
    blocks = Blocks([[StoredObject(f"{next(names):02d}", 1, "e", now) for _ in range(2)] for _ in range(20)])
    pool = ActorPool(ActorSpec({}, (), 2), lambda: Capacity(actors, 4), print)
    block_scheduler = BlockScheduler("task", {}, pool, LABELS)
    block_scheduler.run(blocks, SimpleNamespace(put=rows.extend), SimpleNamespace(stopped=False))
    return rows, fake


@pytest.mark.parametrize("actors", [1, 3])
@pytest.mark.parametrize("deadly", ["00", "11", "39"])
def test_image_that_crashes_actors_gets_one_row(monkeypatch, deadly, actors):
    rows, fake = count_blocks(monkeypatch, [deadly], actors)
    assert sorted(row["image_key"] for row in rows) == [f"{number:02d}" for number in range(40)]
    [lost] = [row for row in rows if row["reason"]]
    assert (lost["image_key"], lost["try_again"]) == (deadly, True)
    assert lost["reason"] == "the process or machine that tried to count the photo was lost 4 times"
    assert fake.actors <= actors + 8  # the block crashed four, and then the image alone crashed four


def test_run_fails_if_every_actor_crashes(monkeypatch):
    with pytest.raises(ReconcileError, match="10 counting actors in a row crashed on their first block: "):
        count_blocks(monkeypatch, [f"{number:02d}" for number in range(40)], 3)
