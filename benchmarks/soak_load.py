# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The load of the soak: a camera (a process of its own), somebody who commands, and subscribers that come and go."""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from llavaseg_ros.action import Segment
from llavaseg_ros.demo.bag_reader import read_frames
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer, Command, TargetMaskArray
from llavaseg_ros.nodes.demo_player import Shot, camera_info
from llavaseg_ros.ros.convert import depth_mm_to_image, rgb_to_image
from llavaseg_ros.ros.diagnostics import SUMMARY
from llavaseg_ros.ros.messages import seconds_of, stamp_ns
from llavaseg_ros.ros.outputs import TOPICS
from llavaseg_ros.ros.process import use_camera_profile
from llavaseg_ros.ros.qos import DIAGNOSTICS

RATE_HZ = 30.0
LEVELS = ("OK", "WARN", "ERROR", "STALE")
CANCEL_AFTER_S = 0.15
NODE = "llavaseg"
EVERY = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Reaches the node (best effort) and the account of the invariants (reliable), which must not miss a frame.
CAMERA = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Ask:
    """One command of the round. way: "topic", "goal", "cancel" (a goal that is canceled), "late" (a stamp long gone).

    codes: what its final answer may say. PREEMPTED is always among them: on a slow machine the next command comes
    first. So are STALE_IMAGE and NO_IMAGE: there a frame may be late.
    """

    text: str
    session: str
    way: str = "topic"
    codes: frozenset[ErrorCode] = frozenset()


SLOW = frozenset({ErrorCode.PREEMPTED, ErrorCode.STALE_IMAGE, ErrorCode.NO_IMAGE})
LOOKED = frozenset({ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.EMPTY_MASK, ErrorCode.NO_DEPTH})
BAD = frozenset({ErrorCode.BAD_REQUEST})
# Targets, a reference to the last one, a question, two absent things, cancels, and input that cannot be used.
ROUND = (
    Ask("Hand me the red mug.", "one", codes=LOOKED),
    Ask("What color is the mug?", "one", codes=LOOKED),
    Ask("Pick up the rightmost thing.", "two", "goal", LOOKED),
    Ask("and the bowl?", "two", codes=LOOKED),
    Ask("Give me the white candle.", "one", codes=LOOKED),
    Ask("", "one", codes=BAD),
    Ask("I need something to cut paper with.", "three", "cancel", LOOKED),
    Ask("all the cups", "three", codes=LOOKED),
    Ask("x" * 3000, "two", codes=BAD),
    Ask("How many objects are on the table?", "four", "goal", LOOKED),
    Ask("Give me the blue spoon.", "four", codes=LOOKED),
    Ask("Hand me the red mug.", "five", "late", frozenset({ErrorCode.STALE_IMAGE, ErrorCode.BAD_REQUEST})),
)


def camera(namespace: str) -> None:
    """Publish the demo's recording, there and back, at 30 Hz with color, depth and calibration, until killed.

    Serialized once; only the stamp is written anew, so that the camera costs little of a small machine.
    """
    use_camera_profile()
    rclpy.init(args=[])
    node = Node("camera", namespace=namespace)
    topics = (("image", Image), ("depth/image", Image), ("camera_info", CameraInfo), ("depth/camera_info", CameraInfo))
    publishers = [node.create_publisher(kind, name, CAMERA) for name, kind in topics]
    shots = []
    for frame in itertools.islice(read_frames(), 0, 60):
        header = Header(frame_id=frame.frame_id)
        info = serialize_message(camera_info(Shot(frame.rgb, frame.depth, frame.camera.matrix, frame.frame_id), header))
        color, depth = rgb_to_image(frame.rgb, header), depth_mm_to_image(frame.depth, header)
        shots.append((serialize_message(color), serialize_message(depth), info, info))
    due = time.monotonic()
    for shot in itertools.cycle(shots + shots[-2:0:-1]):
        stamp = struct.pack("<iI", *divmod(time.time_ns(), 1_000_000_000))
        # Calibration first: who knows a frame by it knows the frame before anything can be said about it.
        for index in (2, 3, 1, 0):
            publishers[index].publish(shot[index][:4] + stamp + shot[index][12:])
        due += 1.0 / RATE_HZ
        if due < time.monotonic() - 1.0:  # the machine stood still: no burst to make up for it
            due = time.monotonic()
        time.sleep(max(0.0, due - time.monotonic()))


def answers(answer: Answer, ask: Ask) -> bool:
    """This answer is about that command. A long text may come back cut off."""
    same_text = ask.text.startswith(answer.command) and bool(answer.command) == bool(ask.text)
    return answer.session_id == ask.session and same_text


@dataclass
class Sent:
    """A command on its way, and what came of it."""

    ask: Ask
    at_s: float
    code: int | None = None
    latency_s: float = 0.0  # from here to here
    node_s: float = 0.0  # as the node says
    found: bool = False


