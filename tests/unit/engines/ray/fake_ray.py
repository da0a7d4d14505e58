"""A fake of Ray's interface that runs tasks in this process. Tests choose which images crash an actor."""

from types import SimpleNamespace

import numpy as np
from ray.exceptions import RayActorError

from reconcile.engines.ray.worker import CountedBlock
from reconcile.images import PhotoFacts


class Handle:
    """An actor that counts a block when its result is fetched. It crashes if a block has one of the `deadly` keys."""

    def __init__(self, ray):
        self.ray, self.is_dead, self.in_flight = ray, False, []
        self.load = SimpleNamespace(remote=lambda *_: self.ray.reference(lambda: "node"))
        self.count = SimpleNamespace(remote=self._submit)

    def _submit(self, images):
        self.in_flight.append(images)
        return self.ray.reference(lambda: self._count(images))

    def _count(self, images):
        if self.is_dead or self.ray.deadly & {stored.key for block in self.in_flight for stored in block}:
            self.is_dead = True
            raise RayActorError
        self.in_flight.remove(images)
        return CountedBlock(np.full((len(images), 2), 0.5, np.float32), [PhotoFacts()] * len(images), [], 0.1)


class FakeRay:
    """The functions of the `ray` module that the engine uses."""

    def __init__(self, deadly):
        self.deadly, self.actors, self.results = set(deadly), 0, {}

    def reference(self, compute):
        reference = object()
        self.results[reference] = compute
        return reference

    def remote(self, **_):
        def decorate(target):
            return SimpleNamespace(remote=self.start if isinstance(target, type) else self.prepare)

        return decorate

    def start(self):
        self.actors += 1
        return Handle(self)

    def prepare(self, _, images):
        return images, self.reference(lambda: "node")

    def wait(self, references, **_):
        return references[:1], references[1:]

    def get(self, reference):
        return self.results.pop(reference)()

    def kill(self, handle):
        handle.is_dead = True

    def available_resources(self):
        return {"GPU": 0.5}

    def cluster_resources(self):
        return {"GPU": 4.0}
