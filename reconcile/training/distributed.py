"""Where training runs: on the CPU or on GPUs, in one process or in several that torchrun started."""

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


_WELL_FASTER = 0.8
"""So much of float32's time at most: where both take about as long, trainings after one recipe are to be alike."""


@dataclass(frozen=True)
class Distributed:
    """One process of a training."""

    device: torch.device
    rank: int
    """0 for the process that writes files and talks."""
    processes: int
    autocast: torch.dtype | None
    """What convolutions are computed in; None for float32."""

    def any_rank(self, flag: bool) -> bool:
        """Whether it holds in any of the processes; every process must call."""
        if self.processes == 1:
            return flag
        held = torch.tensor(int(flag), device=self.device)
        distributed.all_reduce(held, distributed.ReduceOp.MAX)
        return bool(held.item())

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """The first process does what is within before the others do it, who then find it done."""
        if self.rank > 0:
            distributed.barrier()
        yield
        if self.rank == 0 and self.processes > 1:
            distributed.barrier()

    def wait_for_all(self) -> None:
        """Go on when every process has come here."""
        if self.processes > 1:
            distributed.barrier()

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's tensors."""
        if self.processes > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks; every process must call."""
        if self.processes == 1:
            return [value]
        values: list[Any] = [None] * self.processes
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def init_distributed(dtype: str) -> Iterator[Distributed]:
    """Take this process's part: its GPU where there are any, and its rank where torchrun started several.

    CUDA was not to be had where this was written: one and two processes on the CPU were run, GPUs were not.

    Args:
        dtype: what the recipe wants convolutions computed in: float32, bfloat16, float16, or auto for what is fast.

    Raises:
        UsageError: torchrun started more processes than there are GPUs, or several machines, which would each need the
            first one's files.
    """
    processes, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        raise UsageError("training on several machines is not supported; take one with more GPUs")
    device = torch.device("cpu")
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UsageError(f"process {local + 1} on this machine has no GPU: there are {torch.cuda.device_count()}")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if processes > 1:
        # The others wait while the first decodes all photos.
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=12))
    try:
        place = Distributed(device, rank, processes, _autocast(dtype, device))
        yield replace(place, autocast=place.gather(place.autocast)[0])  # timed, each process might find another
    finally:
        if processes > 1:
            # What still holds the group when it is destroyed aborts the process at its end.
            gc.collect()
            distributed.destroy_process_group()


def _autocast(dtype: str, device: torch.device) -> torch.dtype | None:
    if dtype == "auto":
        return _fast_dtype(device)
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]


def _fast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the device computes it well faster than float32, float16 on GPUs before Ampere, else None.

    CPUs that have instructions for bfloat16 are timed: ResNet34 at 96 pixels on 2 cores trained at 95 images/s with
    AMX; with AVX-512 BF16 alone at 41 on one kind (float32: 51) and at 161 on another (float32: 75).
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    known = torch.cpu.get_capabilities()
    if not (known.get("amx_bf16") or known.get("avx512_bf16")):
        return None
    in_float32, in_bfloat16 = _seconds_of_a_step(None), _seconds_of_a_step(torch.bfloat16)
    return torch.bfloat16 if in_bfloat16 < _WELL_FASTER * in_float32 else None


def _seconds_of_a_step(dtype: torch.dtype | None) -> float:
    """The fastest of some steps through a convolution like most of ResNet34's, forward and backward.

    In one thread and by its own time on a core: several would wait for each other wherever somebody else is busy.
    """
    convolution = nn.Conv2d(128, 128, 3, padding=1).to(memory_format=torch.channels_last)
    images = torch.zeros(16, 128, 24, 24).to(memory_format=torch.channels_last)
    taken = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(5):
            started = time.thread_time()
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                convolution(images).sum().backward()
            taken.append(time.thread_time() - started)
    finally:
        torch.set_num_threads(threads)
    return min(taken)
