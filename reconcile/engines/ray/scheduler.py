"""Schedule blocks of photos over preprocessing tasks and counting actors."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from reconcile.concurrency.channels import Stopped
from reconcile.engines.ray.actors import describe_task_error
from reconcile.engines.ray.worker import prepare
from reconcile.streaming.count_rows import counted_row, uncounted_row
from reconcile.text import plural

if TYPE_CHECKING:
    from reconcile.concurrency.channels import Channel, StageGroup
    from reconcile.engines.ray.actors import Actor, ActorPool
    from reconcile.engines.ray.worker import CountedBlock
    from reconcile.labels import CountLabels
    from reconcile.storage.base import StoredObject


_WAIT_SECONDS = 0.1
_RETRIES = 3
"""The number of times that Ray repeats a lost task, and that the scheduler repeats a block of a lost actor."""


@dataclass(eq=False)
class _Block:
    """The images of one task and one count."""

    images: list[StoredObject]
    pixels: Any = None
    """The Ray reference of its `PreparedBlock`. Ray computes the object again if its machine is lost."""
    node: str = ""
    """The id of the node that holds the pixels."""
    crashes: int = 0
    """The number of actors that crashed while they had this block."""


class BlockScheduler:
    """The scheduler of all blocks in flight. One thread runs it.

    The rows of a block are passed on once, after its count has returned. So a lost machine loses no rows, and no image
    gets two rows. The number of blocks that are prepared or wait for an actor is limited to the capacity of the
    cluster. So a slow model also slows down fetching.

    Args:
        task: the first argument of `prepare`, as a value or a Ray reference.
        options: the options of `ray.remote` for preprocessing tasks.
        actors: the actors that count.
        labels: the labels of the model.
    """

    def __init__(self, task: Any, options: dict[str, Any], actors: ActorPool, labels: CountLabels) -> None:
        self._task, self._actors, self._labels = task, actors, labels
        self._prepare: Any = ray.remote(num_returns=2, max_retries=_RETRIES, **options)(prepare)
        self._retry: deque[_Block] = deque()
        self._preparing: dict[Any, _Block] = {}
        self._prepared: deque[_Block] = deque()
        self._counting: dict[Any, tuple[_Block, Actor]] = {}
        self.seconds_per_image: float | None = None
        """The time that an actor needed per image of the last block; None until a block is counted."""

    def run(self, blocks: Channel[list[StoredObject]], rows: Channel[list[dict[str, Any]]], stages: StageGroup) -> None:
        """Count blocks until no more come, and put the rows of each.

        Raises:
            ReconcileError: a machine cannot do its part.
            Stopped: another stage failed, or the run was interrupted.
        """
        while True:
            if stages.stopped:
                raise Stopped
            self._start_preparing(blocks)
            in_flight = len(self._preparing) + len(self._prepared) + len(self._counting)
            if not in_flight and blocks.is_over:
                return
            self._actors.scale(in_flight)
            self._start_counting()
            for reference in self._wait():
                if reference in self._preparing:
                    self._finish_preparing(reference, rows)
                elif reference in self._counting:
                    self._finish_counting(reference, rows)
                else:
                    self._actors.loaded(reference)

    def _wait(self) -> list[Any]:
        """Wait briefly, and return the Ray references that are ready."""
        references = [*self._preparing, *self._counting, *self._actors.loading]
        if not references:  # listing is slower than counting
            time.sleep(_WAIT_SECONDS)
            return []
        ready: list[Any] = ray.wait(references, num_returns=1, timeout=_WAIT_SECONDS)[0]
        return ready

    def _start_preparing(self, blocks: Channel[list[StoredObject]]) -> None:
        """Start preprocessing tasks, up to the capacity of the cluster."""
        while len(self._preparing) + len(self._prepared) < sum(self._actors.capacity):
            if self._retry:
                block = self._retry.popleft()
            elif images := blocks.get_nowait():
                block = _Block(images)
            else:
                return
            block.pixels, node = self._prepare.remote(self._task, block.images)
            self._preparing[node] = block

    def _start_counting(self) -> None:
        """Give prepared blocks to the actors that can accept them."""
        while self._prepared:
            exclusive = self._prepared[0].crashes > 0  # this block may be the cause of the crash
            actor = self._actors.least_busy(self._prepared[0].node, exclusive)
            if actor is None:
                return
            block = self._prepared.popleft()
            result = actor.handle.count.remote(block.pixels)
            actor.in_flight.add(result)
            actor.exclusive = exclusive
            self._counting[result] = block, actor

    def _finish_preparing(self, node: Any, rows: Channel[list[dict[str, Any]]]) -> None:
        block = self._preparing.pop(node)
        try:
            block.node = ray.get(node)
        except RayError as error:
            self._give_up(block, "read", error, rows)
        else:
            self._prepared.append(block)

    def _finish_counting(self, result: Any, rows: Channel[list[dict[str, Any]]]) -> None:
        block, actor = self._counting.pop(result)
        actor.in_flight.remove(result)
        actor.exclusive = False
        try:
            counted: CountedBlock = ray.get(result)
        except RayActorError as error:
            self._actors.died(actor, error)
            block.crashes += 1
            if block.crashes > _RETRIES:
                self._give_up(block, "count", error, rows)
            else:
                self._prepared.appendleft(block)
        except RayError as error:
            self._give_up(block, "count", error, rows)
        else:
            self._actors.has_counted(actor)
            if len(counted.probabilities):
                self.seconds_per_image = counted.seconds / len(counted.probabilities)
            rows.put(self._rows(block, counted))

    def _give_up(self, block: _Block, action: str, error: RayError, rows: Channel[list[dict[str, Any]]]) -> None:
        """Handle a block that was lost too often. Its images are tried one by one, because one may cause the crashes.

        Raises:
            ReconcileError: the block was not lost; a task or an actor failed with an error.
        """
        if isinstance(error, RayTaskError):
            raise describe_task_error(error) from None
        if len(block.images) > 1:
            self._retry += [_Block([stored]) for stored in block.images]
        else:
            [stored] = block.images
            reason = f"the process or machine that tried to {action} the photo was lost {plural(_RETRIES + 1, 'time')}"
            rows.put([uncounted_row(stored.key, stored.etag, reason, try_again=True, now=datetime.now(UTC))])

    def _rows(self, block: _Block, counted: CountedBlock) -> list[dict[str, Any]]:
        """Return the rows of a block, one for each image."""
        now, failed = datetime.now(UTC), {failure.image_index for failure in counted.failures}
        rows = [
            uncounted_row(block.images[index].key, block.images[index].etag, reason, try_again, now)
            for index, reason, try_again in counted.failures
        ]
        images = [stored for index, stored in enumerate(block.images) if index not in failed]
        for stored, probs, facts in zip(images, counted.probabilities, counted.facts, strict=True):
            rows.append(counted_row(stored.key, stored.etag, probs, self._labels, now, facts))
        return rows
