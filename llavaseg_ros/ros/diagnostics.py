"""One `DiagnosticStatus` that tells a person, or a supervisor, whether to trust the node."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from llavaseg_ros.ros.worker import ModelState


@dataclass(frozen=True)
class Snapshot:
    """What is reported. Ages and latencies in seconds; None = there has been none yet."""

    lifecycle: str
    model_state: ModelState
    model_error: str
    model: dict[str, Any]
    image_age_s: float | None
    image_rate_hz: float
    images: int
    broken_images: int
    depth_age_s: float | None
    busy: bool
    queue_length: int
    commands: int
    failed: int
    last_latency_s: float | None
    last_error: str
    max_image_age_s: float
    follow_state: str
    followed: int
    follow_dropped: int
    follow_rate_hz: float
    follow_lost_s: float


def level_of(now: Snapshot) -> tuple[bytes, str]:
    """The level and the one line that a supervisor shows."""
    if now.lifecycle != "active":
        return DiagnosticStatus.OK, f"not active ({now.lifecycle})"
    if now.model_state is ModelState.ERROR:
        return DiagnosticStatus.ERROR, f"model not loaded: {now.model_error}"
    if now.model_state is ModelState.LOADING:
        return DiagnosticStatus.WARN, "loading the model"
    server = now.model.get("mllm", {})
    if server.get("state", "up") not in ("up", "unknown"):
        return DiagnosticStatus.ERROR, f"the language model's server is {server['state']}: {server['last_error']}"
    if now.image_age_s is None:
        return DiagnosticStatus.WARN, "no image has come yet"
    if 0 < now.max_image_age_s < now.image_age_s:
        return DiagnosticStatus.WARN, f"the newest image is {now.image_age_s:.1f} s old"
    if now.busy:
        return DiagnosticStatus.OK, "working on a command"
    if now.follow_state == "lost":
        return DiagnosticStatus.WARN, f"the target that is followed has been lost for {now.follow_lost_s:.1f} s"
    return DiagnosticStatus.OK, "following" if now.follow_state == "following" else "ready"


def diagnostic_array(now: Snapshot, name: str, stamp: Time) -> DiagnosticArray:
    """The message for /diagnostics. name: the node's full name, which is also the hardware id's stand-in."""
    level, text = level_of(now)
    values: dict[str, str] = {
        "lifecycle": now.lifecycle,
        "model state": now.model_state.value,
        "image age [s]": _number(now.image_age_s),
        "image rate [Hz]": f"{now.image_rate_hz:.1f}",
        "images": str(now.images),
        "broken images": str(now.broken_images),
        "depth age [s]": _number(now.depth_age_s),
        "busy": str(now.busy).lower(),
        "queue length": str(now.queue_length),
        "commands": str(now.commands),
        "failed commands": str(now.failed),
        "last latency [s]": _number(now.last_latency_s),
        "last error": now.last_error or "none",
        "follow state": now.follow_state,
        "followed frames": str(now.followed),
        "dropped frames": str(now.follow_dropped),
        "follow rate [Hz]": f"{now.follow_rate_hz:.1f}",
        "target lost for [s]": f"{now.follow_lost_s:.1f}",
        "resident memory [MB]": f"{resident_mb():.0f}",
        **_flat("model", now.model),
    }
    if now.model_error:
        values["model error"] = now.model_error
    status = DiagnosticStatus(
        level=level,
        name=f"{name.lstrip('/')}: reasoning segmentation",
        message=text,
        hardware_id=name.lstrip("/"),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def _flat(name: str, values: dict[str, Any]) -> dict[str, str]:
    """{"mllm": {"url": ...}} -> {"model mllm url": ...}"""
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flat(f"{name} {key}", value) if isinstance(value, dict) else {f"{name} {key}": str(value)}
    return flat


def resident_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes), from /proc; 0 where there is none."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
