# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether the node can be trusted now: what is known of it, part by part, and the rules for levels. Free of rclpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros.freshness import FUTURE_TOLERANCE_NS, NS
from llavaseg_ros.ros.worker import ModelState

FAILURES_IN_A_ROW = 3  # so many commands in a row that failed by the model's fault are no accident
RECENT_S = 60.0  # how long a failure counts when nothing came after it
USUAL_RATE_HZ = 2.0  # a slower camera has no rate that could collapse
COLLAPSE = 0.5  # of the usual rate
LITTLE_MEMORY, LITTLE_GPU_MEMORY = 0.05, 0.02  # shares of what there is
GPU_SILENCE_S = 10.0
# A failure of the model, and no fault of the command, of the camera, or of whoever cancelled it.
MODEL_FAILURES = (ErrorCode.TIMEOUT, ErrorCode.OUT_OF_MEMORY, ErrorCode.BAD_REPLY, ErrorCode.UNKNOWN)
MODEL_WORKED = (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.EMPTY_MASK, ErrorCode.NO_DEPTH)


class Level(IntEnum):
    """As in diagnostic_msgs/DiagnosticStatus. `severity` puts them into their order."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3

    @property
    def severity(self) -> int:
        """OK < WARN < STALE < ERROR: what only has to be waited for is less than what somebody has to mend."""
        return (0, 1, 3, 2)[self]


@dataclass(frozen=True)
class Part:
    """One line that a supervisor shows. values: what stands below it."""

    name: str
    level: Level
    message: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gpu:
    """A GPU's memory in MB (10^6 bytes): of the models, kept by torch, free of all processes. age_s: of the reading."""

    name: str
    allocated_mb: float
    reserved_mb: float
    free_mb: float
    total_mb: float
    age_s: float


@dataclass(frozen=True)
class Snapshot:
    """What is reported. Ages, silences and latencies in seconds; None = there has been none yet."""

    lifecycle: str
    model_state: ModelState
    model_error: str
    model: dict[str, Any]
    overruns: int
    stuck_threads: int
    last_overrun: str
    clock_runs: bool
    image_age_s: float | None
    image_silence_s: float
    image_rate_hz: float
    recent_rate_hz: float
    usual_rate_hz: float
    images: int
    broken_images: int
    recently_broken: int
    depth_age_s: float | None
    max_image_age_s: float
    no_image_warning_s: float
    busy: bool
    queue_length: int
    queue_full: bool
    commands: int
    failed: int
    failed_in_a_row: int
    last_latency_s: float | None
    latency_p50_s: float | None
    latency_p99_s: float | None
    last_error: str
    last_error_age_s: float | None
    follow_state: str
    followed: int
    follow_dropped: int
    follow_rate_hz: float
    follow_lost_s: float
    drop_share: float
    max_drop_share: float
    resident_mb: float
    available_mb: float
    total_mb: float
    recently_made_smaller: bool
    gpu: Gpu | None


def parts_of(now: Snapshot) -> list[Part]:
    """Model, camera, commands, following, memory: each with the level that it has by itself."""
    parts = [_model(now), _camera(now), _commands(now), _following(now), _memory(now)]
    if now.lifecycle == "active":
        return parts
    idle = f"not active ({now.lifecycle})"
    return [Part(part.name, Level.STALE, idle, part.values) for part in parts]


def summary_of(now: Snapshot, parts: list[Part]) -> Part:
    """The worst level, and one line that says whether to trust the node, and why not."""
    worst = max(parts, key=lambda part: part.level.severity)
    trusted = worst.level in (Level.OK, Level.WARN)
    message = worst.message if trusted else f"not to be trusted: {worst.message}"
    if worst.level is Level.OK:
        message = "working on a command" if now.busy else "following" if now.follow_state == "following" else "ready"
    values = {"trust": "yes" if trusted else "no", "lifecycle": now.lifecycle}
    for part in parts:
        values |= part.values
    return Part("reasoning segmentation", worst.level, message, values)


def _model(now: Snapshot) -> Part:
    values = {
        "model state": now.model_state.value,
        "watchdog overruns": str(now.overruns),
        "last overrun": now.last_overrun or "none",
        "stuck threads": str(now.stuck_threads),
        **_flat("model", now.model),
    }
    if now.model_error:
        values["model error"] = now.model_error
    return Part("model", *_model_level(now), values)


def _model_level(now: Snapshot) -> tuple[Level, str]:
    if now.model_state is ModelState.ERROR:
        return Level.ERROR, f"no model serves: {now.model_error}"
    if now.model_state is ModelState.RECOVERING:
        return Level.STALE, f"loading the model again: {now.model_error}"
    if now.model_state is not ModelState.READY:
        return Level.STALE, "loading the model" if now.model_state is ModelState.LOADING else "no model is loaded"
    server = now.model.get("mllm", {})
    if server.get("state", "up") not in ("up", "unknown"):
        was = f"the language model's server is {server['state']}: {server['last_error']}"
        return (Level.ERROR, was) if _recently(now) else (Level.WARN, f"when last asked, {was}")
    if now.stuck_threads:
        what = "thread hangs" if now.stuck_threads == 1 else "threads hang"
        return (
            Level.WARN,
            f"{now.stuck_threads} {what} in an abandoned model ({now.last_overrun})",
        )
    return Level.OK, "ready"


