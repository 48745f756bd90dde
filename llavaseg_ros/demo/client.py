# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo's side of the conversation: a ROS node that sends commands and keeps what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer, Command, TargetMaskArray
from llavaseg_ros.ros.convert import to_rgb
from llavaseg_ros.ros.diagnostics import SUMMARY
from llavaseg_ros.ros.messages import duration, seconds_of, stamp_ns
from llavaseg_ros.ros.qos import DIAGNOSTICS, LATCHED

SESSION = "demo"
OVERLAY_WAIT_S = 10.0  # the overlay is drawn after the answer
MAX_IMAGE_AGE_S = 3.0  # the node's `sync.max_image_age_s` in the demo
# Not an error of the node: it looked, and says that there is nothing to point at.
HONEST = (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.EMPTY_MASK)

T = TypeVar("T")


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@dataclass
class Exchange:
    """One command and all that came back. overlay: uint8 [H, W, 3] RGB, None when none came. way: topic or action.

    problems: what is not as it must be; empty = all is well.
    """

    command: str
    way: str
    answer: Answer | None = None
    masks: TargetMaskArray | None = None
    overlay: np.ndarray | None = None
    states: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """A target with pixels came back."""
        return self.masks is not None and any(target.area_px for target in self.masks.targets)


class DemoClient:
    """A node of its own context. `alive` is called while waiting; it raises when one of the processes has ended."""

    def __init__(self, domain: int, alive: Callable[[], None]) -> None:
        self._alive = alive
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain, args=[])
        self.node = Node("llavaseg_demo", context=self.context, use_global_arguments=False)
        self._executor: Any = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.stamps: set[int] = set()
        self._answers: list[Answer] = []
        self._masks: dict[str, TargetMaskArray] = {}
        self._overlays: list[Image] = []
        self._status: tuple[bytes, str, dict[str, str]] = (b"\x01", "the node has not reported yet", {})
        every_frame = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        listen = self.node.create_subscription
        # The calibration goes out with every frame: same stamp, and small enough to come through on a busy machine.
        listen(CameraInfo, "camera_info", lambda msg: self.stamps.add(stamp_ns(msg.header.stamp)), every_frame)
        listen(Answer, "llavaseg/answer", self._answers.append, LATCHED)
        listen(TargetMaskArray, "llavaseg/masks", lambda msg: self._masks.update({msg.command_id: msg}), LATCHED)
        listen(Image, "llavaseg/overlay", self._overlays.append, LATCHED)
        listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, DIAGNOSTICS)
        self._command = self.node.create_publisher(Command, "command", 10)
        self._action: Any = ActionClient(self.node, Segment, "llavaseg/segment")

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def wait_ready(self, timeout_s: float) -> str:
        """Wait until the model is loaded and images come. Returns the model's name. Raises DemoError.

        Frames are heard for MAX_IMAGE_AGE_S first: the node may have known the camera for longer than this client, and
        answers about a frame of up to that age.
        """

        def ready() -> bool:
            level, text, values = self._status
            if level == b"\x02":
                raise DemoError(f"the node reports an error: {text}")
            seen = values.get("model state") == "ready" and values.get("images", "0") != "0"
            return seen and span_s(self.stamps) > MAX_IMAGE_AGE_S

        self._wait(ready, timeout_s, lambda: f"the node to be ready; it says: {self._status[1]}")
        self._wait(lambda: self._command.get_subscription_count() > 0, 10.0, lambda: "the node's topic `command`")
        self._wait(self._action.server_is_ready, 10.0, lambda: "the node's action `llavaseg/segment`")
        return self._status[2].get("model name", "")

    def by_topic(self, command: str, timeout_s: float) -> Exchange:
        """Publish on `command` and wait for the final answer on `llavaseg/answer`."""
        exchange = Exchange(command, "topic command")
        started = time.monotonic()
        before = len(self._answers)
        self._command.publish(Command(text=command, session_id=SESSION))

        def answered() -> Answer | None:
            new = self._answers[before:]
            return next((a for a in new if a.final and a.session_id == SESSION and a.command == command), None)

        exchange.answer = self._wait(answered, timeout_s, lambda: "the final answer on llavaseg/answer")
        exchange.seconds = time.monotonic() - started
        self._finish(exchange)
        return exchange

    def by_action(self, command: str, timeout_s: float) -> Exchange:
        """Send a goal to `llavaseg/segment` and wait for its result."""
        exchange = Exchange(command, "action segment")
        started = time.monotonic()

        def feedback(msg: Any) -> None:
            if msg.feedback.state not in exchange.states:
                exchange.states.append(msg.feedback.state)

        goal = Segment.Goal(text=command, session_id=SESSION, timeout=duration(timeout_s))
        sending = self._action.send_goal_async(goal, feedback_callback=feedback)
        handle: Any = self._wait(
            lambda: sending.result() if sending.done() else None, 30.0, lambda: "the goal's receipt"
        )
        if not handle.accepted:
            raise DemoError("the node did not accept the goal")
        waiting = handle.get_result_async()
        response: Any = self._wait(
            lambda: waiting.result() if waiting.done() else None, timeout_s + 10.0, lambda: "the goal's result"
        )
        exchange.seconds = time.monotonic() - started
        exchange.answer, exchange.masks = response.result.answer, response.result.masks
        self._finish(exchange)
        return exchange

    def _finish(self, exchange: Exchange) -> None:
        """Collect masks and overlay, then look for what is wrong."""
        answer = exchange.answer
        assert answer is not None
        code = ErrorCode(answer.error_code)
        if code not in HONEST:
            exchange.problems.append(f"error {code.name}: {answer.error_msg}")
            return
        stamp = stamp_ns(answer.header.stamp)
        published = self._poll(lambda: self._masks.get(answer.command_id), 5.0)
        if published is None:
            exchange.problems.append("no masks came on llavaseg/masks")
            return
        if exchange.masks is None:
            exchange.masks = published
        for what, header in (
            ("masks", exchange.masks.header),
            ("the published masks", published.header),
            *((f"mask of {t.label!r}", t.mask.header) for t in exchange.masks.targets),
        ):
            if stamp_ns(header.stamp) != stamp:
                exchange.problems.append(f"{what}: the stamp is not that of the answer")
        if self._poll(lambda: stamp in self.stamps, 2.0) is None:
            exchange.problems.append(f"the stamp {stamp} is not that of a published frame")
        if not answer.final:
            exchange.problems.append("the answer is not final")
        if answer.found and not exchange.found:
            exchange.problems.append("found, but no mask has a pixel")
        same = self._poll(
            lambda: next((m for m in self._overlays if stamp_ns(m.header.stamp) == stamp), None), OVERLAY_WAIT_S
        )
        if same is None:
            exchange.problems.append("no overlay came on llavaseg/overlay")
        else:
            exchange.overlay = to_rgb(same)
        self._overlays.clear()

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name == f"llavaseg: {SUMMARY}":
                self._status = (status.level, status.message, {item.key: item.value for item in status.values})

    def _wait(self, condition: Callable[[], T | None], timeout_s: float, what: Callable[[], str]) -> T:
        value = self._poll(condition, timeout_s)
        if value is None:
            raise DemoError(f"waited {timeout_s:g} s in vain for {what()}")
        return value

    def _poll(self, condition: Callable[[], T | None], timeout_s: float) -> T | None:
        """Spin until the condition gives something; None when the time is up."""
        end = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                return None
            self._alive()
            self._executor.spin_once(timeout_sec=0.05)


def span_s(stamps: Collection[int]) -> float:
    """From the earliest to the latest of some stamps (nanoseconds), in seconds; 0 without any."""
    return (max(stamps) - min(stamps)) / 1e9 if stamps else 0.0


def latency_s(answer: Answer) -> float:
    """From the arrival of the command in the node to its answer, in seconds."""
    return seconds_of(answer.latency)
