"""Blocks and actors on a Ray that does at once what it is asked: who dies when is decided here."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from ray.exceptions import RayActorError

from reconcile.engines.ray import actors as ray_actors
from reconcile.engines.ray import scheduler
from reconcile.engines.ray.actors import ActorPool, ActorSpec, Capacity
from reconcile.engines.ray.engine import block_size
from reconcile.engines.ray.scheduler import BlockScheduler
from reconcile.engines.ray.worker import Counted
from reconcile.errors import ReconcileError
from reconcile.labels import CountLabels
from reconcile.storage.base import StoredObject

LABELS = CountLabels(("0", "1"))


class Handle:
    """An actor that counts all that is under way to it at once, and dies where the Ray's `deadly` are among it."""

    def __init__(self, ray):
        self.ray, self.is_dead, self.under_way = ray, False, []
        self.load = SimpleNamespace(remote=lambda *_: self.ray.ref(lambda: "node"))
        self.count = SimpleNamespace(remote=self._begin)

    def _begin(self, images):
        self.under_way.append(images)
        return self.ray.ref(lambda: self._count(images))

    def _count(self, images):
        if self.is_dead or self.ray.deadly & {stored.key for block in self.under_way for stored in block}:
            self.is_dead = True
            raise RayActorError
        self.under_way.remove(images)
        return Counted(np.full((len(images), 2), 0.5, np.float32), [], 0.1)


class FakeRay:
    """The part of Ray's interface that is used."""

    def __init__(self, deadly):
        self.deadly, self.actors, self.todo = set(deadly), 0, {}

    def ref(self, do):
        made = object()
        self.todo[made] = do
        return made

    def remote(self, **_):
        def decorate(what):
            return SimpleNamespace(remote=self.start if isinstance(what, type) else self.prepare)

        return decorate

    def start(self):
        self.actors += 1
        return Handle(self)

    def prepare(self, _, images):
        return images, self.ref(lambda: "node")

    def wait(self, refs, **_):
        return refs[:1], refs[1:]

    def get(self, ref):
        return self.todo.pop(ref)()

    def kill(self, handle):
        handle.is_dead = True

    def available_resources(self):
        return {"GPU": 0.5}

    def cluster_resources(self):
        return {"GPU": 4.0}


class Blocks:
    """What is listed: all of it is there."""

    def __init__(self, blocks):
        self.waiting = list(blocks)

    @property
    def is_over(self):
        return not self.waiting

    def get_nowait(self):
        return self.waiting.pop(0) if self.waiting else None


def counted(monkeypatch, deadly, actors):
    """The rows of 20 blocks of two images, in the order in which they came; and the Ray that counted them."""
    fake, rows = FakeRay(deadly), []
    monkeypatch.setattr(scheduler, "ray", fake)
    monkeypatch.setattr(ray_actors, "ray", fake)
    now = datetime.now(UTC)
    names = iter(range(40))
    blocks = Blocks([[StoredObject(f"{next(names):02d}", 1, "e", now) for _ in range(2)] for _ in range(20)])
    flow = BlockScheduler("source", {}, ActorPool(ActorSpec({}, (), 2), lambda: Capacity(actors, 4), print), LABELS)
    flow.run(blocks, SimpleNamespace(put=rows.extend), SimpleNamespace(stopped=False))
    return rows, fake


@pytest.mark.parametrize("actors", [1, 3])
@pytest.mark.parametrize("deadly", ["00", "11", "39"])
def test_an_image_that_kills_who_counts_it_is_one_row(monkeypatch, deadly, actors):
    rows, fake = counted(monkeypatch, [deadly], actors)
    assert sorted(row["image_key"] for row in rows) == [f"{number:02d}" for number in range(40)]
    [lost] = [row for row in rows if row["reason"]]
    assert (lost["image_key"], lost["try_again"]) == (deadly, True)
    assert lost["reason"] == "the process or machine that was to count it was lost 4 times"
    assert fake.actors <= actors + 8  # four died of the block, and four of the image


def test_actors_that_all_die_at_work_end_the_run(monkeypatch):
    with pytest.raises(ReconcileError, match="10 counting actors in a row died at their first block: "):
        counted(monkeypatch, [f"{number:02d}" for number in range(40)], 3)


def test_a_run_that_gets_no_actor_says_so_once(monkeypatch):
    clock, told = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(ray_actors, "ray", FakeRay([]))
    monkeypatch.setattr(ray_actors, "time", SimpleNamespace(monotonic=lambda: clock.now))
    actors = ActorPool(ActorSpec({"num_gpus": 1, "num_cpus": 0}, (), 2), lambda: Capacity(4, 4), told.append)

    def tend(*times):
        for clock.now in times:
            actors.scale(8)

    tend(1000, 1059)
    assert not told
    tend(1061, 1062, 1200)
    [line] = told
    assert "no counting actor is ready after 60 s" in line
    assert "each asks for 1 GPU of one machine, and 0.5 of the Ray cluster's 4 GPUs are free" in line
    for loading in actors.loading:  # they come, and go
        actors.loaded(loading)
    tend(1300)
    while actor := actors.least_busy("node", exclusive=True):
        actors.remove(actor)
    tend(1301, 1360)
    assert len(told) == 1
    tend(1362)
    assert len(told) == 2


def test_a_block_is_half_a_second_of_counting_but_one_or_two_batches():
    assert block_size(32, None) == 32  # nothing is known yet
    assert block_size(32, 1 / 40) == 32
    assert block_size(32, 1 / 200) == 32
    assert block_size(32, 1 / 300) == 64
    assert block_size(128, 1 / 10_000) == 256
    assert block_size(128, 0.0) == 256
