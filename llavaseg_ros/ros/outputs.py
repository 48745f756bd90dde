# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The topics that the node `llavaseg` answers on, and what goes out for one outcome."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String

from llavaseg_ros import viz
from llavaseg_ros.msg import Answer, TargetMaskArray
from llavaseg_ros.ros.commands import Outcome
from llavaseg_ros.ros.convert import mask_to_image, rgb_to_image
from llavaseg_ros.ros.lifting import Geometry, no_geometry
from llavaseg_ros.ros.qos import LATCHED, NO_PUBLISHER_EVENTS
from llavaseg_ros.types import Result

# Longest wait for the subscribers of ~/answer to have the last answer, and for how long one that did not is not waited
# for. They have it within a millisecond, on a busy machine within some.
ACKNOWLEDGE_S = 0.1
IMPATIENT_S = 5.0
# The same at the node's end.
HAND_OVER_S = 1.0

TOPICS: dict[str, type[Any]] = {
    "mask": Image,
    "masks": TargetMaskArray,
    "answer": Answer,
    "answer_text": String,
    "overlay": Image,
    "target_points": PointCloud2,
    "scene_points": PointCloud2,
    "target_pose": PoseStamped,
}


class Outputs:
    """Lifecycle publishers under the node's private name, between `open` and `close`; silent unless it is active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publishers: dict[str, Any] = {}
        self._patient_from = 0.0
        self.whole = threading.RLock()
        """Held while the messages of one outcome go out, so that those of two are never mixed. Whoever silences the
        publishers holds it, too: an outcome goes out whole or not at all."""

    def open(self) -> None:
        """Make the publishers."""
        for name, message_type in TOPICS.items():
            self._publishers[name] = self._node.create_lifecycle_publisher(
                message_type, f"~/{name}", LATCHED, event_callbacks=NO_PUBLISHER_EVENTS
            )

    def close(self) -> None:
        """Give the publishers back; what they had latched is gone with them."""
        with self.whole:
            publishers, self._publishers = self._publishers, {}
            for publisher in publishers.values():
                self._node.destroy_lifecycle_publisher(publisher)

    def send(self, name: str, msg: Any) -> None:
        """Publish on one of the topics; nothing happens while the node is not active."""
        with self.whole:
            publisher = self._publishers.get(name)
            if publisher is not None:
                if name == "answer":
                    self._make_room(publisher)
                publisher.publish(msg)

    def _make_room(self, publisher: Any) -> None:
        """Wait until the subscribers have the last answer: the topic keeps one, and the next would take its place
        before a busy one has it. Not for long, and not again and again for one that hangs."""
        now = time.monotonic()
        if now >= self._patient_from and not _has_arrived(publisher, ACKNOWLEDGE_S):
            self._patient_from = now + IMPATIENT_S

    def hand_over(self) -> None:
        """Before the node leaves: wait until the subscribers have what went out last. A publisher takes it along."""
        with self.whole:
            end = time.monotonic() + HAND_OVER_S
            for name, publisher in self._publishers.items():
                if not _has_arrived(publisher, end - time.monotonic()):
                    self._node.get_logger().warning(f"somebody who subscribes to ~/{name} has not taken the last one")

    def publish(self, outcome: Outcome, *, masks: bool = True) -> None:
        """Masks and points first, then the answer, so that whoever waits for the answer has the others already."""
        with self.whole:
            if masks and outcome.masks is not None and outcome.shape is not None:
                self.publish_masks(outcome.masks, outcome.shape, outcome.geometry)
            self.send("answer", outcome.answer)
            self.send("answer_text", String(data=outcome.answer.text or f"Error: {outcome.answer.error_msg}"))

    def publish_masks(self, masks: TargetMaskArray, shape: tuple[int, int], geometry: Geometry | None) -> None:
        """The masks of one frame of this height and width, the best one by itself, and where it is.

        geometry: None = there is none.
        """
        # Without a target, an all-zero mask, empty clouds and a pose of NaN take the place of the last target's, so
        # that nobody who comes later takes those for current.
        best = masks.targets[0].mask if masks.targets else mask_to_image(np.zeros(shape, np.bool_), masks.header)
        there = geometry or no_geometry(masks.header)
        with self.whole:
            self.send("target_points", there.target_points)
            if there.scene_points is not None:
                self.send("scene_points", there.scene_points)
            self.send("target_pose", there.target_pose)
            self.send("masks", masks)
            self.send("mask", best)

    def wants_scene(self) -> bool:
        """Somebody listens to `scene_points`."""
        publisher = self._publishers.get("scene_points")
        return publisher is not None and publisher.get_subscription_count() > 0

    def publish_followed(self, masks: TargetMaskArray, geometry: Geometry, rgb: np.ndarray, result: Result) -> None:
        """What follow mode has for one frame: no answer. No targets: it is lost."""
        self.publish_masks(masks, (rgb.shape[0], rgb.shape[1]), geometry)
        self.publish_overlay(rgb, result, masks, result.answer if masks.targets else f"lost: {result.thought.target}")

    def publish_overlay(self, rgb: np.ndarray, result: Result, masks: TargetMaskArray, text: str) -> bool:
        """Draw and publish the overlay if somebody listens. True when it went out."""
        publisher = self._publishers.get("overlay")
        if publisher is None or publisher.get_subscription_count() == 0:
            return False
        drawn = [segment.mask for segment in result.segments if segment.mask.any()]
        labels = [target.label for target in masks.targets]
        picture = viz.draw_overlay(rgb, drawn[: len(labels)], labels, text)
        with self.whole:
            publisher.publish(rgb_to_image(picture, masks.header))
        return True


def _has_arrived(publisher: Any, timeout_s: float) -> bool:
    """Every subscriber has what was published."""
    end = time.monotonic() + timeout_s
    # Asked again and again: rclpy's own wait would hold the interpreter's lock, and with it every thread.
    while not publisher.wait_for_all_acked(Duration(seconds=0)):
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True
