# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A planner that trusts nobody: it listens to the topics around the node, and to nothing else, and keeps account."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import rclpy
from action_msgs.msg import GoalStatusArray
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from invariants import Masks, Out, Record, Said, Sent, Transition, problems
from lifecycle_msgs.msg import TransitionEvent
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from ros_harness import latched, spin_in_thread, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String

from llavaseg_ros.msg import Answer, Command, TargetMaskArray
from llavaseg_ros.ros.cdr import RawMessage

# Deep, so that a flood of a thousand commands is seen to its end on a slow machine.
DEEP = 5000
IMAGES = 100
QUIET_S = 0.05


def _reliable(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)


class Observer:
    """Subscribed from its making until `close`. `check` asserts the invariants (`invariants.problems`).

    Sees the camera's image and image/compressed, command, command_text, all of the node's outputs, its transitions, the
    status of its action (which names every goal), and /diagnostics. What comes with a goal is on no topic: `note_goal`
    tells of its image. The camera's publisher must be reliable, as a lost image looks like one that was never sent; for
    one that is not, camera_info names a reliable topic that tells of each image.

    answers: every Answer message. last_mask: the newest `~/mask`. diagnostics: the newest 200 messages of the domain.
    """

    def __init__(
        self, namespace: str, domain: int, *, node: str = "llavaseg", image: str = "image", camera_info: str = ""
    ) -> None:
        self.record = Record()
        self.answers: list[Answer] = []
        self.last_mask: Image | None = None
        self.diagnostics: deque[DiagnosticArray] = deque(maxlen=200)
        self._newest = time.monotonic()
        self._sequence: dict[tuple[str, bytes], int] = {}
        self._lock = threading.Lock()
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain, args=[])
        self.node = Node("observer", namespace=namespace, context=self.context, use_global_arguments=False)
        self.outputs: list[Any] = []
        for topic, message_type, take in (
            ("mask", Image, self._take_mask),
            ("overlay", Image, self._take_overlay),
            ("masks", TargetMaskArray, self._take_masks),
            ("answer", Answer, self._take_answer),
            ("target_points", PointCloud2, self._take_points),
            ("scene_points", PointCloud2, self._take_points),
            ("target_pose", PoseStamped, self._take_pose),
        ):
            self.outputs.append(self._subscribe(f"{node}/{topic}", message_type, take, latched(DEEP), topic))
        self._subscribe(f"{node}/transition_event", TransitionEvent, self._take_transition, _reliable(DEEP))
        self._subscribe(f"{node}/segment/_action/status", GoalStatusArray, self._take_goals, latched(DEEP))
        self._subscribe(image, Image, self._take_image, _reliable(IMAGES), raw=True)
        self._subscribe(f"{image}/compressed", CompressedImage, self._take_compressed, _reliable(IMAGES), raw=True)
        if camera_info:
            self._subscribe(camera_info, CameraInfo, self._take_info, _reliable(DEEP))
        self._subscribe("command", Command, self._take_command, _reliable(DEEP), raw=True)
        self._subscribe("command_text", String, self._take_text, _reliable(DEEP), raw=True)
        self._subscribe("/diagnostics", DiagnosticArray, lambda msg, *_: self.diagnostics.append(msg), _reliable(50))
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._spinner = spin_in_thread(self._executor)

    # --- for the cases ---

    def wait_connected(self) -> None:
        """Until every output of a configured node reaches us."""
        for subscription in self.outputs:
            wait_until(lambda s=subscription: s.get_publisher_count() > 0, what=f"our {subscription.topic_name}")

    def wait_disconnected(self) -> None:
        """Until the outputs that a node had are out of sight: those of the next cycle must not be taken for them."""
        for subscription in self.outputs:
            wait_until(lambda s=subscription: s.get_publisher_count() == 0, what=f"no {subscription.topic_name}")

    def wait_mask_of(self, image: Image) -> None:
        """Until the newest mask is that of this image."""
        wait_until(
            lambda: (mask := self.last_mask) is not None and mask.header == image.header, what="the followed frame"
        )

    def finals(self, command: str | None = None) -> list[Answer]:
        """The final answers so far, of the command with this text if one is given."""
        with self._lock:
            return [a for a in self.answers if a.final and (command is None or a.command == command)]

    def note_goal(self, command_id: str, image: Image | None = None) -> None:
        """A goal was sent with an image of its own."""
        with self._lock:
            if image is not None:
                self.record.own_images.add(command_id)
                self._note_sent(image, (int(image.height), int(image.width)))

    def node_gone(self) -> None:
        """The node's process was killed: what it had been asked until now it does not owe any more."""
        with self._lock:
            self.record.gone.append(time.time_ns())

    def problems(self) -> list[str]:
        """The violations so far; those of what is on its way may still vanish."""
        with self._lock:
            return problems(self.record)

    def check(self, timeout_s: float = 20.0) -> None:
        """Assert the invariants. What is still missing is waited for; what is wrong stays wrong."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.problems()
            quiet = time.monotonic() - self._newest > QUIET_S
            if (quiet and not found) or time.monotonic() > end:
                break
            time.sleep(0.01)
        assert not found, "the observer saw:\n  " + "\n  ".join(dict.fromkeys(found))

    def check_and_forget(self, images: int = 3000) -> list[str]:
        """For long runs: the violations so far; when there are none, all is forgotten but the newest images."""
        with self._lock:
            found = problems(self.record)
            if not found:
                self.record.forget(images)
                self.answers.clear()
        return found

    def close(self) -> None:
        """End."""
        self._executor.shutdown(timeout_sec=10.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
        self._spinner.join(10.0)

    # --- what comes ---

    def _subscribe(
        self,
        topic: str,
        message_type: Any,
        take: Callable[..., None],
        qos: QoSProfile,
        output: str = "",
        *,
        raw: bool = False,
    ) -> Any:
        def arrived(msg: Any, info: Any) -> None:
            with self._lock:
                if output:
                    self._count_lost(output, info)
                    self._newest = time.monotonic()
                take(msg, int(info["source_timestamp"]), output)

        return self.node.create_subscription(message_type, topic, arrived, qos, raw=raw)

    def _count_lost(self, topic: str, info: Any) -> None:
        """A publisher counts its messages: a gap is a message that the planner never saw."""
        number, publisher = info.get("publication_sequence_number"), str(info.get("publisher_gid"))
        if number is None:
            return
        key = (topic, publisher)
        before = self._sequence.get(key)
        if before is not None and number > before + 1:
            self.record.lost[topic] += number - before - 1
        self._sequence[key] = number

    def _take_image(self, data: bytes, at: int, _: str) -> None:
        try:
            msg = RawMessage(data, Image).fields()  # pixels are not copied: a camera sends many
        except Exception:  # cut off: its stamp is all that there is of it
            self._note_broken(data)
            return
        needed = msg.step * max(0, msg.height - 1) + msg.width
        whole = msg.height > 0 and msg.width > 0 and msg.step >= msg.width and len(msg.data) >= needed
        self._note_sent(msg, (int(msg.height), int(msg.width)) if whole else None)

    def _take_info(self, msg: CameraInfo, at: int, _: str) -> None:
        self._note_sent(msg, (int(msg.height), int(msg.width)))

    def _take_compressed(self, data: bytes, at: int, _: str) -> None:
        try:
            msg = deserialize_message(data, CompressedImage)
        except Exception:
            self._note_broken(data)
            return
        self._note_sent(msg, _size_inside(bytes(msg.data)))

    def _note_broken(self, data: bytes) -> None:
        if len(data) >= 12:
            sec, nanosec = struct.unpack_from("<iI", data, 4)
            self.record.sent.setdefault(sec * 10**9 + nanosec, []).append(Sent("", None))

    def _note_sent(self, msg: Any, size: tuple[int, int] | None) -> None:
        images = self.record.sent.setdefault(_stamp_ns(msg.header), [])
        sent = Sent(msg.header.frame_id, size)
        if sent not in images:
            images.append(sent)

    def _take_command(self, data: bytes, at: int, _: str) -> None:
        self._note_command(data, Command, "text", at)

    def _take_text(self, data: bytes, at: int, _: str) -> None:
        self._note_command(data, String, "data", at)

    def _note_command(self, data: bytes, message_type: Any, name: str, at: int) -> None:
        try:
            text = getattr(deserialize_message(data, message_type), name)
        except Exception:  # no message at all: nobody can answer it
            return
        self.record.commands.append((at, text))

    def _take_goals(self, msg: GoalStatusArray, at: int, _: str) -> None:
        for status in msg.status_list:
            self.record.goals.setdefault(bytes(status.goal_info.goal_id.uuid).hex(), at)

    def _take_transition(self, msg: TransitionEvent, at: int, _: str) -> None:
        self.record.transitions.append(Transition(at, msg.start_state.label, msg.goal_state.label))

    def _take_mask(self, msg: Image, at: int, topic: str) -> None:
        self.last_mask = msg
        self.record.outputs.append(_picture(msg, at, topic))

    def _take_overlay(self, msg: Image, at: int, topic: str) -> None:
        self.record.outputs.append(_picture(msg, at, topic, channels=3))

    def _take_masks(self, msg: TargetMaskArray, at: int, topic: str) -> None:
        targets = []
        for number, target in enumerate(msg.targets, start=1):
            out = _picture(target.mask, at, topic)
            wrong = out.problem
            if target.id != number:
                wrong = f"target {number} has the id {target.id}"
            elif target.area_px != out.marked:
                wrong = f"area_px is {target.area_px}, the mask has {out.marked} pixels"
            elif not 0.0 <= target.score <= 1.0:
                wrong = f"score is {target.score}"
            targets.append(Out(topic, at, out.stamp_ns, out.frame_id, out.size, out.marked, out.pixels, wrong))
        self.record.outputs.append(
            Masks(
                topic, at, _stamp_ns(msg.header), msg.header.frame_id, command_id=msg.command_id, targets=tuple(targets)
            )
        )

    def _take_answer(self, msg: Answer, at: int, topic: str) -> None:
        self.answers.append(msg)
        wrong = ""
        if msg.final and not msg.text and not msg.error_msg:
            wrong = "says nothing"
        elif msg.final and msg.error_code and not msg.error_msg:
            wrong = f"error {msg.error_code} without a text"
        self.record.outputs.append(
            Said(
                topic,
                at,
                _stamp_ns(msg.header),
                msg.header.frame_id,
                problem=wrong,
                command_id=msg.command_id,
                command=msg.command,
                found=msg.found,
                final=msg.final,
                error_code=msg.error_code,
            )
        )

    def _take_points(self, msg: PointCloud2, at: int, topic: str) -> None:
        # The scene is what is no target: it is told apart from "no target" by the target's own points.
        marked = msg.width * msg.height if topic == "target_points" else 0
        self.record.outputs.append(Out(topic, at, _stamp_ns(msg.header), msg.header.frame_id, marked=marked))

    def _take_pose(self, msg: PoseStamped, at: int, topic: str) -> None:
        p, q = msg.pose.position, msg.pose.orientation
        numbers = (p.x, p.y, p.z, q.x, q.y, q.z, q.w)
        finite = sum(map(math.isfinite, numbers))
        wrong = "" if finite in (0, len(numbers)) else f"{finite} of 7 numbers are finite"
        self.record.outputs.append(
            Out(topic, at, _stamp_ns(msg.header), msg.header.frame_id, marked=int(finite > 0), problem=wrong)
        )


def _size_inside(data: bytes) -> tuple[int, int] | None:
    """(height, width) of a JPEG or PNG that is whole, and small enough to be a camera's."""
    try:
        with PIL.Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            if width * height <= 10_000_000:
                picture.load()  # raises for what is cut off
                return height, width
    except Exception:
        pass
    return None


def _picture(msg: Image, at: int, topic: str, channels: int = 1) -> Out:
    """What counts of a mask (mono8, 0 or 255), or of an overlay (rgb8)."""
    size = (int(msg.height), int(msg.width))
    data = np.frombuffer(msg.data, np.uint8)
    wrong = ""
    if msg.encoding != ("mono8" if channels == 1 else "rgb8"):
        wrong = f"encoding is {msg.encoding!r}"
    elif data.size != size[0] * size[1] * channels or msg.step != size[1] * channels:
        wrong = f"{data.size} bytes and step {msg.step} for {size}"
    marked = int(np.count_nonzero(data)) if channels == 1 else 0
    if channels == 1 and not wrong and int(np.count_nonzero(data == 255)) != marked:
        wrong = "values other than 0 and 255"
    return Out(
        topic,
        at,
        _stamp_ns(msg.header),
        msg.header.frame_id,
        size,
        marked,
        hashlib.sha1(data.data).hexdigest() if channels == 1 else "",
        wrong,
    )


def _stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)
