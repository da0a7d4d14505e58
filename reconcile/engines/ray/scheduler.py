"""Blocks of images on their way through a cluster: fetched and decoded by tasks, counted by actors."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from reconcile.concurrency.channels import Stopped
from reconcile.engines.ray.actors import describe_crash
from reconcile.engines.ray.worker import prepare
from reconcile.streaming.count_rows import counted_row, uncounted_row

if TYPE_CHECKING:
    from reconcile.concurrency.channels import Channel, StageGroup
    from reconcile.engines.ray.actors import Actor, ActorPool
    from reconcile.engines.ray.worker import Counted
    from reconcile.labels import CountLabels
    from reconcile.storage.base import StoredObject


_WAIT_SECONDS = 0.1
_RETRIES = 3
"""Of a task whose process or machine was lost, made by Ray; and of a block that was lost with an actor, made here."""


@dataclass(eq=False)
class _Block:
    images: list[StoredObject]
    pixels: Any = None
    """Where its `Prepared` is, on some machine; Ray makes it again where that machine is lost."""
    node: str = ""
    crashes: int = 0
    """Of actors that it was under way to."""


class BlockScheduler:
    """All that is under way, looked after by one thread.

    A block's rows are handed on once, when its count has come back, whatever was tried for it before: so nothing is
    lost with a machine, and nothing counted twice. As many blocks are in preparation, or wait for an actor, as there is
    room for tasks and actors: so a slow model holds the fetching back.

    Args:
        source: what `prepare` is told first, in Ray's memory.
        options: of `ray.remote`, for the tasks that prepare: what they need of a machine.
        actors: who counts.
        labels: of the model.
    """

    def __init__(self, source: Any, options: dict[str, Any], actors: ActorPool, labels: CountLabels) -> None:
        self._source, self._actors, self._labels = source, actors, labels
        self._prepare: Any = ray.remote(num_returns=2, max_retries=_RETRIES, **options)(prepare)
        self._again: deque[_Block] = deque()
        self._preparing: dict[Any, _Block] = {}
        self._waiting: deque[_Block] = deque()
        self._counting: dict[Any, tuple[_Block, Actor]] = {}
        self.seconds_an_image: float | None = None
        """That an actor took for the last block; None until one is counted."""

    def run(self, blocks: Channel[list[StoredObject]], rows: Channel[list[dict[str, Any]]], stages: StageGroup) -> None:
        """Take blocks until there are no more, and put the rows of each.

        Raises:
            ReconcileError: a machine cannot do its part.
            Stopped: another stage has failed, or the run was interrupted.
        """
        while True:
            if stages.stopped:
                raise Stopped
            self._take(blocks)
            under_way = len(self._preparing) + len(self._waiting) + len(self._counting)
            if not under_way and blocks.is_over:
                return
            self._actors.scale(under_way)
            self._hand_out()
            for done in self._wait():
                if done in self._preparing:
                    self._prepared(done, rows)
                elif done in self._counting:
                    self._counted(done, rows)
                else:
                    self._actors.loaded(done)

    def _wait(self) -> list[Any]:
        wanted = [*self._preparing, *self._counting, *self._actors.loading]
        if not wanted:  # the listing is slower than the counting
            time.sleep(_WAIT_SECONDS)
            return []
        done: list[Any] = ray.wait(wanted, num_returns=1, timeout=_WAIT_SECONDS)[0]
        return done

    def _take(self, blocks: Channel[list[StoredObject]]) -> None:
        while len(self._preparing) + len(self._waiting) < sum(self._actors.capacity):
            if self._again:
                block = self._again.popleft()
            elif images := blocks.get_nowait():
                block = _Block(images)
            else:
                return
            block.pixels, told = self._prepare.remote(self._source, block.images)
            self._preparing[told] = block

    def _hand_out(self) -> None:
        while self._waiting:
            exclusive = self._waiting[0].crashes > 0  # this block may be what crashes its process
            actor = self._actors.least_busy(self._waiting[0].node, exclusive)
            if actor is None:
                return
            block = self._waiting.popleft()
            counted = actor.handle.count.remote(block.pixels)
            actor.under_way.add(counted)
            actor.exclusive = exclusive
            self._counting[counted] = block, actor

    def _prepared(self, told: Any, rows: Channel[list[dict[str, Any]]]) -> None:
        block = self._preparing.pop(told)
        try:
            block.node = ray.get(told)
        except RayError as error:
            self._lost(block, "read", error, rows)
        else:
            self._waiting.append(block)

    def _counted(self, counted: Any, rows: Channel[list[dict[str, Any]]]) -> None:
        block, actor = self._counting.pop(counted)
        actor.under_way.remove(counted)
        actor.exclusive = False
        try:
            found: Counted = ray.get(counted)
        except RayActorError as error:
            self._actors.died(actor, error)
            block.crashes += 1
            if block.crashes > _RETRIES:
                self._lost(block, "count", error, rows)
            else:
                self._waiting.appendleft(block)
        except RayError as error:
            self._lost(block, "count", error, rows)
        else:
            self._actors.has_counted(actor)
            if len(found.probabilities):
                self.seconds_an_image = found.seconds / len(found.probabilities)
            rows.put(self._rows(block, found))

    def _lost(self, block: _Block, what: str, error: RayError, rows: Channel[list[dict[str, Any]]]) -> None:
        """A block for which Ray has given up: its images are tried one by one, since it may be one that kills."""
        if isinstance(error, RayTaskError):
            raise describe_crash(error) from None
        if len(block.images) > 1:
            self._again += [_Block([stored]) for stored in block.images]
        else:
            [stored] = block.images
            reason = f"the process or machine that was to {what} it was lost {_RETRIES + 1} times"
            rows.put([uncounted_row(stored.key, stored.etag, reason, try_again=True, now=datetime.now(UTC))])

    def _rows(self, block: _Block, found: Counted) -> list[dict[str, Any]]:
        now, failed = datetime.now(UTC), {failure.image_index for failure in found.failures}
        made = [
            uncounted_row(block.images[place].key, block.images[place].etag, reason, again, now)
            for place, reason, again in found.failures
        ]
        counted = [stored for place, stored in enumerate(block.images) if place not in failed]
        for stored, shares in zip(counted, found.probabilities, strict=True):
            made.append(counted_row(stored.key, stored.etag, shares, self._labels, now))
        return made
