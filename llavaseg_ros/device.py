# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the models run, how much of it they may take, and what it means when it runs out."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from llavaseg_ros.errors import BadRequest, OutOfMemory, is_out_of_memory


def select_device(device: str) -> torch.device:
    """The torch device of "auto", "cpu", "cuda" or "cuda:N"; BadRequest if it is none of these or not here."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    index = device.removeprefix("cuda:") if isinstance(device, str) else ""
    if device not in ("cpu", "cuda") and not (str(device).startswith("cuda:") and index.isdecimal()):
        raise BadRequest(f"device: got {device!r}, expected auto, cpu, cuda or cuda:N")
    if device != "cpu":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise BadRequest(f"device: {device} was asked for, but this torch ({torch.__version__}) sees no GPU")
        if device != "cuda" and int(index) >= count:
            raise BadRequest(f"device: {device} was asked for, but the last GPU is cuda:{count - 1}")
    return torch.device(device if device in ("cpu", "cuda") else f"cuda:{int(index)}")


def limit_gpu_memory(device: torch.device, limit_gb: float) -> None:
    """Let this process take at most so many GiB of a GPU, 0: all of it. BadRequest if the GPU has less than that."""
    if not 0.0 <= limit_gb < float("inf"):
        raise BadRequest(f"gpu_memory_limit_gb: got {limit_gb}, expected a number of at least 0")
    if device.type != "cuda":
        return
    total_gb = torch.cuda.get_device_properties(device).total_memory / 2**30
    if limit_gb > total_gb:
        raise BadRequest(f"gpu_memory_limit_gb: got {limit_gb:g}, but {device} has {total_gb:.1f} GiB")
    torch.cuda.set_per_process_memory_fraction(limit_gb / total_gb if limit_gb else 1.0, device)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_cpu_threads(count: int = 0) -> None:
    """Have torch compute with this many threads in this process; 0: one fewer than there are cores, at least one.

    Torch's threads wait for each other without sleep, many times a token: where something else needs one of their
    cores, they all wait for it. One core left over costs less than that, and lets camera callbacks in.
    """
    if count == 0:
        if "OMP_NUM_THREADS" in os.environ:
            return
        count = max(1, usable_cores() - 1)
    torch.set_num_threads(count)


def free_caches() -> None:
    """Give memory back that nothing uses: garbage, and what torch keeps of a GPU for later."""
    gc.collect()
    _empty_gpu_cache()


def _empty_gpu_cache() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn the several ways of running out of memory into OutOfMemory."""
    try:
        yield
    except OutOfMemory:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        where = "GPU" if isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error) else "host"
        detail = f": {str(error).splitlines()[0]}" if str(error) else ""
        _empty_gpu_cache()
        raise OutOfMemory(f"the {where} ran out of memory while {doing}{detail}") from error
