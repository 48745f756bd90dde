"""Keeps the counts that diagnostics report, and warns when the camera is silent."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros import messages
from llavaseg_ros.ros.commands import Outcome
from llavaseg_ros.ros.diagnostics import Snapshot
from llavaseg_ros.ros.following import Following
from llavaseg_ros.ros.inputs import Inputs
from llavaseg_ros.ros.worker import ModelState, ModelWorker

NO_IMAGE_REPEAT_S = 30.0


class Monitor:
    """One for a node. `note` is called with every outcome, the others by timers."""

    def __init__(self, node: Node, worker: ModelWorker) -> None:
        self._node, self._worker = node, worker
        self._followed = 0
        self._commands = self._failed = 0
        self._latency_s: float | None = None
        self._error = ""
        self._rate = (time.monotonic(), 0)
        self._count = 0
        self._last_image = time.monotonic()
        self._last_warning = float("-inf")

    def note(self, outcome: Outcome) -> None:
        """Count a finished command and log a line about it."""
        answer = outcome.answer
        code = ErrorCode(answer.error_code)
        self._commands += 1
        self._latency_s = messages.seconds_of(answer.latency)
        if code not in (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.PREEMPTED):
            self._failed += 1
            self._error = f"{code.name}: {answer.error_msg}"
        self._node.get_logger().info(
            f"{answer.command[:80]!r}: {(answer.text or answer.error_msg)[:200]} ({code.name}, {self._latency_s:.2f} s)"
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

    def snapshot(
        self, inputs: Inputs, following: Following, *, lifecycle: str, model: dict[str, Any], max_image_age_s: float
    ) -> Snapshot:
        """What stands in /diagnostics now."""
        now, now_ns = time.monotonic(), self._node.get_clock().now().nanoseconds
        newest, depth, count = inputs.images.newest, inputs.depth.newest, inputs.images.count
        (then, before), self._rate = self._rate, (now, count)
        passed_s = max(1e-3, now - then)
        followed_before, self._followed = self._followed, following.followed
        return Snapshot(
            lifecycle=lifecycle,
            model_state=self._worker.state,
            model_error=self._worker.error,
            model=model if self._worker.state is ModelState.READY else {},
            image_age_s=newest.age_s(now_ns) if newest else None,
            image_rate_hz=(count - before) / passed_s,
            images=count,
            broken_images=inputs.broken,
            depth_age_s=depth.age_s(now_ns) if depth else None,
            busy=self._worker.busy,
            queue_length=self._worker.queue_length,
            commands=self._commands,
            failed=self._failed,
            last_latency_s=self._latency_s,
            last_error=self._error,
            max_image_age_s=max_image_age_s,
            follow_state=following.state,
            followed=self._followed,
            follow_dropped=following.dropped,
            follow_rate_hz=(self._followed - followed_before) / passed_s,
            follow_lost_s=following.lost_s,
        )
