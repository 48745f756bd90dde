# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The harness of the ROS tests with an observer beside it, and a camera that can send what no camera should."""

from __future__ import annotations

from typing import Any

import numpy as np
from observer import Observer
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from ros_harness import Stack, wait_until
from sensor_msgs.msg import Image

from llavaseg_ros.msg import Command


class FaultyStack(Stack):
    """A `Stack` whose camera and commands the observer hears reliably. `observer` sees only topics."""

    def __init__(self, pipeline: Any, **arguments: Any) -> None:
        super().__init__(pipeline, **arguments)
        self.observer = Observer(self.namespace, self.context.get_domain_id())
        self._heard: dict[str, Any] = {}

    def wait_ready(self, timeout_s: float | None = None) -> FaultyStack:
        """As `Stack.wait_ready`, and the observer hears the outputs."""
        super().wait_ready(timeout_s)
        self.observer.wait_connected()
        return self

    def publisher(self, message_type: Any, topic: str, *, depth: int = 2000, subscribers: int = 2) -> Any:
        """A reliable publisher that reaches this many subscribers: by default the node and the observer.

        The same one for the same topic, so that a topic has one order.
        """
        name = self.client.resolve_topic_name(topic)
        if name not in self._heard:
            self._heard[name] = self.client.create_publisher(message_type, topic, QoSProfile(depth=depth))
        made = self._heard[name]
        wait_until(lambda: made.get_subscription_count() >= subscribers, what=f"the subscribers of {name}")
        return made

    @staticmethod
    def parameter(name: str, value: Any) -> Parameter:
        """For `set_parameters`."""
        return Parameter(name, value=value)

    def send_image(self, rgb: np.ndarray | None = None, *, age_s: float = 0.0, message: Any = None) -> Any:
        """As `Stack.send_image`; the observer hears of it, too."""
        message_type = type(message) if message is not None else Image
        self._camera = self.publisher(message_type, self.node.inputs.image_topic, depth=20)
        return super().send_image(rgb, age_s=age_s, message=message)

    def publish_image(self, message: Any) -> None:
        """Publish a message, or serialized bytes of an Image, and do not wait for the node to store it."""
        message_type = Image if isinstance(message, bytes) else type(message)
        self.publisher(message_type, self.node.inputs.image_topic, depth=20).publish(message)

    def send_command(self, text: str, **fields: Any) -> None:
        """Publish on `command`."""
        self.publisher(Command, "command").publish(Command(text=text, **fields))

    def send_goal(self, text: str, feedback: Any = None, **fields: Any) -> Any:
        """As `Stack.send_goal`; the observer is told of the image that comes with it."""
        handle = super().send_goal(text, feedback, **fields)
        if fields.get("use_image"):
            self.observer.note_goal(bytes(handle.goal_id.uuid).hex(), fields.get("image", Image()))
        return handle

    def end_and_check(self) -> None:
        """End the node's work, while its publishers still work, and have the observer check what it saw."""
        self.node.close()
        self.observer.check()

    def close(self) -> None:
        """End everything."""
        super().close()
        self.observer.close()
