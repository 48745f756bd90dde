"""The topics that the node `llavaseg` answers on, and what goes out for one outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import String

from llavaseg_ros import viz
from llavaseg_ros.msg import Answer, TargetMaskArray
from llavaseg_ros.ros.commands import Outcome
from llavaseg_ros.ros.convert import mask_to_image, rgb_to_image
from llavaseg_ros.ros.qos import LATCHED, NO_PUBLISHER_EVENTS
from llavaseg_ros.types import Result

TOPICS: dict[str, type[Any]] = {
    "mask": Image,
    "masks": TargetMaskArray,
    "answer": Answer,
    "answer_text": String,
    "overlay": Image,
}


class Outputs:
    """Lifecycle publishers under the node's private name, between `open` and `close`; silent unless it is active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publishers: dict[str, Any] = {}

    def open(self) -> None:
        """Make the publishers."""
        for name, message_type in TOPICS.items():
            self._publishers[name] = self._node.create_lifecycle_publisher(
                message_type, f"~/{name}", LATCHED, event_callbacks=NO_PUBLISHER_EVENTS
            )

    def close(self) -> None:
        """Give the publishers back; what they had latched is gone with them."""
        publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def send(self, name: str, msg: Any) -> None:
        """Publish on one of the topics; nothing happens while the node is not active."""
        publisher = self._publishers.get(name)
        if publisher is not None:
            publisher.publish(msg)

    def publish(self, outcome: Outcome, *, masks: bool = True) -> None:
        """Masks first, then the answer, so that whoever waits for the answer has the masks already."""
        if masks and outcome.masks is not None and outcome.shape is not None:
            self.publish_masks(outcome.masks, outcome.shape)
        self.send("answer", outcome.answer)
        self.send("answer_text", String(data=outcome.answer.text or f"Error: {outcome.answer.error_msg}"))

    def publish_masks(self, masks: TargetMaskArray, shape: tuple[int, int]) -> None:
        """The masks of one frame of this height and width, and the best one by itself."""
        # An all-zero mask takes the place of the last target's, so that nobody who comes later takes that for current.
        best = masks.targets[0].mask if masks.targets else mask_to_image(np.zeros(shape, np.bool_), masks.header)
        self.send("masks", masks)
        self.send("mask", best)

    def publish_followed(self, masks: TargetMaskArray, rgb: np.ndarray, result: Result) -> None:
        """What follow mode has for one frame: no answer. No targets: it is lost."""
        self.publish_masks(masks, (rgb.shape[0], rgb.shape[1]))
        self.publish_overlay(rgb, result, masks, result.answer if masks.targets else f"lost: {result.thought.target}")

    def publish_overlay(self, rgb: np.ndarray, result: Result, masks: TargetMaskArray, text: str) -> bool:
        """Draw and publish the overlay if somebody listens. True when it went out."""
        publisher = self._publishers.get("overlay")
        if publisher is None or publisher.get_subscription_count() == 0:
            return False
        drawn = [segment.mask for segment in result.segments if segment.mask.any()]
        labels = [target.label for target in masks.targets]
        picture = viz.draw_overlay(rgb, drawn[: len(labels)], labels, text)
        publisher.publish(rgb_to_image(picture, masks.header))
        return True
