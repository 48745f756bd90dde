# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The camera's topics: subscriptions that only store. Frames stay serialized until a command wants one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.ros.cdr import RawMessage, read_stamp_ns
from llavaseg_ros.ros.depth import DepthStore
from llavaseg_ros.ros.freshness import FrameStore
from llavaseg_ros.ros.qos import NO_SUBSCRIPTION_EVENTS, SENSOR


class Inputs:
    """image, camera_info, depth/image and depth/camera_info of one node. Subscribed between `open` and `close`."""

    def __init__(self, node: Node, warn: Callable[[str], object]) -> None:
        self._node, self._warn = node, warn
        self._subscriptions: list[Any] = []
        self.image_topic = ""
        self.broken = 0
        self.images = FrameStore()
        self.camera_info = FrameStore(1, "camera_info")
        self.depth = DepthStore()
        self.depth_camera_info = FrameStore(1, "depth camera_info")

    def open(self, *, transport: str, depth: bool) -> None:
        """Subscribe. transport: raw or compressed. depth: take depth/image and depth/camera_info, too."""
        image_type: type[Any] = Image
        self.image_topic = self._node.resolve_topic_name("image")
        if transport == "compressed":
            image_type = CompressedImage
            # Where image_transport puts it: beside the topic that `image` is remapped to.
            if not self.image_topic.endswith("/compressed"):
                self.image_topic += "/compressed"
        self._subscribe(image_type, self.image_topic, self.images)
        self._subscribe(CameraInfo, "camera_info", self.camera_info)
        if depth:
            self._subscribe(Image, "depth/image", self.depth)
            self._subscribe(CameraInfo, "depth/camera_info", self.depth_camera_info)

    def close(self) -> None:
        """Give the subscriptions and the frames back."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        for store in (self.images, self.camera_info, self.depth, self.depth_camera_info):
            store.clear()

    def _subscribe(self, message_type: type[Any], topic: str, store: FrameStore) -> None:
        clock = self._node.get_clock()

        def keep(data: Any) -> None:
            try:
                stamp_ns = read_stamp_ns(data)
            except BadRequest as error:
                self.broken += 1
                self._warn(f"{topic}: {error}; dropped")
                return
            store.put(RawMessage(data, message_type), stamp_ns, clock.now().nanoseconds)

        self._subscriptions.append(
            self._node.create_subscription(
                message_type,
                topic,
                keep,
                SENSOR,
                raw=True,
                callback_group=MutuallyExclusiveCallbackGroup(),
                event_callbacks=NO_SUBSCRIPTION_EVENTS,
            )
        )