class Robot:
    """Commands the node and counts what comes. Everything happens in the caller's thread, in `spin`."""

    def __init__(self, namespace: str, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain, args=[])
        self.node = Node("robot", namespace=namespace, context=self.context, use_global_arguments=False)
        self._executor: Any = SingleThreadedExecutor(context=self.context)
        self.frames = 0
        self.followed: list[tuple[float, float]] = []  # when a mask came, how old its image was then, s
        self.done: list[Sent] = []
        self.pending: list[Sent] = []
        self.surplus: list[str] = []
        self.lost = 0  # answers: gaps in the publisher's numbers
        self._last_number: int | None = None
        self.results: dict[str, int] = {}
        self.diagnostics: dict[str, str] = {}
        self.levels: dict[str, int] = {}  # of the node's summary in /diagnostics: how often
        self._cancels: list[tuple[float, Any]] = []
        self._round = itertools.cycle(ROUND)
        self._command = self.node.create_publisher(Command, "command", 50)
        self._action: Any = ActionClient(self.node, Segment, f"{NODE}/segment")
        listen = self.node.create_subscription
        listen(CameraInfo, "camera_info", self._on_frame, EVERY)
        listen(Answer, f"{NODE}/answer", self._on_answer, LATCHED)
        listen(TargetMaskArray, f"{NODE}/masks", self._on_masks, LATCHED)
        listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, DIAGNOSTICS)
        self._executor.add_node(self.node)

    def ready(self) -> bool:
        """Images come, the model is loaded, and everybody is connected."""
        return (
            self.frames > 0
            and self.diagnostics.get("model state") == "ready"
            and self.diagnostics.get("images", "0") != "0"
            and self._command.get_subscription_count() > 0
            and self._action.server_is_ready()
        )

    def spin(self, seconds: float) -> None:
        """Deal with what comes, and cancel what is due."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.05))
            while self._cancels and self._cancels[0][0] <= time.monotonic():
                _, handle = self._cancels.pop(0)
                handle.cancel_goal_async()

    def command(self) -> None:
        """Send the next one of the round."""
        ask = next(self._round)
        self.pending.append(Sent(ask, time.monotonic()))
        if ask.way in ("goal", "cancel"):
            goal = Segment.Goal(text=ask.text, session_id=ask.session)
            self._action.send_goal_async(goal).add_done_callback(lambda f: self._accepted(f, ask.way == "cancel"))
            return
        stamp = Time(sec=1000) if ask.way == "late" else Time()
        self._command.publish(Command(text=ask.text, session_id=ask.session, image_stamp=stamp))

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown(timeout_sec=1.0)
        self._action.destroy()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _accepted(self, future: Any, cancel: bool) -> None:
        handle = future.result()
        if cancel and handle.accepted:
            self._cancels.append((time.monotonic() + CANCEL_AFTER_S, handle))
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        name = ErrorCode(future.result().result.error_code).name
        self.results[name] = self.results.get(name, 0) + 1

    def _on_frame(self, _: CameraInfo) -> None:
        self.frames += 1

    def _on_answer(self, answer: Answer, info: Any) -> None:
        number = info.get("publication_sequence_number")
        if number is not None and self._last_number is not None:
            self.lost += max(0, number - self._last_number - 1)
        self._last_number = number
        if not answer.final:
            return
        # The newest: the answer to an older one of the same words may have been lost on the way.
        sent = next((s for s in reversed(self.pending) if answers(answer, s.ask)), None)
        if sent is None:
            what = f"{answer.command[:40]!r} in {answer.session_id!r}"
            self.surplus.append(f"{what}: {answer.error_code} {answer.error_msg[:80]}")
            return
        self.pending.remove(sent)
        sent.code, sent.found = answer.error_code, answer.found
        sent.latency_s, sent.node_s = time.monotonic() - sent.at_s, seconds_of(answer.latency)
        self.done.append(sent)

    def _on_masks(self, masks: TargetMaskArray) -> None:
        self.followed.append((time.monotonic(), (time.time_ns() - stamp_ns(masks.header.stamp)) / 1e9))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.endswith(f"{NODE}: {SUMMARY}"):
                self.diagnostics.update({item.key: item.value for item in status.values})
                level = LEVELS[status.level[0]]
                self.levels[level] = self.levels.get(level, 0) + 1


@dataclass
class Visitors:
    """Subscribers of every output that come and go, in a thread of their own: a new subscription of each topic every
    `period_s`, and every fifth time a whole new participant."""

    namespace: str
    domain: int
    period_s: float = 1.0
    visits: int = 0
    received: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to come and go."""
        self._thread = threading.Thread(target=self._run, name="visitors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The last one leaves."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30.0)

    def _run(self) -> None:
        for number in itertools.count():
            try:
                for _ in self._stay(f"visitor_{number % 100}"):
                    if self._stop.is_set():
                        return
            except Exception as error:
                self.failures.append(repr(error))
                if self._stop.wait(1.0):
                    return

    def _stay(self, name: str) -> Iterator[None]:
        context = Context()
        rclpy.init(context=context, domain_id=self.domain, args=[])
        node = Node(name, namespace=self.namespace, context=context, use_global_arguments=False)
        executor: Any = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            for _ in range(5):
                made = [node.create_subscription(t, f"{NODE}/{n}", self._count, LATCHED) for n, t in TOPICS.items()]
                end = time.monotonic() + self.period_s
                while time.monotonic() < end and not self._stop.is_set():
                    executor.spin_once(timeout_sec=0.05)
                for subscription in made:
                    node.destroy_subscription(subscription)
                self.visits += 1
                self._stop.wait(self.period_s / 4)  # now nobody listens to the overlay and the scene
                yield
        finally:
            with suppress(Exception):
                executor.shutdown(timeout_sec=1.0)
            node.destroy_node()
            rclpy.try_shutdown(context=context)

    def _count(self, _: Any) -> None:
        self.received += 1
