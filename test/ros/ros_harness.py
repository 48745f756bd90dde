# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A node under test and a client beside it, over real rclpy and DDS, in a context and a namespace of their own."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.action import Segment
from llavaseg_ros.msg import Answer, Command, TargetMaskArray
from llavaseg_ros.nodes.llavaseg_node import LLaVASegNode
from llavaseg_ros.ros.actions import ThreadedActionClient
from llavaseg_ros.ros.convert import rgb_to_image
from llavaseg_ros.ros.process import make_room_for_callbacks
from llavaseg_ros.ros.worker import ModelState

# Long, because CI machines are slow; only a failing test waits that long, and mutation testing, where most fail, less.
WAIT_S = float(os.environ.get("LLAVASEG_TEST_WAIT_S", "60"))
# Within a Stack nothing is lost on the way; a copy that is sent too early is a frame more, and tests count frames.
AGAIN_S = 10.0

_numbers = itertools.count(1)
# Runs of the suite side by side must not hear each other; Fast DDS leaves this range to users.
DOMAIN = 1 + os.getpid() % 100


def wait_until(condition: Callable[[], Any], timeout_s: float | None = None, what: str = "the condition") -> Any:
    """Poll until the condition holds; fails the test when it never does."""
    timeout_s = WAIT_S if timeout_s is None else timeout_s
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited {timeout_s:g} s in vain for {what}")


def picture(height: int = 48, width: int = 64, red: tuple[int, int, int, int] | None = (10, 8, 20, 12)) -> np.ndarray:
    """uint8 [H, W, 3] RGB: gray, with a red box (x, y, width, height)."""
    rgb = np.full((height, width, 3), 120, np.uint8)
    if red is not None:
        x, y, w, h = red
        rgb[y : y + h, x : x + w] = (220, 20, 30)
    return rgb


def latched(depth: int = 1) -> QoSProfile:
    """What a planner that starts late uses."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def spin_in_thread(executor: Any) -> threading.Thread:
    """Spin until the executor is shut down; like `run_node`, on over what was destroyed while the executor was about
    to wait for it.
    """

    def run() -> None:
        with contextlib.suppress(ExternalShutdownException):
            while True:
                try:
                    return executor.spin()
                except InvalidHandle:
                    continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class Recorder:
    """Collects what comes on a topic."""

    def __init__(self, node: Node, message_type: Any, topic: str, qos: QoSProfile) -> None:
        self.messages: list[Any] = []
        self._changed = threading.Condition()
        self.subscription = node.create_subscription(message_type, topic, self._keep, qos)

    def _keep(self, msg: Any) -> None:
        with self._changed:
            self.messages.append(msg)
            self._changed.notify_all()

    def wait(self, count: int = 1, timeout_s: float = WAIT_S) -> list[Any]:
        """At least this many messages, or the test fails."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.messages) >= count, timeout_s)
        assert came, f"{len(self.messages)} of {count} messages on {self.subscription.topic_name} in {timeout_s:g} s"
        return list(self.messages)


