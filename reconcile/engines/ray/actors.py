"""A pool of counting actors that follows the size of the cluster. Each actor has a few blocks in flight."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.exceptions import RayActorError, RayTaskError

from reconcile.engines.ray.worker import CountingActor
from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Callable


_CAPACITY_SECONDS = 5.0
"""The seconds for which the capacity of the cluster is cached."""
_WARN_AFTER_SECONDS = 60.0
"""The seconds that blocks may wait without a ready actor before a warning."""
_MAX_LOAD_CRASHES = 5
"""The number of actors in a row that may crash while they load the model."""
_MAX_COUNT_CRASHES = 10
"""The number of actors in a row that may crash on their first block. One bad image causes fewer crashes."""


class WorkerError(ReconcileError):
    """An unexpected error on a machine of the cluster, which may have no reconcile or another version."""


class Capacity(NamedTuple):
    """The number of actors and tasks that a cluster can run at the same time."""

    actors: int
    """The number of counting actors."""
    tasks: int
    """The number of tasks that fetch and decode."""


@dataclass(frozen=True)
class ActorSpec:
    """The options and arguments with which an actor is created."""

    options: dict[str, Any]
    """The options of `ray.remote`: what an actor needs of a machine."""
    load: tuple[Any, ...]
    """The arguments of `CountingActor.load`."""
    blocks: int
    """The number of blocks in flight to each actor, so that an actor never waits for the next block."""


@dataclass(eq=False)
class Actor:
    """A counting actor, as this process sees it."""

    handle: Any
    node: str = ""
    """The id of its node."""
    in_flight: set[Any] = field(default_factory=set)
    """The counts that it has not returned yet."""
    exclusive: bool = False
    """True if its block may crash it. It gets no other block meanwhile."""
    has_counted: bool = False
    """True after it has counted a block."""


class ActorPool:
    """The actors of a run. The pool replaces lost actors, and follows a cluster that grows or shrinks.

    Ray could restart an actor by itself. But then the blocks in flight to the actor would wait for a free machine,
    perhaps for ever. So the scheduler gives a lost block to another actor.

    Args:
        spec: the options and arguments with which an actor is created.
        capacity: returns the number of actors and tasks that the cluster can run now.
        warn: called with one line if no actor is ready for a long time.
    """

    def __init__(self, spec: ActorSpec, capacity: Callable[[], Capacity], warn: Callable[[str], None]) -> None:
        self._spec, self._get_capacity, self._warn = spec, capacity, warn
        self._none_ready_since: float | None = None
        self._class: Any = ray.remote(**spec.options)(CountingActor)
        self._ready: list[Actor] = []
        self._loading: dict[Any, Actor] = {}
        self._capacity, self._capacity_expires = Capacity(1, 1), 0.0
        self._load_crashes = self._count_crashes = 0

    @property
    def capacity(self) -> Capacity:
        """The capacity of the cluster, at least one of each. A waiting request makes an autoscaling cluster grow."""
        if time.monotonic() >= self._capacity_expires:
            self._capacity = Capacity(*(max(1, number) for number in self._get_capacity()))
            self._capacity_expires = time.monotonic() + _CAPACITY_SECONDS
        return self._capacity

    @property
    def loading(self) -> list[Any]:
        """The Ray references of actors that load the model. `loaded` handles each of them when it is ready."""
        return list(self._loading)

    def scale(self, blocks: int) -> None:
        """Start actors for the blocks that are not counted yet, and end actors that exceed the capacity.

        Args:
            blocks: the number of blocks that are not counted yet.
        """
        wanted = self.capacity.actors
        while len(self._ready) + len(self._loading) < min(wanted, blocks):
            handle = self._class.remote()
            self._loading[handle.load.remote(*self._spec.load)] = Actor(handle)
        for loading in self.loading[max(wanted - len(self._ready), 0) :]:
            ray.kill(self._loading.pop(loading).handle)
        for idle in [actor for actor in self._ready if not actor.in_flight]:
            if len(self._ready) > wanted:
                self.remove(idle)
        self._warn_without_actors(blocks)

    def _warn_without_actors(self, blocks: int) -> None:
        """Warn once each time that blocks wait and no actor becomes ready. Ray itself would wait silently."""
        if self._ready or not blocks:
            self._none_ready_since = None
        elif self._none_ready_since is None:
            self._none_ready_since = time.monotonic()
        elif time.monotonic() >= self._none_ready_since + _WARN_AFTER_SECONDS:
            self._none_ready_since = math.inf
            name = "GPU" if self._spec.options.get("num_gpus") else "CPU"
            free, total = (what.get(name, 0.0) for what in (ray.available_resources(), ray.cluster_resources()))
            self._warn(
                f"no counting actor is ready after {_WARN_AFTER_SECONDS:.0f} s, so the run waits. Each actor needs "
                f"{self._spec.options[f'num_{name.lower()}s']:g} {name} of one machine, and {free:g} of the {total:g} "
                f"{name}s of the Ray cluster are free. An actor that has its {name} may still be loading the model"
            )

    def loaded(self, loading: Any) -> None:
        """Record that an actor has loaded the model, or failed to.

        Args:
            loading: a reference from `loading`.

        Raises:
            ReconcileError: the model could not be loaded, or actors crash again and again.
        """
        actor = self._loading.pop(loading, None)
        if actor is None:
            return
        try:
            actor.node = ray.get(loading)
        except RayTaskError as error:
            raise describe_task_error(error) from None
        except RayActorError as error:  # the machine was lost, or had too little memory
            self._load_crashes += 1
            if self._load_crashes == _MAX_LOAD_CRASHES:
                raise WorkerError(
                    f"{self._load_crashes} counting actors in a row crashed while they loaded the model: "
                    f"{_one_line(error)}"
                ) from None
        else:
            self._ready.append(actor)
            self._load_crashes = 0

    def least_busy(self, node: str, exclusive: bool) -> Actor | None:
        """Return the actor that should count a block, or None if no actor can take it. Actors on `node` come first.

        Args:
            node: the id of the node that holds the block.
            exclusive: whether only an idle actor may take the block.
        """
        most = 1 if exclusive else self._spec.blocks
        able = [actor for actor in self._ready if len(actor.in_flight) < most and not actor.exclusive]
        return min(able, key=lambda actor: (actor.node != node, len(actor.in_flight)), default=None)

    def has_counted(self, actor: Actor) -> None:
        """Record that an actor has counted a block."""
        actor.has_counted, self._count_crashes = True, 0

    def died(self, actor: Actor, error: RayActorError) -> None:
        """Remove an actor that crashed, perhaps with its machine, while blocks were in flight to it.

        Raises:
            ReconcileError: actors crash again and again before they have counted a block.
        """
        if actor not in self._ready:
            return
        self.remove(actor)
        if not actor.has_counted:  # after a count, a lost machine is more likely, as with spot machines
            self._count_crashes += 1
        if self._count_crashes == _MAX_COUNT_CRASHES:
            raise ReconcileError(
                f"{_MAX_COUNT_CRASHES} counting actors in a row crashed on their first block: {_one_line(error)}"
            )

    def remove(self, actor: Actor) -> None:
        """Remove an actor from the pool, and end it."""
        if actor in self._ready:
            self._ready.remove(actor)
            ray.kill(actor.handle)

    def close(self) -> None:
        """End all actors, which frees the machines."""
        for actor in [*self._ready, *self._loading.values()]:
            ray.kill(actor.handle)


def describe_task_error(error: RayTaskError) -> ReconcileError:
    """Return a one-line error for a task that ran and failed."""
    if isinstance(error.cause, ReconcileError):
        return ReconcileError(str(error.cause))
    return WorkerError(f"a task failed on a machine of the Ray cluster: {str(error).strip().splitlines()[-1][:300]}")


def _one_line(error: RayActorError) -> str:
    return " ".join(str(error).split())[:300]
