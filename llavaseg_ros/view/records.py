# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the page knows about a command and a target, as plain values that become JSON."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from llavaseg_ros.view.words import CALM, in_words

RUNNING, DONE, FAILED, CANCELED = "running", "done", "failed", "canceled"


# What a picture shows of the last masks: nothing, them on their own frame, or their outline on a newer one.
NO_MASK, FRESH_MASK, OLD_MASK = "none", "fresh", "old"


@dataclass(frozen=True)
class Picture:
    """A JPEG, and what it shows of the last masks."""

    jpeg: bytes
    mask: str = NO_MASK


@dataclass
class StageTime:
    """One stage of a command: since when, in seconds since the goal was accepted. It lasts until the next one."""

    name: str
    since_s: float


@dataclass
class Record:
    """One command and what became of it. at: when it was given, seconds since the epoch of this machine's clock.

    source: "page" (typed here) or "topic" (from elsewhere). stages: only of commands from here, whose goal tells them.
    """

    id: str
    command: str
    source: str
    at: float
    status: str = RUNNING
    text: str = ""
    reasoning: str = ""
    partial: str = ""
    found: bool = False
    error_code: int = 0
    error_msg: str = ""
    latency_s: float | None = None
    stages: list[StageTime] = field(default_factory=list)
    targets: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def stage(self, name: str, elapsed_s: float) -> None:
        """The command was in this stage at `elapsed_s`. These come in any order, also after the end: an executor may
        take the answer, or a later stage, first."""
        place = sum(stage.since_s <= elapsed_s for stage in self.stages)
        if place and self.stages[place - 1].name == name:
            return
        if place < len(self.stages) and self.stages[place].name == name:
            self.stages[place].since_s = elapsed_s
        else:
            self.stages.insert(place, StageTime(name, elapsed_s))

    def end(self, status: str, latency_s: float) -> None:
        """The command has ended, and its last stage with it."""
        self.status, self.latency_s, self.partial = status, latency_s, ""

    def _stages_as_json(self) -> list[dict[str, Any]]:
        ends: list[float | None] = [stage.since_s for stage in self.stages[1:]]
        ends.append(None if self.latency_s is None or not self.stages else max(self.latency_s, self.stages[-1].since_s))
        return [
            {"name": stage.name, "since_s": stage.since_s, "until_s": end}
            for stage, end in zip(self.stages, ends, strict=False)
        ]

    def as_json(self) -> dict[str, Any]:
        """For the page. `error` is None where there is none; `calm`: it is an answer rather than a failure."""
        name, words = in_words(self.error_code)
        running_s = time.monotonic() - self.started if self.status == RUNNING else None
        return {
            "id": self.id,
            "command": self.command,
            "source": self.source,
            "at": self.at,
            "status": self.status,
            "text": self.text,
            "reasoning": self.reasoning,
            "partial": self.partial,
            "found": self.found,
            "latency_s": self.latency_s,
            "running_s": running_s,
            "stages": self._stages_as_json(),
            "targets": self.targets,
            "error": None
            if self.error_code == 0
            else {
                "code": self.error_code,
                "name": name,
                "words": words,
                "detail": self.error_msg,
                "calm": self.error_code in CALM,
            },
        }


def target_json(target: Any) -> dict[str, Any]:
    """A `TargetMask` (or any object with its fields) for the page; the mask itself goes into the pictures."""
    return {
        "id": int(target.id),
        "label": target.label,
        "color": target.color,
        "shape": target.shape,
        "location": target.location,
        "score": _finite(target.score),
        "area_px": int(target.area_px),
        "depth_coverage": _finite(target.depth_coverage),
        "geometry": _geometry(target),
    }


def _geometry(target: Any) -> dict[str, Any] | None:
    position, size = target.centroid.pose.position, target.size
    values = [position.x, position.y, position.z, size.x, size.y, size.z]
    if not target.has_geometry or not all(math.isfinite(value) for value in values):
        return None
    return {"position_m": values[:3], "size_m": values[3:], "frame": target.centroid.header.frame_id}


def _finite(value: float) -> float | None:
    """NaN is no JSON."""
    return float(value) if math.isfinite(value) else None
