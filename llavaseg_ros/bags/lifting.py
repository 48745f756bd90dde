# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""3-D from a bag: the node's own lifting, fed with the depth and the calibrations that the bag has for a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.bags.frames import MAX_DEPTH_GAP_S, BagFrame, depth_m_of
from llavaseg_ros.bags.reading import Bag
from llavaseg_ros.bags.topics import CameraTopics
from llavaseg_ros.errors import LLaVASegError, NoDepth
from llavaseg_ros.msg import TargetMaskArray
from llavaseg_ros.ros.cdr import RawMessage
from llavaseg_ros.ros.convert import depth_to_image
from llavaseg_ros.ros.depth import DepthStore
from llavaseg_ros.ros.freshness import FrameStore
from llavaseg_ros.ros.lifting import Geometry, GeometryLimits, Lifter
from llavaseg_ros.ros.transforms import rigid
from llavaseg_ros.types import Segment

TF_TYPE = "tf2_msgs/msg/TFMessage"
TF_STATIC = "/tf_static"


class StaticTransforms:
    """The transforms of a bag's /tf_static, as `ros.transforms.Transforms` gives them. Moving ones are not read."""

    def __init__(self, bag: Bag) -> None:
        self._parents: dict[str, tuple[str, np.ndarray]] = {}
        topic = bag.topics.get(TF_STATIC)
        if topic is None or topic.type_name != TF_TYPE:
            return
        store = get_typestore(Stores.ROS2_HUMBLE)
        for message in bag.messages({TF_STATIC}):
            found: Any = store.deserialize_cdr(message.data, TF_TYPE)
            for one in found.transforms:
                move, turn = one.transform.translation, one.transform.rotation
                matrix = rigid((move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w))
                self._parents[one.child_frame_id.lstrip("/")] = (one.header.frame_id.lstrip("/"), matrix)

    def listen(self) -> None:
        """There is nothing to listen to."""

    def matrix(self, target: str, source: str, stamp_ns: int, why: str) -> np.ndarray:
        """float64 [4, 4]: from the frame `source` to `target`. Raises NoDepth when /tf_static does not tell."""
        to_root, root = self._up(source.lstrip("/"))
        other, other_root = self._up(target.lstrip("/"))
        if root != other_root:
            raise NoDepth(f"{why}: {TF_STATIC} of the bag has no transform from {source!r} to {target!r}")
        return np.linalg.inv(other) @ to_root

    def _up(self, frame: str) -> tuple[np.ndarray, str]:
        matrix, seen = np.eye(4), {frame}
        while frame in self._parents:
            frame, step = self._parents[frame]
            if frame in seen:
                raise NoDepth(f"{TF_STATIC} of the bag goes round in a circle at {frame!r}")
            seen.add(frame)
            matrix = step @ matrix
        return matrix, frame


class BagLifter:
    """Fills in the 3-D fields of masks. Where the bag has depth and calibrations, a target without them is an error."""

    def __init__(self, bag: Bag, topics: CameraTopics) -> None:
        self._depth = DepthStore(1)
        self._info, self._depth_info = FrameStore(1, "camera_info"), FrameStore(1, "depth camera_info")
        there = bool(topics.depth and topics.camera_info and topics.depth_camera_info)
        limits = GeometryLimits(enabled=there, required=there, slop_s=MAX_DEPTH_GAP_S)
        self._lifter = Lifter(
            self._depth, self._info, self._depth_info, StaticTransforms(bag), limits=lambda: limits
        )

    def take(self, frame: BagFrame) -> None:
        """The frame whose masks come next."""
        for store, raw in ((self._info, frame.camera_info), (self._depth_info, frame.depth_camera_info)):
            store.clear()
            if raw is not None:
                store.put(raw, 0, 0)
        self._depth.clear()
        if frame.depth is not None:
            self._depth.put(DepthMessage(frame.depth.data, frame.depth.type), frame.depth_stamp_ns, 0)

    def lift(
        self, masks: TargetMaskArray, segments: Sequence[Segment], rgb: np.ndarray, *, scene: bool = False
    ) -> Geometry:
        """As `ros.lifting.Lifter.lift`."""
        # Nothing is waited for: what the bag has for this frame is here.
        return self._lifter.lift(masks, segments, rgb, scene=scene, should_cancel=lambda: True)


class DepthMessage(RawMessage):
    """A depth image that may be compressed; it is decoded when a mask is there to be lifted."""

    def fields(self) -> Any:
        """As a raw depth image. Raises NoDepth when it does not decode."""
        if self.type is Image:
            return super().fields()
        message: Any = self.message()
        try:
            depth_m = depth_m_of(message)
        except LLaVASegError as error:
            raise NoDepth(str(error)) from error
        return depth_to_image(depth_m, Header(stamp=message.header.stamp, frame_id=message.header.frame_id))
