"""The counting actors of a run: as many as the cluster has room for, each with a few blocks under way to it."""

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


_LOOK_EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
_CRASHES_IN_A_ROW = 5
_CRASHES_AT_WORK = 10
"""Of actors that never counted a block, with no block counted in between: more than a bad image brings about."""


class WorkerError(ReconcileError):
    """Work that failed for whatever reason: one is that a machine joined late, with no or another reconcile."""


class Capacity(NamedTuple):
    """What a cluster has a place for, at the same time."""

    actors: int
    tasks: int
    """That fetch and decode."""


@dataclass(frozen=True)
class ActorSpec:
    """How an actor is made."""

    options: dict[str, Any]
    """Of `ray.remote`: what it needs of a machine."""
    load: tuple[Any, ...]
    """What `CountingActor.load` is given."""
    blocks: int
    """How many are under way to each, so that none waits for the next."""


@dataclass(eq=False)
class Actor:
    """One of them."""

    handle: Any
    node: str = ""
    under_way: set[Any] = field(default_factory=set)
    exclusive: bool = False
    """What is under way to it may kill it, and should take nothing else along."""
    has_counted: bool = False


class ActorPool:
    """Starts them, replaces those that a lost machine took along, and follows the cluster where it grows or shrinks.

    Ray could restart an actor by itself. But then the blocks under way to it would wait until there is room for it
    again, which on a cluster that lost its machine for good is never; so whoever lost a block gives it to another.

    Args:
        recipe: how one is made.
        room: what the cluster has room for now.
        warn: called with one line where no actor is ready for long.
    """

    def __init__(self, recipe: ActorSpec, room: Callable[[], Capacity], warn: Callable[[str], None]) -> None:
        self._recipe, self._look, self._warn = recipe, room, warn
        self._none_since: float | None = None
        self._class: Any = ray.remote(**recipe.options)(CountingActor)
        self._ready: list[Actor] = []
        self._loading: dict[Any, Actor] = {}
        self._room, self._look_again, self._deaths, self._deaths_at_work = Capacity(1, 1), 0.0, 0, 0

    @property
    def capacity(self) -> Capacity:
        """What there is a place for; at least one of each, since who waits for it makes a cluster that scales grow."""
        if time.monotonic() >= self._look_again:
            self._room = Capacity(*(max(1, number) for number in self._look()))
            self._look_again = time.monotonic() + _LOOK_EVERY_SECONDS
        return self._room

    @property
    def loading(self) -> list[Any]:
        """What to wait for."""
        return list(self._loading)

    def scale(self, blocks: int) -> None:
        """Start actors for `blocks` blocks that are not counted yet; end those that there is no room for any more."""
        wanted = self.capacity.actors
        while len(self._ready) + len(self._loading) < min(wanted, blocks):
            handle = self._class.remote()
            self._loading[handle.load.remote(*self._recipe.load)] = Actor(handle)
        for loading in self.loading[max(wanted - len(self._ready), 0) :]:
            ray.kill(self._loading.pop(loading).handle)
        for idle in [actor for actor in self._ready if not actor.under_way]:
            if len(self._ready) > wanted:
                self.remove(idle)
        self._mind_waiting(blocks)

    def _mind_waiting(self, blocks: int) -> None:
        """Warn once each time that blocks wait and nobody comes to count them: Ray itself would wait in silence."""
        if self._ready or not blocks:
            self._none_since = None
        elif self._none_since is None:
            self._none_since = time.monotonic()
        elif time.monotonic() >= self._none_since + _PATIENCE_SECONDS:
            self._none_since = math.inf
            name = "GPU" if self._recipe.options.get("num_gpus") else "CPU"
            free, there = (what.get(name, 0.0) for what in (ray.available_resources(), ray.cluster_resources()))
            self._warn(
                f"no counting actor is ready after {_PATIENCE_SECONDS:.0f} s, and the run waits for one: each asks for "
                f"{self._recipe.options[f'num_{name.lower()}s']:g} {name} of one machine, and {free:g} of the Ray "
                f"cluster's {there:g} {name}s are free; where actors have theirs, they still load the model"
            )

    def loaded(self, loading: Any) -> None:
        """One of `loading` is done.

        Raises:
            ReconcileError: the model could not be loaded, or actors keep dying.
        """
        actor = self._loading.pop(loading, None)
        if actor is None:
            return
        try:
            actor.node = ray.get(loading)
        except RayTaskError as error:
            raise describe_crash(error) from None
        except RayActorError as error:  # its machine went, or there was too little memory
            self._deaths += 1
            if self._deaths == _CRASHES_IN_A_ROW:
                raise WorkerError(
                    f"{self._deaths} counting actors in a row died before they could count: {_line(error)}"
                ) from None
        else:
            self._ready.append(actor)
            self._deaths = 0

    def least_busy(self, node: str, exclusive: bool) -> Actor | None:
        """Whom to give a block that lies on `node`: one there if it can take more, else another; None if none can.

        Args:
            node: its id.
            exclusive: only one that has nothing to do.
        """
        most = 1 if exclusive else self._recipe.blocks
        able = [actor for actor in self._ready if len(actor.under_way) < most and not actor.exclusive]
        return min(able, key=lambda actor: (actor.node != node, len(actor.under_way)), default=None)

    def has_counted(self, actor: Actor) -> None:
        """A block's count has come back from it."""
        actor.has_counted, self._deaths_at_work = True, 0

    def died(self, actor: Actor, error: RayActorError) -> None:
        """It died, maybe with its machine, while blocks were under way to it.

        Raises:
            ReconcileError: all do that before they have counted anything.
        """
        if actor not in self._ready:
            return
        self.remove(actor)
        if not actor.has_counted:  # else its machine may have gone, as many do at once where their price rises
            self._deaths_at_work += 1
        if self._deaths_at_work == _CRASHES_AT_WORK:
            raise ReconcileError(
                f"{_CRASHES_AT_WORK} counting actors in a row died at their first block: {_line(error)}"
            )

    def remove(self, actor: Actor) -> None:
        """It is gone, or should be."""
        if actor in self._ready:
            self._ready.remove(actor)
            ray.kill(actor.handle)

    def close(self) -> None:
        """End all of them, so that others have the machines."""
        for actor in [*self._ready, *self._loading.values()]:
            ray.kill(actor.handle)


def describe_crash(error: RayTaskError) -> ReconcileError:
    """The one line of work that was not lost, but cannot be done."""
    if isinstance(error.cause, ReconcileError):
        return ReconcileError(str(error.cause))
    return WorkerError(f"the work failed on a machine of the cluster: {str(error).strip().splitlines()[-1][:300]}")


def _line(error: RayActorError) -> str:
    return " ".join(str(error).split())[:300]
