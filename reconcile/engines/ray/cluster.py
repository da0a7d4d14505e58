"""Connect to, or start, a Ray cluster and check its machines. Ray prints nothing meanwhile."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconcile import __version__
from reconcile.concurrency.cpu import available_cores
from reconcile.errors import ReconcileError, UsageError, first_line
from reconcile.output.scratch import locked_folder
from reconcile.temporary import temporary_parent

if TYPE_CHECKING:
    from collections.abc import Iterator


_LOCAL = "local"
_FOLDER_PREFIX = "reconcile-ray-"
_MAX_PARENT_LENGTH = 16
"""In characters. The path of a socket has at most 103 (107 on Linux), and Ray's part of the path has 87."""
_CONNECT_SECONDS = 10
_CHECK_SECONDS = 120
"""The time limit for all machines to answer. Each may have to start a process that imports onnxruntime."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray sends no usage statistics
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray's C++ code writes to standard error; its session logs have everything
    "RAY_DEDUP_LOGS": "0",  # otherwise Ray prints held-back lines at the end
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # otherwise Ray warns that this default will change
    "RAY_worker_niceness": "0",  # otherwise counting gets a lower priority than all other processes of a machine
}
"""Environment variables for a local Ray, and for our part of a cluster. Variables that are already set keep their
values."""


class Cluster:
    """A connection to a Ray cluster.

    Args:
        address: HOST:PORT of the head; None for RAY_ADDRESS, or without that for a local Ray that ends with this
            process.

    Raises:
        UsageError: the address has another form.
        ReconcileError: Ray is not installed or does not answer, or a machine does not have this version of reconcile.
    """

    def __init__(self, address: str | None) -> None:
        self._resources_to_close = ExitStack()
        self.address = address or os.environ.get("RAY_ADDRESS") or _LOCAL
        os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
        try:
            import ray
        except ImportError:
            raise ReconcileError("--engine ray needs Ray: in a checkout, pip install '.[ray]'") from None
        if self.address == _LOCAL:
            options = {"num_cpus": available_cores(), "include_dashboard": False, "_temp_dir": self._create_folder()}
        else:
            _check_address(self.address)
            options = {}
        with _keep_signal_handlers(), suppress_stdout(), _suppress_stderr():
            try:
                ray.init(
                    address=self.address,
                    logging_level=logging.CRITICAL,
                    log_to_driver=False,
                    **options,
                )
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                self._resources_to_close.close()
                raise ReconcileError(f"no Ray cluster at {self.address}: {first_line(error)}") from None
        try:
            self.check_machines()
        except ReconcileError:
            self.close()
            raise

    @property
    def is_local(self) -> bool:
        """True if the cluster is only this machine, and ends with this process."""
        return self.address == _LOCAL

    @property
    def machines(self) -> int:
        """The number of machines with a core or a GPU for tasks."""
        return len(self._workers())

    @property
    def cpus(self) -> int:
        """The number of cores of the cluster, as set when Ray was started."""
        return int(self._total("CPU"))

    @property
    def gpus(self) -> float:
        """The number of GPUs of the cluster."""
        return self._total("GPU")

    def close(self) -> None:
        """Leave the cluster. A local Ray ends."""
        import ray

        with _keep_signal_handlers(), suppress_stdout():
            ray.shutdown()
        self._resources_to_close.close()

    def _create_folder(self) -> str:
        """Create the folder for the sockets, the logs and the spilled objects of a local Ray.

        Raises:
            ReconcileError: the folder cannot be created.
        """
        parent = os.environ.get("RAY_TMPDIR") or str(temporary_parent())
        if len(parent) > _MAX_PARENT_LENGTH:
            parent = "/tmp"  # noqa: S108
        try:
            folder = self._resources_to_close.enter_context(locked_folder(Path(parent), _FOLDER_PREFIX))
        except OSError as error:
            reason = error.strerror or error
            raise ReconcileError(f"cannot create a folder for Ray: {reason}; set TMPDIR to another folder") from None
        atexit.register(self.close)  # a run that fails before it counts does not close the cluster
        return str(folder)

    def _total(self, name: str) -> float:
        import ray

        return float(ray.cluster_resources().get(name, 0.0))

    def _workers(self) -> list[dict[str, Any]]:
        import ray

        nodes: list[dict[str, Any]] = ray.nodes()
        return [node for node in nodes if node["Alive"] and ({"CPU", "GPU"} & set(node["Resources"]))]

    def check_machines(self) -> None:
        """Check that each machine has this version of reconcile.

        Raises:
            ReconcileError: a machine has another version, or none.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        def version() -> str:  # Ray sends it as code, because the machine may have no reconcile to import
            try:
                import reconcile.engines.ray.worker
            except ImportError as error:
                return f"cannot import reconcile: {error}"
            return f"has reconcile {reconcile.__version__}"

        machines = {}
        with suppress_stdout():
            for node in self._workers():
                on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task: Any = ray.remote(num_cpus=0, scheduling_strategy=on_node)(version)
                machines[task.remote()] = node["NodeManagerAddress"]
            try:
                answers = ray.get(list(machines), timeout=_CHECK_SECONDS)
            except ray.exceptions.RayError as error:
                raise ReconcileError(f"the Ray cluster at {self.address} does not work: {first_line(error)}") from None
        for machine, answer in dict(zip(machines.values(), answers, strict=True)).items():
            if answer != f"has reconcile {__version__}":
                raise ReconcileError(
                    f"machine {machine} of the Ray cluster {answer}; install reconcile {__version__} on it, "
                    "as on this machine"
                )


def _check_address(address: str) -> None:
    """Check that an address has the right form and that a server answers there. Ray itself would wait for hours."""
    host, _, port = address.rpartition(":")
    if address.startswith("ray://") or not host or not port.isdecimal():
        raise UsageError(
            f"--ray-address {address}: expected HOST:6379 of the head. This machine must be part of the cluster; "
            "`ray start --address HOST:6379 --num-cpus 0` adds it. Ray Client (ray://) is not supported"
        )
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ReconcileError(f"no Ray cluster at {address}: {error}") from None


@contextmanager
def suppress_stdout() -> Iterator[None]:
    """Discard standard output, because Ray prints messages there and the command prints its results there."""
    with open(os.devnull, "w", encoding="utf-8") as null, redirect_stdout(null):  # noqa: PTH123
        yield


@contextmanager
def _suppress_stderr() -> Iterator[None]:
    """Discard standard error, because Ray's C++ code prints its log settings there."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as null:  # noqa: PTH123
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restore our signal handlers afterwards, because Ray replaces the one of SIGTERM."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
