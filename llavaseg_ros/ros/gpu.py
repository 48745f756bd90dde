# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The GPU's memory, read in a thread of its own: a GPU that hangs must not hang /diagnostics. Imports no torch."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llavaseg_ros.ros.health import Gpu

PERIOD_S = 1.0


def cuda_in_use() -> Any:
    """`torch.cuda` of this process, if it computes on a GPU; None if not. Starts neither torch nor CUDA."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


class GpuWatch:
    """`read` gives the newest reading at once. The thread begins when a GPU is used, and ends with the process."""

    def __init__(self, cuda: Callable[[], Any] = cuda_in_use, period_s: float = PERIOD_S) -> None:
        self._cuda, self._period_s = cuda, period_s
        self._thread: threading.Thread | None = None
        self._reading: tuple[float, Gpu] | None = None
        self._device = "cuda"

    def read(self, device: str = "cuda") -> Gpu | None:
        """The newest reading, with its age; None as long as no GPU is used, or has not answered at all.

        device: cuda or cuda:N; takes effect with the next reading.
        """
        self._device = device
        if self._thread is None:
            if self._cuda() is None:
                return None
            self._thread = threading.Thread(target=self._work, name="llavaseg-gpu", daemon=True)
            self._thread.start()
        if self._reading is None:
            return None
        at, reading = self._reading
        return replace(reading, age_s=time.monotonic() - at)

    def _work(self) -> None:
        while True:
            cuda = self._cuda()
            if cuda is not None:
                try:
                    reading = _reading(cuda, self._device)
                except Exception:  # whatever a driver says: the reading grows old, and that is told
                    time.sleep(self._period_s)
                    continue
                self._reading = time.monotonic(), reading
            time.sleep(self._period_s)


def _reading(cuda: Any, device: str) -> Gpu:
    free, total = cuda.mem_get_info(device)
    return Gpu(
        cuda.get_device_name(device),
        cuda.memory_allocated(device) / 1e6,
        cuda.memory_reserved(device) / 1e6,
        free / 1e6,
        total / 1e6,
        0.0,
    )
