"""Count on a Ray cluster: tasks fetch and decode, actors count, this process writes.

Ray's own tasks and actors are enough for two stages with a queue between them. `docs/explanation/design/engines.md`
explains why Ray Data is not used.

Rows come back to this process, which writes them as in any run. So each image has exactly one row.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from reconcile import __version__
from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.engines.ray.cluster import Cluster, suppress_stdout
from reconcile.engines.ray.worker import TaskSpec
from reconcile.errors import ReconcileError
from reconcile.inference.counter import CPU_BATCH, GPU_BATCH
from reconcile.inference.model import default_model, read_model
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.streaming.write_parts import write_rows
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.config import Settings
    from reconcile.engines.ray.actors import ActorSpec, Capacity
    from reconcile.engines.ray.scheduler import BlockScheduler
    from reconcile.inference.model import CountModel
    from reconcile.inputs.backlog import Backlog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket, StoredObject
    from reconcile.streaming.observers import CountObserver
    from reconcile.streaming.write_parts import StageResult


_DEVICE_NAMES = {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT"}
_TASK_CORES = 0.25
"""The fraction of a core for a task, if CPUs count. An actor gets the other part of the core.

Each core therefore has one task and one actor. Actors cannot occupy all cores while no task finds a core.
"""
_BLOCK_SECONDS, _MAX_BATCHES = 0.25, 2
"""The time in which an actor counts a block, and the largest number of batches in a block. The smallest is one batch.

Longer blocks leave cores idle more often, above all at the end. With shorter blocks actors wait too often.
"""


class RayEngine:
    """An engine that counts on a Ray cluster. `base.Engine` describes the methods.

    Args:
        settings: the settings of the run. Every machine must be able to reach the bucket, with credentials that it
            finds itself.
        warn: called with one line if the cluster has no GPU yet, or has no room for actors.

    Raises:
        ReconcileError: the model or the cluster does not exist, or a machine has another version of reconcile. Or a
            GPU is required, and a local Ray has none.
    """

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        if settings.model is not None:
            read_model(settings.model)  # a wrong file is reported before the cluster is started
        self._cluster, self._warn = Cluster(settings.ray_address), warn
        gpus, requested = self._cluster.gpus, settings.device
        self._device = ("cuda" if gpus else "cpu") if requested == "auto" else requested
        if self._device != "cpu" and not gpus:
            if self._cluster.is_local:
                self._cluster.close()
                raise ReconcileError(
                    f"--device {self._device}: Ray sees no GPU on this machine; name a cluster with --ray-address"
                )
            warn(f"--device {self._device}: the Ray cluster has no GPU; the run waits until it has one")
        if requested == "auto" and not gpus and not self._cluster.is_local:
            warn(
                "the Ray cluster has no GPU yet, so its CPUs count, with the model for CPUs; --device cuda waits for "
                "GPUs, and --device cpu chooses CPUs without this warning"
            )
        self._gpus_per_actor = settings.ray_gpus_per_actor or 1
        self._batch_size = settings.batch_size or (CPU_BATCH if self._device == "cpu" else GPU_BATCH)
        self.model: CountModel = read_model(settings.model or default_model(self._device))

    @property
    def device(self) -> str:
        """The device that the actors count on."""
        return _DEVICE_NAMES[self._device]

    @property
    def size(self) -> str:
        """The number of machines, with their cores or GPUs."""
        cluster = self._cluster
        cores = f"{cluster.cpus} cores" if self._device == "cpu" else f"{cluster.gpus:g} GPUs, {cluster.cpus} cores"
        return f"Ray, {plural(cluster.machines, 'machine')} with {cores}"

    def check(self) -> str:
        """Return what the engine would count with, and leave the cluster."""
        with suppress_stdout():
            text = f"{self.size}, would count on {self.device} with model {self.model.model_id}"
            self._cluster.close()
        return text

    def resume(self, source: Bucket, output: Output) -> None:
        """Do nothing: this process wrote everything that was counted."""

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Count on the cluster, and leave the cluster."""
        from reconcile.engines.ray.actors import ActorPool, WorkerError
        from reconcile.engines.ray.scheduler import BlockScheduler

        card = self.model.card
        actors = ActorPool(self._actor_spec(), self._capacity, self._warn)
        task = TaskSpec(source.location, source.access, card.input_size, __version__)
        scheduler = BlockScheduler(task, self._task_options, actors, card.labels)
        try:
            with suppress_stdout(), StageGroup() as stages:
                stages.on_stop(images.stop)
                blocks: Channel[list[StoredObject]] = Channel(stages, 4, 1)
                rows: Channel[list[dict[str, Any]]] = Channel(stages, 64, 1)
                stages.start("list", 1, lambda _: self._list(images, blocks, scheduler), blocks)
                stages.start("ray", 1, lambda _: scheduler.run(blocks, rows, stages), rows)
                folder = f"counts/{self.model.model_id}"
                return write_rows(rows, output, folder, COUNTS_SCHEMA, observer)
        except WorkerError:
            self._cluster.check_machines()  # if a machine has another version, that error explains more
            raise
        finally:
            with suppress_stdout():
                actors.close()
            self._cluster.close()

    def _list(self, images: Backlog, blocks: Channel[list[StoredObject]], scheduler: BlockScheduler) -> None:
        """Cut the listed images into blocks."""
        remaining = iter(images)
        while block := list(islice(remaining, block_size(self._batch_size, scheduler.seconds_per_image))):
            blocks.put(block)

    @property
    def _task_options(self) -> dict[str, Any]:
        """Return the options of `ray.remote` for a task that fetches and decodes."""
        return {"num_cpus": _TASK_CORES if self._device == "cpu" else 1, "scheduling_strategy": "SPREAD"}

    def _actor_spec(self) -> ActorSpec:
        """Put the model into Ray's object store, and return the specification of an actor."""
        import ray

        from reconcile.engines.ray.actors import ActorSpec

        if self._device == "cpu":
            needs: dict[str, Any] = {"num_cpus": 1 - _TASK_CORES}
        else:  # two threads: one copies while the other counts
            needs = {"num_gpus": self._gpus_per_actor, "num_cpus": 0, "max_concurrency": 2}
        model = ray.put(self.model.path.read_bytes())
        blocks = 2 * needs.get("max_concurrency", 1)
        options = needs | {"max_restarts": 0, "scheduling_strategy": "SPREAD"}
        return ActorSpec(options, (__version__, model, self._device, self._batch_size), blocks)

    def _capacity(self) -> Capacity:
        """Return the capacity of the cluster: one task per core; one actor per core, or as many as share the GPUs."""
        from reconcile.engines.ray.actors import Capacity

        cores = self._cluster.cpus
        gpu_actors = int(self._cluster.gpus / self._gpus_per_actor + 1e-6)
        return Capacity(cores if self._device == "cpu" else gpu_actors, cores)


def block_size(batch_size: int, seconds_per_image: float | None) -> int:
    """Return the number of images in a block. It is a multiple of the batch size.

    Args:
        batch_size: the number of images that an actor counts in one batch.
        seconds_per_image: the time that an actor needs for one image; None if it is not known yet.
    """
    if seconds_per_image is None:
        return batch_size
    batches = int(_BLOCK_SECONDS / (batch_size * max(seconds_per_image, 1e-6)))
    return batch_size * min(max(batches, 1), _MAX_BATCHES)
