# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `demo_player`: a camera made of a recorded bag, or of one photograph.

Publishes `image` (rgb8), `camera_info`, `depth/image` (16UC1, mm) and `depth/camera_info` at `rate_hz`, stamped with
the time of publication, as a camera driver does. A photograph has no depth, and a `camera_info` of zeros, which means
uncalibrated. A photograph of more than 1280 pixels a side is scaled down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from llavaseg_ros.demo.bag_reader import DEMO_BAG, read_frames
from llavaseg_ros.images import read_rgb
from llavaseg_ros.nodes.parameter_table import Spec, describe, usage
from llavaseg_ros.ros.convert import depth_mm_to_image, rgb_to_image
from llavaseg_ros.ros.process import run_node, use_camera_profile

NODE_NAME = "demo_player"

# Reliable, so that it reaches every subscriber, whatever it asks for.
CAMERA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)

# Pixels. Larger photographs are scaled down: 10 of 12 million pixels a second are 360 MB, which no camera sends.
MAX_PHOTOGRAPH_SIDE = 1280

SPECS = (
    Spec("bag", "", "Folder of a bag like the demo's own; empty = the demo's own.", change="never"),
    Spec("image", "", "A photograph to show in place of a bag; empty = play the bag.", change="never"),
    Spec("rate_hz", 10.0, "Frames a second.", (0.1, 120.0), change="never"),
    Spec("loop", True, "Begin again at the end of the bag.", change="never"),
    Spec("frame_id", "camera_color_optical_frame", "Frame of a photograph; a bag has its own.", change="never"),
)


@dataclass(frozen=True)
class Shot:
    """What one tick publishes. rgb: uint8 [H, W, 3] RGB. depth: uint16 [H, W], mm, or None. matrix: float64 [3, 3]."""

    rgb: np.ndarray
    depth: np.ndarray | None
    matrix: np.ndarray
    frame_id: str


def photograph(path: Path, frame_id: str) -> Iterator[Shot]:
    """One photograph, again and again, made smaller to a camera's size. Raises BadRequest when it cannot be read."""
    rgb = read_rgb(path)
    scale = MAX_PHOTOGRAPH_SIDE / max(rgb.shape[:2])
    if scale < 1:
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    shot = Shot(rgb, None, np.zeros((3, 3)), frame_id)
    while True:
        yield shot


def recording(path: Path, loop: bool) -> Iterator[Shot]:
    """The frames of a bag, decoded one at a time. Raises BadRequest when it cannot be read."""
    while True:
        for frame in read_frames(path):
            yield Shot(frame.rgb, frame.depth, frame.camera.matrix, frame.frame_id)
        if not loop:
            return


class DemoPlayer(Node):
    """See the module's text. Raises BadRequest at once when its bag or photograph cannot be read."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        for spec in SPECS:
            self.declare_parameter(spec.name, spec.default, describe(spec))
        values = {spec.name: self.get_parameter(spec.name).value for spec in SPECS}
        if values["image"]:
            source, self._shots = values["image"], photograph(Path(values["image"]), values["frame_id"])
        else:
            source = values["bag"] or str(DEMO_BAG)
            self._shots = recording(Path(source), bool(values["loop"]))
        self._next: Shot | None = next(self._shots)
        self._image = self.create_publisher(Image, "image", CAMERA)
        self._info = self.create_publisher(CameraInfo, "camera_info", CAMERA)
        if self._next.depth is not None:
            self._depth = self.create_publisher(Image, "depth/image", CAMERA)
            self._depth_info = self.create_publisher(CameraInfo, "depth/camera_info", CAMERA)
        self._timer = self.create_timer(1.0 / values["rate_hz"], self._tick)
        self.get_logger().info(f"playing {source} at {values['rate_hz']:g} Hz on {self._image.topic_name}")

    def _tick(self) -> None:
        shot = self._next
        if shot is None:
            self._timer.cancel()
            self.get_logger().info("the bag has ended")
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=shot.frame_id)
        info = camera_info(shot, header)
        self._info.publish(info)
        if shot.depth is not None:
            self._depth_info.publish(info)
            self._depth.publish(depth_mm_to_image(shot.depth, header))
        self._image.publish(rgb_to_image(shot.rgb, header))
        try:
            self._next = next(self._shots, None)
        except Exception as error:
            self._next = None
            self.get_logger().error(f"the bag cannot be read any further: {error}")


def camera_info(shot: Shot, header: Header) -> CameraInfo:
    """Pinhole calibration without distortion; zeros where the camera is unknown (`K[0] == 0`: uncalibrated)."""
    info = CameraInfo(header=header, height=shot.rgb.shape[0], width=shot.rgb.shape[1])
    if shot.matrix[0, 0] > 0:
        info.distortion_model = "plumb_bob"
        info.d = [0.0] * 5
        info.k = [float(value) for value in shot.matrix.ravel()]
        info.r = [float(value) for value in np.eye(3).ravel()]
        info.p = [float(value) for value in np.hstack([shot.matrix, np.zeros((3, 1))]).ravel()]
    return info


def main(args: list[str] | None = None) -> int:
    """Play until SIGINT or SIGTERM. Returns the exit code."""
    use_camera_profile()
    return run_node(DemoPlayer, args, name=NODE_NAME, threads=2, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
