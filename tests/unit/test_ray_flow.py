"""Blocks and actors on a Ray that does at once what it is asked: who dies when is decided here."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from ray.exceptions import RayActorError

from reconcile.bucket import StoredObject
from reconcile.engines import ray_actors, ray_flow
from reconcile.engines.ray_actors import Actors, Recipe, Room
from reconcile.engines.ray_flow import Flow
from reconcile.engines.ray_work import Counted
from reconcile.errors import ReconcileError
from reconcile.labels import CountLabels

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
        return Counted(np.full((len(images), 2), 0.5, np.float32), [])


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


class Blocks:
    """What is listed: all of it is there."""

    def __init__(self, blocks):
        self.waiting = list(blocks)

    @property
    def is_over(self):
        return not self.waiting

    def nowait(self):
        return self.waiting.pop(0) if self.waiting else None


def counted(monkeypatch, deadly, actors):
    """The rows of 20 blocks of two images, in the order in which they came; and the Ray that counted them."""
    fake, rows = FakeRay(deadly), []
    monkeypatch.setattr(ray_flow, "ray", fake)
    monkeypatch.setattr(ray_actors, "ray", fake)
    now = datetime.now(UTC)
    names = iter(range(40))
    blocks = Blocks([[StoredObject(f"{next(names):02d}", 1, "e", now) for _ in range(2)] for _ in range(20)])
    flow = Flow("source", {}, Actors(Recipe({}, (), 2), lambda: Room(actors, 4)), LABELS)
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
