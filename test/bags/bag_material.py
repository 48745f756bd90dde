# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags for the tests: small ones written here, and what is read back of an annotated one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, String

from llavaseg_ros.msg import Answer, TargetMaskArray
from llavaseg_ros.ros.convert import depth_mm_to_image, rgb_to_image

STORE = get_typestore(Stores.ROS2_HUMBLE)
HEIGHT, WIDTH = 48, 64
PERIOD_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000
TYPES = {
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CompressedImage": CompressedImage,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
    "std_msgs/msg/String": String,
    "llavaseg_ros/msg/TargetMaskArray": TargetMaskArray,
    "llavaseg_ros/msg/Answer": Answer,
}


def header(number: int, frame_id: str = "camera") -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(START_NS + number * PERIOD_NS, 1_000_000_000)
    return made


def picture(number: int, *, red: bool = True) -> np.ndarray:
    """uint8 [H, W, 3] RGB: gray, with a red box that moves to the right."""
    rgb = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    if red:
        x = 4 + number
        rgb[8:20, x : x + 20] = (220, 20, 30)
    return rgb


def color(number: int, *, red: bool = True, encoding: str = "rgb8") -> Image:
    made = rgb_to_image(picture(number, red=red), header(number))
    made.encoding = encoding
    return made


def jpeg(number: int) -> CompressedImage:
    data = cv2.imencode(".png", picture(number)[..., ::-1])[1].tobytes()
    return CompressedImage(header=header(number), format="rgb8; png compressed bgr8", data=data)


def depth(number: int, frame_id: str = "camera", millimetres: int = 800) -> Image:
    return depth_mm_to_image(np.full((HEIGHT, WIDTH), millimetres, np.uint16), header(number, frame_id))


def camera_info(number: int, frame_id: str = "camera") -> CameraInfo:
    made = CameraInfo(header=header(number, frame_id), height=HEIGHT, width=WIDTH, distortion_model="plumb_bob")
    made.k = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
    made.d = [0.0] * 5
    return made


@dataclass(frozen=True)
class Entry:
    """One message for a bag. number: when, in periods."""

    topic: str
    message: Any
    number: int


def type_name(message: Any) -> str:
    package, kind, _ = type(message).__module__.split(".", 2)
    return f"{package}/{kind}/{type(message).__name__}"


def write_bag(path: Path, entries: Sequence[Entry], *, plugin: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """A rosbag2 folder with these messages, in this order."""
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for entry in entries:
            if entry.topic not in connections:
                connections[entry.topic] = writer.add_connection(
                    entry.topic, type_name(entry.message), typestore=STORE
                )
            data = serialize_message(entry.message)
            writer.write(connections[entry.topic], START_NS + entry.number * PERIOD_NS, data)
    return path


def camera_bag(path: Path, frames: int = 12, *, red: Sequence[int] | None = None, **options: Any) -> Path:
    """Color, depth and calibrations of one camera. red: the frames with a red box; None = all of them."""
    entries = []
    for number in range(frames):
        entries += [
            Entry("/cam/color/camera_info", camera_info(number), number),
            Entry("/cam/color/image_raw", color(number, red=red is None or number in red), number),
            Entry("/cam/depth/camera_info", camera_info(number), number),
            Entry("/cam/depth/image_raw", depth(number), number),
        ]
    return write_bag(path, entries, **options)


def storage_file(bag: Path) -> Path:
    """The one .mcap or .db3 of a bag."""
    (found,) = [path for path in bag.iterdir() if path.suffix in (".mcap", ".db3")]
    return found


@dataclass
class Content:
    """What a bag holds: (log time in ns, message) by topic."""

    topics: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)

    def of(self, topic: str) -> list[Any]:
        return [message for _, message in self.topics.get(topic, [])]

    def comparable(self) -> dict[str, list[tuple[int, Any]]]:
        """As it is, but for how long the model took."""
        for answer in self.of("/llavaseg/answer"):
            answer.latency.sec = answer.latency.nanosec = 0
        return self.topics


def read_back(bag: Path) -> Content:
    content = Content()
    with Reader(bag) as reader:
        for connection, log_ns, data in reader.messages():
            message = deserialize_message(bytes(data), TYPES[connection.msgtype])
            content.topics.setdefault(connection.topic, []).append((log_ns, message))
    return content
