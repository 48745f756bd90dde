# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether memory grows while the pipeline works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llavaseg_ros.bench.machine import gpu_mb, resident_mb
from llavaseg_ros.bench.material import commands, frames
from llavaseg_ros.bench.rounds import Log, Subject, try_to
from llavaseg_ros.types import Result, Thought

SAMPLES = 20
A_FRAME = 2  # commands
# A mean of so many samples at both ends: an allocator gives and takes some megabytes all the time.
ENDS = 3


def measure(subject: Subject, how_many_commands: int, how_many_frames: int) -> dict[str, Any]:
    """Memory in MB at even steps through two pieces of work: commands, a few a frame, and frames that are followed.

    The first quarter of each is not sampled: what is made once is no growth, and the words that decoding remembers take
    some 200 commands to become as many as it ever keeps. {"commands" or "frames": {"count",
    "resident_mb", "gpu_mb"}}, without those whose count is 0; see `_figures` for what is in there.
    """
    texts, pictures = commands(), frames()
    found: Result | None = None

    def command(number: int) -> None:
        nonlocal found
        rgb = pictures[number // A_FRAME % len(pictures)] if number % A_FRAME == 0 else None
        result = try_to(Log(), subject, "memory", "", texts[number % len(texts)], rgb=rgb)
        if result is not None and result.found:
            found = result

    def frame(number: int) -> None:
        nonlocal found
        subject.model.set_image(pictures[number % len(pictures)], quick=True)
        if found is None:
            subject.model.segment_thought(Thought(target="cup", found=True))
            return
        result = subject.model.follow(found)
        found = result if result.found else found

    work = (("commands", how_many_commands, command), ("frames", how_many_frames, frame))
    return {name: _sampled(subject, count, step) for name, count, step in work if count}


def _sampled(subject: Subject, count: int, step: Callable[[int], None]) -> dict[str, Any]:
    every = max(count // SAMPLES, 1)
    resident: list[float | None] = []
    gpu: list[float | None] = []
    for number in range(count):
        step(number)
        if number >= count // 4 and (count - 1 - number) % every == 0:
            resident.append(resident_mb())
            gpu.append(gpu_mb(subject.model.device))
    return {"count": count, "resident_mb": _figures(resident), "gpu_mb": _figures(gpu)}


def _figures(samples: list[float | None]) -> dict[str, Any] | None:
    """Samples, the growth from their beginning to their end, and that as a share."""
    known = [value for value in samples if value is not None]
    if len(known) < 2 * ENDS:
        return None
    start, end = sum(known[:ENDS]) / ENDS, sum(known[-ENDS:]) / ENDS
    return {"samples": [round(v, 1) for v in known], "growth": end - start, "share": (end - start) / start}
