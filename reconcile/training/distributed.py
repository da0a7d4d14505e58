"""One process of a distributed training, on the CPU or on a GPU."""

from __future__ import annotations

import gc
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

from reconcile.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor


_MAX_RELATIVE_TIME = 0.8
"""bfloat16 is used only if it takes at most this fraction of the time of float32.

If both take about as long, trainings of one recipe should be alike on all machines.
"""


@dataclass(frozen=True)
class Distributed:
    """One process of a training."""

    device: torch.device
    rank: int
    """The number of this process. Process 0 writes the files and the log."""
    processes: int
    """The number of all processes."""
    autocast: torch.dtype | None
    """The dtype of convolutions; None for float32."""

    def any_rank(self, flag: bool) -> bool:
        """Return whether the flag is true in any process. Every process must call this."""
        if self.processes == 1:
            return flag
        any_flag = torch.tensor(int(flag), device=self.device)
        distributed.all_reduce(any_flag, distributed.ReduceOp.MAX)
        return bool(any_flag.item())

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in process 0 first. The other processes run it afterwards and can use its result."""
        if self.rank > 0:
            distributed.barrier()
        yield
        if self.rank == 0 and self.processes > 1:
            distributed.barrier()

    def wait_for_all(self) -> None:
        """Wait until every process has called this."""
        if self.processes > 1:
            distributed.barrier()

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the tensors of process 0 to every process, in place."""
        if self.processes > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in the order of their ranks. Every process must call this."""
        if self.processes == 1:
            return [value]
        values: list[Any] = [None] * self.processes
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def init_distributed(dtype: str) -> Iterator[Distributed]:
    """Join the process group of torchrun, if there is one, and choose this process's GPU, if there is one.

    Tested with one and two processes on the CPU. Not yet run on a GPU.

    Args:
        dtype: the dtype of convolutions in the recipe: float32, bfloat16, float16, or auto for a fast one.

    Raises:
        UsageError: torchrun started more processes than there are GPUs, or processes on several machines. The machines
            would all need the files of process 0.
    """
    processes, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        raise UsageError("training on several machines is not supported; use one machine with more GPUs")
    device = torch.device("cpu")
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            gpus = torch.cuda.device_count()
            raise UsageError(f"process {local + 1} has no GPU, because this machine has {gpus}; start fewer processes")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if processes > 1:
        # The timeout is long, because the other processes wait while process 0 decodes all photos.
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=12))
    try:
        process = Distributed(device, rank, processes, _autocast(dtype, device))
        # The choice may depend on a timing, so all processes use that of process 0.
        yield replace(process, autocast=process.gather(process.autocast)[0])
    finally:
        if processes > 1:
            # An object that still holds the destroyed group would abort the process at its end.
            gc.collect()
            distributed.destroy_process_group()


def _autocast(dtype: str, device: torch.device) -> torch.dtype | None:
    if dtype == "auto":
        return _fast_dtype(device)
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]


def _fast_dtype(device: torch.device) -> torch.dtype | None:
    """Return bfloat16 if the device computes it much faster than float32, float16 on GPUs before Ampere, else None.

    A CPU with instructions for bfloat16 is timed, because on some of them float32 is faster.
    docs/explanation/design/performance.md has measurements.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    capabilities = torch.cpu.get_capabilities()
    if not (capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")):
        return None
    in_float32, in_bfloat16 = _seconds_per_step(None), _seconds_per_step(torch.bfloat16)
    return torch.bfloat16 if in_bfloat16 < _MAX_RELATIVE_TIME * in_float32 else None


def _seconds_per_step(dtype: torch.dtype | None) -> float:
    """Return the time of the fastest of five steps through a convolution that is typical of ResNet34.

    A step is one forward and one backward pass. It uses one thread, and its CPU time counts, because several threads
    would wait for each other if other programs are running.
    """
    convolution = nn.Conv2d(128, 128, 3, padding=1).to(memory_format=torch.channels_last)
    images = torch.zeros(16, 128, 24, 24).to(memory_format=torch.channels_last)
    seconds = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(5):
            started = time.thread_time()
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                convolution(images).sum().backward()
            seconds.append(time.thread_time() - started)
    finally:
        torch.set_num_threads(threads)
    return min(seconds)
