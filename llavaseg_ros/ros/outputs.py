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

    def publish(self, outcome: Outcome) -> None:
        """Masks first, then the answer, so that whoever waits for the answer has the masks already."""
        if outcome.masks is not None and outcome.shape is not None:
            best = outcome.best_mask
            if best is None:
                # Takes the place of the last target's mask, so that nobody who comes later takes that for current.
                best = mask_to_image(np.zeros(outcome.shape, np.bool_), outcome.masks.header)
            self.send("masks", outcome.masks)
            self.send("mask", best)
        self.send("answer", outcome.answer)
        self.send("answer_text", String(data=outcome.answer.text or f"Error: {outcome.answer.error_msg}"))

    def publish_overlay(self, outcome: Outcome) -> bool:
        """Draw and publish the overlay if somebody listens. True when it went out."""
        if outcome.rgb is None or outcome.result is None or outcome.masks is None:
            return False
        publisher = self._publishers.get("overlay")
        if publisher is None or publisher.get_subscription_count() == 0:
            return False
        masks = [segment.mask for segment in outcome.result.segments if segment.mask.any()]
        labels = [target.label for target in outcome.masks.targets]
        picture = viz.draw_overlay(outcome.rgb, masks[: len(labels)], labels, outcome.answer.text)
        publisher.publish(rgb_to_image(picture, outcome.masks.header))
        return True
