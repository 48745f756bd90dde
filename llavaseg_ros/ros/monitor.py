# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keeps the counts that diagnostics report, and warns when the camera is silent."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros import messages
from llavaseg_ros.ros.commands import Outcome
from llavaseg_ros.ros.diagnostics import host_memory_mb, resident_mb
from llavaseg_ros.ros.following import Following
from llavaseg_ros.ros.gpu import GpuWatch
from llavaseg_ros.ros.health import MODEL_FAILURES, MODEL_WORKED, RECENT_S, Snapshot
from llavaseg_ros.ros.inputs import Inputs
from llavaseg_ros.ros.waiting import Policy
from llavaseg_ros.ros.worker import ModelState, ModelWorker

NO_IMAGE_REPEAT_S = 30.0
LATENCIES = 100  # commands that the percentiles are of
SAMPLES, RECENT_SAMPLES = 60, 10  # looks at the counts, one a second: for what is usual, and for what happens now
RATE_SAMPLES = 3
MIN_DROP_FRAMES = 20


@dataclass(frozen=True)
class Limits:
    """The parameters that levels depend on, as they were when the snapshot was taken."""

    max_image_age_s: float
    no_image_warning_s: float
    max_drop_share: float
    policy: Policy
    queue_depth: int


@dataclass(frozen=True)
class _Sample:
    """The counts at one moment."""

    at: float
    images: int
    broken: int
    followed: int
    dropped: int


