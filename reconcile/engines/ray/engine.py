"""Counts on the machines of a Ray cluster: tasks fetch and decode, actors count, this process writes.

Ray Data would do most of this, but it plans its input when it starts, and the listing goes on while we count; it starts
its actors anew for each portion; and it repeats without end what kills its process. Ray's own tasks and actors are
enough for two stages with a queue between them.

Rows come back to this process, which writes them as in any run: that is what makes them exactly one for each image.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from reconcile import __version__
from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.engines.ray.cluster import Cluster, quiet
from reconcile.engines.ray.worker import Source
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


_NAMES = {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT"}
_DECODING_SHARE = 0.25
"""Of each core where CPUs count: as much is kept for tasks, and an actor gets the rest. So a core has one of each, and
actors never leave the tasks that they wait for without a place."""
_BLOCK_SECONDS, _MOST_BATCHES = 0.25, 2
"""A block is what an actor counts in about so long, one batch at least. Of longer ones cores are idle more often, and
whoever has the last counts alone: 1.21 times the time without Ray with two batches of 0.8 s each, 1.07 with one; 1.17
with two of 0.15 s (1.19 with four), 1.11 with one. Of shorter ones actors seem to wait too often: with AMX, where a
batch takes 0.11 s on a quiet core, 1.2 times with one and 0.97 with two, by medians of 4 noisy rounds."""


class RayEngine:
    """See `engine.Engine`.

    Args:
        settings: of the run; its bucket has to be reached from every machine, with credentials that are found there.
        warn: called with one line where the cluster has no GPU yet, or no room.

    Raises:
        ReconcileError: no model, no cluster, or one whose machines have another reconcile; no GPU, and none to come.
    """

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        if settings.model is not None:
            read_model(settings.model)  # said before a cluster is looked for
        self._cluster, self._warn = Cluster(settings.ray_address), warn
        gpus, asked = self._cluster.gpus, settings.device
        self._device = ("cuda" if gpus else "cpu") if asked == "auto" else asked
        if self._device != "cpu" and not gpus:
            if self._cluster.is_own:
                self._cluster.close()
                raise ReconcileError(
                    f"--device {self._device}: this machine has no GPU that Ray sees; --ray-address names a cluster"
                )
            warn(f"--device {self._device}: the Ray cluster has no GPU; the run waits until it has one")
        if asked == "auto" and not gpus and not self._cluster.is_own:
            warn(
                "the Ray cluster has no GPU yet, so its CPUs count, with the model for CPUs; "
                "--device cuda waits for GPUs, --device cpu is this choice without the warning"
            )
        self._gpu_share = settings.ray_gpus_per_actor or 1
        self._batch_size = settings.batch_size or (CPU_BATCH if self._device == "cpu" else GPU_BATCH)
        self.model: CountModel = read_model(settings.model or default_model(self._device))

    @property
    def device(self) -> str:
        """What the actors count on."""
        return _NAMES[self._device]

    @property
    def size(self) -> str:
        """Machines, and what they have."""
        cluster = self._cluster
        what = f"{cluster.cpus} cores" if self._device == "cpu" else f"{cluster.gpus:g} GPUs, {cluster.cpus} cores"
        return f"Ray, {plural(cluster.machines, 'machine')} with {what}"

    def check(self) -> str:
        """What it would count with; the cluster is left."""
        with quiet():
            told = f"{self.size}, would count on {self.device} with model {self.model.model_id}"
            self._cluster.close()
        return told

    def resume(self, bucket: Bucket, output: Output) -> None:
        """Nothing: what was counted was written from here."""

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Count on the cluster, and leave it."""
        from reconcile.engines.ray.actors import ActorPool, WorkerError
        from reconcile.engines.ray.scheduler import BlockScheduler

        card = self.model.card
        actors = ActorPool(self._recipe(), self._room, self._warn)
        location = Source(source.location, source.access, card.input_size, __version__)
        flow = BlockScheduler(location, self._preparing, actors, card.labels)
        try:
            with quiet(), StageGroup() as stages:
                stages.on_stop(images.stop)
                blocks: Channel[list[StoredObject]] = Channel(stages, 4, 1)
                rows: Channel[list[dict[str, Any]]] = Channel(stages, 64, 1)
                stages.start("list", 1, lambda _: self._list(images, blocks, flow), blocks)
                stages.start("ray", 1, lambda _: flow.run(blocks, rows, stages), rows)
                folder = f"counts/{self.model.model_id}"
                return write_rows(rows, output, folder, COUNTS_SCHEMA, observer)
        except WorkerError:
            self._cluster.check_machines()  # which may say it better
            raise
        finally:
            with quiet():
                actors.close()
            self._cluster.close()

    def _list(self, images: Backlog, blocks: Channel[list[StoredObject]], flow: BlockScheduler) -> None:
        waiting = iter(images)
        while block := list(islice(waiting, block_size(self._batch_size, flow.seconds_an_image))):
            blocks.put(block)

    @property
    def _preparing(self) -> dict[str, Any]:
        """What a task that fetches and decodes needs of a machine."""
        return {"num_cpus": _DECODING_SHARE if self._device == "cpu" else 1, "scheduling_strategy": "SPREAD"}

    def _recipe(self) -> ActorSpec:
        import ray

        from reconcile.engines.ray.actors import ActorSpec

        if self._device == "cpu":
            needs: dict[str, Any] = {"num_cpus": 1 - _DECODING_SHARE}
        else:  # two threads, of which one copies while the other counts
            needs = {"num_gpus": self._gpu_share, "num_cpus": 0, "max_concurrency": 2}
        model = ray.put(self.model.path.read_bytes())
        blocks = 2 * needs.get("max_concurrency", 1)
        options = needs | {"max_restarts": 0, "scheduling_strategy": "SPREAD"}
        return ActorSpec(options, (__version__, model, self._device, self._batch_size), blocks)

    def _room(self) -> Capacity:
        """A task a core, and an actor a core, or as many as share the GPUs."""
        from reconcile.engines.ray.actors import Capacity

        cores = self._cluster.cpus
        return Capacity(cores if self._device == "cpu" else int(self._cluster.gpus / self._gpu_share + 1e-6), cores)


def block_size(batch_size: int, seconds_an_image: float | None) -> int:
    """How many images travel together: whole batches.

    Args:
        batch_size: images that an actor counts at a time.
        seconds_an_image: that it takes; None where that is not known yet.
    """
    if seconds_an_image is None:
        return batch_size
    batches = int(_BLOCK_SECONDS / (batch_size * max(seconds_an_image, 1e-6)))
    return batch_size * min(max(batches, 1), _MOST_BATCHES)