def _camera(now: Snapshot) -> Part:
    values = {
        "image age [s]": _number(now.image_age_s),
        "image rate [Hz]": f"{now.image_rate_hz:.1f}",
        "usual image rate [Hz]": f"{now.usual_rate_hz:.1f}",
        "images": str(now.images),
        "broken images": str(now.broken_images),
        "depth age [s]": _number(now.depth_age_s),
    }
    return Part("camera", *_camera_level(now), values)


def _camera_level(now: Snapshot) -> tuple[Level, str]:
    if not now.clock_runs:
        return Level.STALE, "use_sim_time is set, and nothing has published /clock yet"
    if now.image_age_s is None:
        return Level.STALE, "no image has come yet"
    if now.image_age_s < -FUTURE_TOLERANCE_NS / NS:
        ahead_s = -now.image_age_s
        return Level.ERROR, f"images are stamped {ahead_s:.1f} s in the future: the clocks of camera and node differ"
    if 0 < now.max_image_age_s < now.image_age_s:
        return Level.STALE, f"the newest image is {now.image_age_s:.1f} s old"
    if 0 < now.no_image_warning_s < now.image_silence_s:
        return Level.WARN, f"no image has come for {now.image_silence_s:.1f} s"
    if now.recently_broken:
        return Level.WARN, f"{now.recently_broken} images just now could not be read"
    if now.usual_rate_hz >= USUAL_RATE_HZ and now.recent_rate_hz < COLLAPSE * now.usual_rate_hz:
        return Level.WARN, f"the camera's rate fell from {now.usual_rate_hz:.1f} to {now.recent_rate_hz:.1f} Hz"
    return Level.OK, f"{now.recent_rate_hz:.1f} Hz"


def _commands(now: Snapshot) -> Part:
    values = {
        "busy": str(now.busy).lower(),
        "queue length": str(now.queue_length),
        "commands": str(now.commands),
        "failed commands": str(now.failed),
        "failed in a row": str(now.failed_in_a_row),
        "last latency [s]": _number(now.last_latency_s),
        "latency p50 [s]": _number(now.latency_p50_s),
        "latency p99 [s]": _number(now.latency_p99_s),
        "last error": now.last_error or "none",
        "last error age [s]": _number(now.last_error_age_s),
    }
    level, message = Level.OK, "working on a command" if now.busy else "waiting for a command"
    recently = _recently(now)
    if now.failed_in_a_row >= FAILURES_IN_A_ROW:
        # Not for ever: whoever obeys would send nothing that could work.
        level = Level.ERROR if recently else Level.WARN
        message = f"the last {now.failed_in_a_row} commands failed: {now.last_error}"
    elif now.queue_full:
        level, message = Level.WARN, f"the queue is full: {now.queue_length} commands wait"
    elif now.failed_in_a_row and recently:
        level, message = Level.WARN, f"the last command failed: {now.last_error}"
    return Part("commands", level, message, values)


def _recently(now: Snapshot) -> bool:
    """The last failure is so recent that nobody need have another try."""
    return now.last_error_age_s is not None and now.last_error_age_s < RECENT_S


def _following(now: Snapshot) -> Part:
    values = {
        "follow state": now.follow_state,
        "followed frames": str(now.followed),
        "dropped frames": str(now.follow_dropped),
        "drop share": f"{now.drop_share:.2f}",
        "follow rate [Hz]": f"{now.follow_rate_hz:.1f}",
        "target lost for [s]": f"{now.follow_lost_s:.1f}",
    }
    level, message = Level.OK, now.follow_state
    if now.follow_state == "lost":
        level, message = Level.WARN, f"the target that is followed has been lost for {now.follow_lost_s:.1f} s"
    elif now.drop_share > now.max_drop_share:
        level, message = Level.WARN, f"{now.drop_share:.0%} of the frames are dropped: the model cannot keep up"
    return Part("following", level, message, values)


def _memory(now: Snapshot) -> Part:
    values = {"resident memory [MB]": f"{now.resident_mb:.0f}", "available memory [MB]": f"{now.available_mb:.0f}"}
    gpu = now.gpu
    if gpu is not None:
        values |= {
            "GPU": gpu.name,
            "GPU memory of the models [MB]": f"{gpu.allocated_mb:.0f}",
            "GPU memory kept by torch [MB]": f"{gpu.reserved_mb:.0f}",
            "GPU memory free [MB]": f"{gpu.free_mb:.0f}",
            "GPU reading age [s]": f"{gpu.age_s:.1f}",
        }
    level, message = Level.OK, f"{now.resident_mb:.0f} MB"
    if gpu is not None and gpu.age_s > GPU_SILENCE_S:
        level, message = Level.WARN, f"the GPU {gpu.name} has not answered for {gpu.age_s:.0f} s"
    elif now.recently_made_smaller:
        level, message = Level.WARN, "memory ran out just now, and an image was worked on at a smaller size"
    elif now.available_mb < LITTLE_MEMORY * now.total_mb:
        level, message = Level.WARN, f"{now.available_mb:.0f} of {now.total_mb:.0f} MB of the host's memory are left"
    elif gpu is not None and gpu.free_mb < LITTLE_GPU_MEMORY * gpu.total_mb:
        level, message = Level.WARN, f"{gpu.free_mb:.0f} of {gpu.total_mb:.0f} MB of the GPU's memory are left"
    return Part("memory", level, message, values)


def _flat(name: str, values: dict[str, Any]) -> dict[str, str]:
    """{"mllm": {"url": ...}} -> {"model mllm url": ...}"""
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flat(f"{name} {key}", value) if isinstance(value, dict) else {f"{name} {key}": str(value)}
    return flat


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