class Stack:
    """The node under test, loaded with the given pipeline, and a client node, in one namespace."""

    def __init__(self, pipeline: Any, *, loader: Any = None, remap: tuple[str, ...] = (), **overrides: Any) -> None:
        self.pipeline = pipeline
        self.namespace = f"/t{os.getpid()}_{next(_numbers)}"
        self.context = Context()
        make_room_for_callbacks()  # as in the node's own process
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        # Nothing is stale merely because the machine is slow; tests of staleness set their own limit.
        values = {
            "warm_up": False,
            "sync.max_image_age_s": 600.0,
            "diagnostics.no_image_warning_s": 0.0,
            **{name.replace("__", "."): value for name, value in overrides.items()},
        }
        cli = ["--ros-args", *itertools.chain.from_iterable(("-r", rule) for rule in remap)] if remap else None
        self.node = LLaVASegNode(
            loader=loader or (lambda *_: pipeline),
            namespace=self.namespace,
            context=self.context,
            cli_args=cli,
            use_global_arguments=False,
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        self.client = Node("client", namespace=self.namespace, context=self.context, use_global_arguments=False)
        # Before the executor spins: rclpy hands an action client to it before the client is complete.
        # With room for feedback that the executor is late for.
        self._action: Any = ThreadedActionClient(
            self.client, Segment, "llavaseg/segment", feedback_sub_qos_profile=QoSProfile(depth=2000)
        )
        self._executors = [MultiThreadedExecutor(4, context=self.context) for _ in range(2)]
        for executor, node in zip(self._executors, (self.node, self.client), strict=True):
            executor.add_node(node)
        self._spinners = [spin_in_thread(executor) for executor in self._executors]
        self.answers = self.record(Answer, "llavaseg/answer")
        self.masks = self.record(TargetMaskArray, "llavaseg/masks")
        self.mask = self.record(Image, "llavaseg/mask")
        self._camera: Any = None
        self._command: Any = None

    def record(self, message_type: Any, topic: str, qos: QoSProfile | None = None) -> Recorder:
        """Subscribe the client to a topic."""
        # Deep, so that nothing is lost here that comes while this process is slow.
        return Recorder(self.client, message_type, topic, qos or latched(2000))

    def wait_ready(self, timeout_s: float | None = None) -> Stack:
        """Until the model is loaded and our recorders are connected."""
        wait_until(lambda: self.node.worker.state is not ModelState.LOADING, timeout_s, "the model")
        assert self.node.worker.state is ModelState.READY, self.node.worker.error
        for recorder in (self.answers, self.masks, self.mask):
            topic = recorder.subscription.topic_name
            wait_until(partial(self.client.count_publishers, topic), what=f"a publisher of {topic}")
        return self

    # --- camera ---

    def header(self, age_s: float = 0.0, frame_id: str = "camera_color_optical_frame") -> Header:
        """A header stamped this long ago."""
        now_ns = self.client.get_clock().now().nanoseconds - round(age_s * 1e9)
        header = Header(frame_id=frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(now_ns, 1_000_000_000)
        return header

    def send_image(self, rgb: np.ndarray | None = None, *, age_s: float = 0.0, message: Any = None) -> Image:
        """Publish a frame, and wait until the node has stored it."""
        msg = message if message is not None else rgb_to_image(picture() if rgb is None else rgb, self.header(age_s))
        topic = self.node.inputs.image_topic
        if self._camera is None:
            qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._camera = self.client.create_publisher(type(msg), topic, qos)
        self.deliver(self._camera, msg, self.node.inputs.images)
        return msg

    def deliver(self, publisher: Any, msg: Any, store: Any) -> None:
        """Publish, and wait until a store of the node has one message more."""
        topic = publisher.topic_name
        wait_until(publisher.get_subscription_count, what=f"the node's subscription of {topic}")
        before, end = store.count, time.monotonic() + WAIT_S
        while store.count == before:
            assert time.monotonic() < end, f"the node never got what was sent on {topic}"
            publisher.publish(msg)
            again = time.monotonic() + AGAIN_S
            while store.count == before and time.monotonic() < again:
                time.sleep(0.002)

    # --- commands ---

    def send_command(self, text: str, **fields: Any) -> None:
        """Publish on `command`."""
        if self._command is None:
            self._command = self.client.create_publisher(Command, "command", 50)
        wait_until(lambda: self._command.get_subscription_count() > 0, what="the node's subscription of command")
        self._command.publish(Command(text=text, **fields))

    def final_answers(self) -> list[Answer]:
        """The final answers that came so far."""
        return [answer for answer in self.answers.messages if answer.final]

    def ask(self, text: str, **fields: Any) -> Answer:
        """Publish a command and wait for its final answer."""
        before = len(self.final_answers())
        self.send_command(text, **fields)
        wait_until(lambda: len(self.final_answers()) > before, what=f"the answer to {text[:40]!r}")
        return self.final_answers()[before]

    @property
    def action(self) -> ThreadedActionClient:
        """A connected client of `~/segment`."""
        assert self._action.wait_for_server(WAIT_S)
        return self._action

    def send_goal(self, text: str, feedback: Callable[[Any], None] | None = None, **fields: Any) -> Any:
        """Send a goal; the goal handle, once it is accepted."""
        future = self.action.send_goal_async(
            Segment.Goal(text=text, **fields), feedback_callback=feedback and (lambda msg: feedback(msg.feedback))
        )
        handle = self.resolve(future)
        assert handle.accepted
        return handle

    def result(self, handle: Any, timeout_s: float | None = None) -> Any:
        """The goal's (status, result) message, when it has ended."""
        return self.resolve(handle.get_result_async(), timeout_s)

    def do(self, text: str, **fields: Any) -> Any:
        """Send a goal and wait for its (status, result), and for its answer: it is on a topic of its own, and must not
        be taken for that of a later command.
        """
        handle = self.send_goal(text, **fields)
        done = self.result(handle)
        if self.node._state == "active":  # else the publishers are silent
            command_id = bytes(handle.goal_id.uuid).hex()
            wait_until(lambda: any(a.command_id == command_id for a in self.final_answers()), what="the goal's answer")
        return done

    def resolve(self, future: Any, timeout_s: float | None = None) -> Any:
        """The result of a future that the client's executor completes."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(timeout_s or WAIT_S), "the future was never completed"
        return future.result()

    def call(self, service_type: Any, name: str, request: Any, timeout_s: float | None = None) -> Any:
        """Call a service of the node."""
        client: Any = self.client.create_client(service_type, name)
        assert client.wait_for_service(WAIT_S), f"no service {name}"
        try:
            return self.resolve(client.call_async(request), timeout_s)
        finally:
            self.client.destroy_client(client)

    def change_state(self, transition: int) -> bool:
        """A lifecycle transition, over its service, as a lifecycle manager does it."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, "llavaseg/change_state", request).success)

    def close(self) -> None:
        """End everything."""
        self.node.close()
        time.sleep(0.03)  # the executor sends the last results
        for executor in self._executors:
            executor.shutdown(timeout_sec=20.0)
        for node in (self.client, self.node):
            node.destroy_node()
        rclpy.shutdown(context=self.context)
        for spinner in self._spinners:
            spinner.join(20.0)
