# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reads the demo bag (rosbag2 layout, MCAP) without ROS: raw messages for a player, or decoded RGB-D frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from llavaseg_ros.errors import BadRequest

DEMO_BAG = Path(__file__).resolve().parent / "bag" / "table"

COLOR_TOPIC = "/camera/image/compressed"
DEPTH_TOPIC = "/camera/depth/image/compressedDepth"
COLOR_INFO_TOPIC = "/camera/camera_info"
DEPTH_INFO_TOPIC = "/camera/depth/camera_info"

# compressedDepth puts a header before the PNG: an enum and two floats, which only inverse-depth encodings use.
DEPTH_HEADER_BYTES = 12


@dataclass(frozen=True)
class BagMessage:
    """One message as it is stored. stamp_ns: time of recording. data: CDR bytes, as rclpy.serialization takes."""

    topic: str
    type_name: str
    stamp_ns: int
    data: bytes


@dataclass(frozen=True)
class CameraModel:
    """A pinhole camera without distortion. matrix: float64 [3, 3], pixels."""

    width: int
    height: int
    matrix: np.ndarray


@dataclass(frozen=True)
class Frame:
    """Color and depth of one instant, from one camera.

    stamp_ns: header stamp, the same for both. rgb: uint8 [H, W, 3] RGB. depth: uint16 [H, W], mm, 0 = no reading.
    """

    stamp_ns: int
    frame_id: str
    rgb: np.ndarray
    depth: np.ndarray
    camera: CameraModel


def _open(bag: Path) -> AnyReader:
    bag = Path(bag)
    if not (bag / "metadata.yaml").is_file():
        raise BadRequest(f"{bag} is not a rosbag2 folder; expected a folder with metadata.yaml and an .mcap file")
    return AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_HUMBLE))


def read_messages(bag: Path = DEMO_BAG) -> Iterator[BagMessage]:
    """All messages in order of time. Raises BadRequest when `bag` is no readable rosbag2 folder."""
    try:
        with _open(bag) as reader:
            for connection, stamp, data in reader.messages():
                yield BagMessage(connection.topic, connection.msgtype, stamp, bytes(data))
    except AnyReaderError as error:
        raise BadRequest(f"{bag} cannot be read: {error}") from error


def decode_color(data: np.ndarray | bytes) -> np.ndarray:
    """JPEG or PNG bytes to uint8 [H, W, 3] RGB. Raises BadRequest when they hold no picture."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BadRequest(f"{len(data)} bytes of a color image do not decode; expected JPEG or PNG")
    return image[..., ::-1].copy()


def decode_depth(data: np.ndarray | bytes) -> np.ndarray:
    """The data of a 16UC1 compressedDepth message to uint16 [H, W], millimetres. Raises BadRequest if it is no such."""
    payload = np.frombuffer(data, np.uint8)[DEPTH_HEADER_BYTES:]
    depth = cv2.imdecode(payload, cv2.IMREAD_UNCHANGED) if len(payload) else None
    if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
        raise BadRequest(f"{len(data)} bytes of a depth image do not decode; expected 12 bytes and a 16-bit PNG")
    return depth


def read_frames(bag: Path = DEMO_BAG) -> Iterator[Frame]:
    """RGB-D frames in order of time: color, depth and camera info of one header stamp together.

    An instant at which one of the three is missing is left out. Raises BadRequest when `bag` is no rosbag2 folder.
    """
    wanted = (COLOR_TOPIC, DEPTH_TOPIC, COLOR_INFO_TOPIC)
    waiting: dict[int, dict] = {}
    try:
        with _open(bag) as reader:
            connections = [c for c in reader.connections if c.topic in wanted]
            missing = set(wanted) - {c.topic for c in connections}
            if missing:
                raise BadRequest(f"{bag} has no topic {', '.join(sorted(missing))}; expected {', '.join(wanted)}")
            for connection, _, data in reader.messages(connections):
                message: Any = reader.deserialize(data, connection.msgtype)
                stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
                parts = waiting.setdefault(stamp, {})
                parts[connection.topic] = message
                if len(parts) == len(wanted):
                    info = parts[COLOR_INFO_TOPIC]
                    yield Frame(
                        stamp,
                        parts[COLOR_TOPIC].header.frame_id,
                        decode_color(parts[COLOR_TOPIC].data),
                        decode_depth(parts[DEPTH_TOPIC].data),
                        CameraModel(info.width, info.height, np.asarray(info.k, dtype=np.float64).reshape(3, 3)),
                    )
                    del waiting[stamp]
    except AnyReaderError as error:
        raise BadRequest(f"{bag} cannot be read: {error}") from error
