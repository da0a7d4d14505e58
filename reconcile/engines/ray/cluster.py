"""A Ray cluster: found or started, seen to have this very reconcile on every machine, and kept quiet."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconcile import __version__
from reconcile.concurrency.cpu import available_cores
from reconcile.errors import ReconcileError, UsageError, first_line
from reconcile.output.scratch import locked_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


_OWN = "local"
_FOLDER = "reconcile-ray-"
_LONGEST_PARENT = 16
"""In characters. A socket's whole path has 103 at most (107 on Linux); folder, session and name of one have 87."""
_ADDRESS_SECONDS = 10
_CHECK_SECONDS = 120
"""A process of Ray's may have to be started on each machine, and to import onnxruntime there."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its C++ writes to standard error; the session's own logs have it all
    "RAY_DEDUP_LOGS": "0",  # else what was held back is printed when all is over
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns that this is to be its default
    "RAY_worker_niceness": "0",  # else whatever else runs on this machine goes before what counts
}
"""For a Ray of our own, and for our part of another; what is set already stays."""


class Cluster:
    """What there is to count with.

    Args:
        address: HOST:PORT of its head; None for RAY_ADDRESS, and without that for a Ray of this machine's own, which
            ends with the process.

    Raises:
        UsageError: the address has another form.
        ReconcileError: Ray is not installed, does not answer, or a machine has not this version of reconcile.
    """

    def __init__(self, address: str | None) -> None:
        self._ended = ExitStack()
        self.address = address or os.environ.get("RAY_ADDRESS") or _OWN
        os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
        try:
            import ray
        except ImportError:
            raise ReconcileError("--engine ray needs Ray: in a checkout, pip install '.[ray]'") from None
        if self.address == _OWN:
            own = {"num_cpus": available_cores(), "include_dashboard": False, "_temp_dir": self._own_folder()}
        else:
            _check_address(self.address)
            own = {}
        with _own_signals(), quiet(), _without_standard_error():
            try:
                ray.init(
                    address=self.address,
                    logging_level=logging.CRITICAL,
                    log_to_driver=False,
                    **own,
                )
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                self._ended.close()
                raise ReconcileError(f"no Ray cluster at {self.address}: {first_line(error)}") from None
        try:
            self.check_machines()
        except ReconcileError:
            self.close()
            raise

    @property
    def is_own(self) -> bool:
        """Whether it is this machine alone, and ends with this process."""
        return self.address == _OWN

    @property
    def machines(self) -> int:
        """How many have a core or a GPU to work with."""
        return len(self._workers())

    @property
    def cpus(self) -> int:
        """Cores of all of them, as Ray was told."""
        return int(self._resources("CPU"))

    @property
    def gpus(self) -> float:
        """GPUs of all of them."""
        return self._resources("GPU")

    def close(self) -> None:
        """Leave it; one of our own ends."""
        import ray

        with _own_signals(), quiet():
            ray.shutdown()
        self._ended.close()

    def _own_folder(self) -> str:
        """Where a Ray of our own has its sockets, its logs, and what does not fit into memory.

        Raises:
            ReconcileError: it cannot be made.
        """
        parent = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
        if len(parent) > _LONGEST_PARENT:
            parent = "/tmp"  # noqa: S108
        try:
            folder = self._ended.enter_context(locked_folder(Path(parent), _FOLDER))
        except OSError as error:
            raise ReconcileError(f"no folder for Ray: {error.strerror or error}; set TMPDIR to one") from None
        atexit.register(self.close)  # a run that fails before it counts closes nothing
        return str(folder)

    def _resources(self, name: str) -> float:
        import ray

        return float(ray.cluster_resources().get(name, 0.0))

    def _workers(self) -> list[dict[str, Any]]:
        import ray

        nodes: list[dict[str, Any]] = ray.nodes()
        return [node for node in nodes if node["Alive"] and ({"CPU", "GPU"} & set(node["Resources"]))]

    def check_machines(self) -> None:
        """Ask each machine which reconcile it has.

        Raises:
            ReconcileError: one has another than this one, or none.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        def version() -> str:  # sent as code, since where it runs there may be no reconcile to import
            try:
                import reconcile.engines.ray.worker
            except ImportError as error:
                return f"cannot import reconcile: {error}"
            return f"has reconcile {reconcile.__version__}"

        asked = {}
        with quiet():
            for node in self._workers():
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ask: Any = ray.remote(num_cpus=0, scheduling_strategy=there)(version)
                asked[ask.remote()] = node["NodeManagerAddress"]
            try:
                told = dict(zip(asked.values(), ray.get(list(asked), timeout=_CHECK_SECONDS), strict=True))
            except ray.exceptions.RayError as error:
                raise ReconcileError(f"the Ray cluster at {self.address} does not work: {first_line(error)}") from None
        for machine, said in told.items():
            if said != f"has reconcile {__version__}":
                raise ReconcileError(f"Ray's machine {machine} {said}; it needs reconcile {__version__}, as here")


def _check_address(address: str) -> None:
    """Ray itself would wait for hours for somebody to answer."""
    host, _, port = address.rpartition(":")
    if address.startswith("ray://") or not host or not port.isdecimal():
        raise UsageError(
            f"--ray-address {address}: expected the head's HOST:6379, on a machine that is part of the cluster "
            "(`ray start --address HOST:6379 --num-cpus 0` makes it one); Ray Client (ray://) is not supported"
        )
    try:
        socket.create_connection((host, int(port)), _ADDRESS_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ReconcileError(f"no Ray cluster at {address}: {error}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Ray prints what happens to its processes on standard output, which is for results."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123
        yield


@contextmanager
def _without_standard_error() -> Iterator[None]:
    """Ray's C++ tells there what it was told of its logs."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