class Monitor:
    """One for a node. `note` is called with every outcome, the others by timers."""

    def __init__(self, node: Node, worker: ModelWorker) -> None:
        self._node, self._worker = node, worker
        self._commands = self._failed = self._failed_in_a_row = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._error, self._error_at = "", 0.0
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES)
        self._made_smaller, self._made_smaller_at = 0, float("-inf")
        self._gpu = GpuWatch()
        self._count = 0
        self._last_image = time.monotonic()
        self._last_warning = float("-inf")

    def note(self, outcome: Outcome) -> None:
        """Count a finished command and log a line about it."""
        answer = outcome.answer
        code = ErrorCode(answer.error_code)
        latency_s = messages.seconds_of(answer.latency)
        self._commands += 1
        if code in (*MODEL_WORKED, *MODEL_FAILURES):  # others say nothing of how fast the model is
            self._latencies.append(latency_s)
        if code in MODEL_WORKED:
            self._failed_in_a_row = 0
        elif code in MODEL_FAILURES and outcome.by_model:
            self._failed_in_a_row += 1
        if code not in (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.PREEMPTED):
            self._failed += 1
            self._error, self._error_at = f"{code.name}: {answer.error_msg}", time.monotonic()
        self._node.get_logger().info(
            f"{answer.command[:80]!r}: {(answer.text or answer.error_msg)[:200]} ({code.name}, {latency_s:.2f} s)"
        )

    def start_watch(self) -> None:
        """The camera's silence counts from now on."""
        self._last_image = time.monotonic()

    def watch_camera(self, inputs: Inputs, limit_s: float) -> None:
        """Warn when no image has come for `limit_s` seconds (0 = never), and again now and then."""
        now = time.monotonic()
        if inputs.images.count != self._count:
            self._count, self._last_image = inputs.images.count, now
        silence = now - self._last_image
        if 0 < limit_s < silence and now - self._last_warning > NO_IMAGE_REPEAT_S:
            self._last_warning = now
            publishers = self._node.count_publishers(inputs.image_topic)
            self._node.get_logger().warning(
                f"no image on {inputs.image_topic} for {silence:.0f} s; the topic has {publishers} publishers"
            )

    def forget_failures(self) -> None:
        """Another model serves, or somebody looks after the node: it is not to be blamed for what was."""
        self._failed_in_a_row = 0

    def snapshot(
        self, inputs: Inputs, following: Following, *, lifecycle: str, model: dict[str, Any], limits: Limits
    ) -> Snapshot:
        """What stands in /diagnostics now. Called once for each message: rates are those since the last call."""
        now, now_ns = time.monotonic(), self._node.get_clock().now().nanoseconds
        newest, depth, count = inputs.images.newest, inputs.depth.newest, inputs.images.count
        worker = self._worker
        self._samples.append(_Sample(now, count, inputs.broken, following.followed, following.dropped))
        samples = list(self._samples)
        recent = samples[-RECENT_SAMPLES:]
        followed, dropped = recent[-1].followed - recent[0].followed, recent[-1].dropped - recent[0].dropped
        made_smaller = int(model.get("images_made_smaller", 0))
        if made_smaller > self._made_smaller:
            self._made_smaller_at = now
        self._made_smaller = made_smaller
        available_mb, total_mb = host_memory_mb()
        usual_hz, recent_hz = _rates(samples)
        return Snapshot(
            lifecycle=lifecycle,
            model_state=worker.state,
            model_error=worker.error,
            model=model if worker.state is ModelState.READY else {},
            overruns=worker.overruns.count,
            stuck_threads=worker.overruns.stuck,
            last_overrun=worker.overruns.last,
            clock_runs=now_ns != 0,
            image_age_s=newest.age_s(now_ns) if newest else None,
            image_silence_s=now - self._last_image,
            image_rate_hz=_rate(samples[-2:], "images"),
            recent_rate_hz=recent_hz,
            usual_rate_hz=usual_hz,
            images=count,
            broken_images=inputs.broken,
            recently_broken=recent[-1].broken - recent[0].broken,
            depth_age_s=depth.age_s(now_ns) if depth else None,
            max_image_age_s=limits.max_image_age_s,
            no_image_warning_s=limits.no_image_warning_s,
            busy=worker.busy,
            queue_length=worker.queue_length,
            queue_full=limits.policy is Policy.QUEUE and worker.queue_length >= limits.queue_depth,
            commands=self._commands,
            failed=self._failed,
            failed_in_a_row=self._failed_in_a_row,
            last_latency_s=self._latencies[-1] if self._latencies else None,
            latency_p50_s=_percentile(list(self._latencies), 0.50),
            latency_p99_s=_percentile(list(self._latencies), 0.99),
            last_error=self._error,
            last_error_age_s=now - self._error_at if self._error else None,
            follow_state=following.state,
            followed=following.followed,
            follow_dropped=following.dropped,
            follow_rate_hz=_rate(samples[-2:], "followed"),
            follow_lost_s=following.lost_s,
            drop_share=dropped / (followed + dropped) if followed + dropped >= MIN_DROP_FRAMES else 0.0,
            max_drop_share=limits.max_drop_share,
            resident_mb=resident_mb(),
            available_mb=available_mb,
            total_mb=total_mb,
            recently_made_smaller=now - self._made_smaller_at < RECENT_S,
            gpu=self._gpu.read(str(model.get("device", "cuda"))) if "cuda" in str(model.get("device")) else None,
        )


def _rate(samples: Sequence[_Sample], name: str) -> float:
    """How often a count grew a second, from the first to the last of the samples; 0 for fewer than two."""
    if len(samples) < 2:
        return 0.0
    first, last = samples[0], samples[-1]
    grown = getattr(last, name) - getattr(first, name)
    return float(grown) / max(1e-3, last.at - first.at)


def _rates(samples: Sequence[_Sample]) -> tuple[float, float]:
    """The camera's usual rate and that of the last few looks, in Hz. The usual one is 0 until there were enough."""
    recent = _rate(samples[-RATE_SAMPLES - 1 :], "images")
    before = samples[:-RATE_SAMPLES]
    if len(before) < RECENT_SAMPLES:
        return 0.0, recent
    pairs = zip(before, before[1:], strict=False)
    return statistics.median(_rate(pair, "images") for pair in pairs), recent


def _percentile(values: list[float], share: float) -> float | None:
    """The smallest value that so large a share of the values does not exceed; None of none.

    >>> _percentile([3.0, 1.0, 2.0], 0.5), _percentile([], 0.5)
    (2.0, None)
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None
