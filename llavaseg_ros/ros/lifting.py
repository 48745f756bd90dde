# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks to 3-D in the node: the depth image of the same moment, both calibrations, transforms, and what goes out.

Runs in the worker's thread. Knows messages, but neither a node nor a publisher.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from llavaseg_ros.errors import LLaVASegError, NoDepth
from llavaseg_ros.geometry import LiftedScene, LiftedTarget, LiftSettings, lift_masks, transformed
from llavaseg_ros.msg import TargetMask, TargetMaskArray
from llavaseg_ros.ros import clouds
from llavaseg_ros.ros.cdr import RawMessage
from llavaseg_ros.ros.convert import to_depth_m
from llavaseg_ros.ros.depth import DepthStore, intrinsics
from llavaseg_ros.ros.freshness import FrameStore
from llavaseg_ros.ros.messages import stamp_ns
from llavaseg_ros.types import Segment

log = logging.getLogger(__name__)


class FindsTransforms(Protocol):
    """As `transforms.Transforms`."""

    def listen(self) -> None:
        """See there."""

    def matrix(self, target: str, source: str, stamp_ns: int, why: str) -> np.ndarray:
        """See there."""


@dataclass(frozen=True)
class GeometryLimits:
    """The parameters that lifting obeys, as they were when it began. rectified: the images are, see `intrinsics`."""

    enabled: bool = True
    required: bool = False
    target_frame: str = ""
    slop_s: float = 0.05
    rectified: bool = False
    settings: LiftSettings = field(default_factory=LiftSettings)


@dataclass(frozen=True)
class Geometry:
    """What goes out beside the masks of one image, with its stamp. problem: why the best target is not lifted."""

    target_points: PointCloud2
    scene_points: PointCloud2 | None
    target_pose: PoseStamped
    problem: NoDepth | None = None


def no_geometry(header: Header, problem: NoDepth | None = None) -> Geometry:
    """Empty clouds and a pose of NaN: they take the place of the last target's."""
    empty = clouds.no_cloud(header)
    return Geometry(empty, empty, clouds.no_pose(header), problem)


class Lifter:
    """Knows where depth and calibrations come from. `lift` gives every target its place."""

    def __init__(
        self,
        depth: DepthStore,
        camera_info: FrameStore,
        depth_camera_info: FrameStore,
        transforms: FindsTransforms,
        *,
        limits: Callable[[], GeometryLimits],
    ) -> None:
        self._depth, self._info, self._depth_info = depth, camera_info, depth_camera_info
        self._transforms, self._limits = transforms, limits

    @property
    def has_depth(self) -> bool:
        """The camera has sent depth, and it is not switched off."""
        return self._limits().enabled and self._depth.count > 0

    def prepare(self) -> None:
        """Have tf2 listened to before the first command, where it will be needed. Now and then; costs microseconds."""
        limits = self._limits()
        if limits.enabled and (limits.target_frame or self._frames_differ()):
            self._transforms.listen()

    def _frames_differ(self) -> bool:
        newest, info = self._depth.newest, self._info.newest
        if newest is None or info is None:
            return False
        try:
            frames = [_read(frame.msg).header.frame_id for frame in (newest, info)]
        except NoDepth:
            return False
        return frames[0] != frames[1]

    def expect(self, header: Header) -> None:
        """An image with this header is being worked on: its depth image will be wanted."""
        if self._limits().enabled:
            self._depth.expect(stamp_ns(header.stamp))

    def lift(
        self,
        masks: TargetMaskArray,
        segments: Sequence[Segment],
        rgb: np.ndarray,
        *,
        wanted: bool = False,
        own_image: bool = False,
        scene: bool = True,
        should_cancel: Callable[[], bool] = lambda: False,
    ) -> Geometry:
        """Fill in the 3-D fields of the targets in `masks`, whose pixels are `segments`, in the same order.

        wanted: whoever sent the command asks for 3-D. own_image: the image came with the command, not from the camera.
        scene: make scene_points, too. A problem is reported in the result if 3-D is wanted, required by parameter, or
        if the camera has sent depth before; a camera without depth is none.
        """
        limits = self._limits()
        if not segments:
            return no_geometry(masks.header)
        try:
            if not limits.enabled:
                raise NoDepth("depth is switched off (depth_enabled)")
            if own_image:
                raise NoDepth("there is no depth for an image that came with the command")
            if not (wanted or limits.required or self._depth.count):
                return no_geometry(masks.header)  # a camera without depth: nothing to wait for
            frame, lifted = self._lift(masks.header, segments, rgb, limits, scene, should_cancel)
        except Exception as raised:
            problem = raised if isinstance(raised, NoDepth) else NoDepth(f"lifting failed: {raised}")
            if problem is not raised:
                log.exception("the masks of a frame could not be lifted")
            expected = wanted or (not own_image and (self.has_depth or (limits.enabled and limits.required)))
            return no_geometry(masks.header, problem if expected else None)
        best = lifted.targets[0]
        for message, target in zip(masks.targets, lifted.targets, strict=True):
            _fill(message, target, frame)
        return Geometry(
            clouds.cloud(best.points, best.colors, frame),
            clouds.cloud(lifted.points, lifted.colors, frame) if scene else None,
            clouds.no_pose(frame) if best.box is None else clouds.box_pose(best.box, frame),
            NoDepth(f"{masks.targets[0].label or 'the mask'}: {best.problem}") if best.box is None else None,
        )

    def _lift(
        self,
        header: Header,
        segments: Sequence[Segment],
        rgb: np.ndarray,
        limits: GeometryLimits,
        scene: bool,
        should_cancel: Callable[[], bool],
    ) -> tuple[Header, LiftedScene]:
        stamp = stamp_ns(header.stamp)
        if not stamp:
            raise NoDepth("the image has no stamp, so no depth image can be matched to it")
        frame = self._depth.wait_nearest(stamp, limits.slop_s, should_cancel, time.monotonic)
        depth_msg = _read(frame.msg)
        try:
            depth_m = to_depth_m(depth_msg)
        except LLaVASegError as error:
            raise NoDepth(str(error)) from error
        color = intrinsics(
            self._calibration(self._info, "camera_info"), "camera_info", rgb.shape[:2], rectified=limits.rectified
        )
        lens = intrinsics(
            self._calibration(self._depth_info, "depth/camera_info"),
            "depth/camera_info",
            depth_m.shape,
            rectified=limits.rectified,
        )
        own, other = header.frame_id, depth_msg.header.frame_id
        matrix = None
        if other and other != own:
            matrix = self._transforms.matrix(own, other, stamp, "depth image in another frame than the image")
        lifted = lift_masks(
            [segment.mask for segment in segments],
            rgb,
            depth_m,
            color,
            lens,
            depth_to_color=matrix,
            settings=limits.settings,
            scene=scene,
        )
        if not limits.target_frame or limits.target_frame == own:
            return header, lifted
        to_target = self._transforms.matrix(limits.target_frame, own, stamp, "geometry.target_frame")
        return Header(stamp=header.stamp, frame_id=limits.target_frame), _moved(lifted, to_target)

    @staticmethod
    def _calibration(store: FrameStore, topic: str) -> Any:
        frame = store.newest
        if frame is None:
            raise NoDepth(f"no {topic} has come: points need the camera's calibration")
        return _read(frame.msg)


def _read(msg: Any) -> Any:
    """A message that may still be serialized. Raises NoDepth when it is broken."""
    try:
        return msg.fields() if isinstance(msg, RawMessage) else msg
    except LLaVASegError as error:
        raise NoDepth(str(error)) from error


def _moved(scene: LiftedScene, matrix: np.ndarray) -> LiftedScene:
    targets = tuple(
        LiftedTarget(
            transformed(target.points, matrix),
            target.colors,
            target.coverage,
            None if target.box is None else target.box.moved(matrix),
            target.problem,
        )
        for target in scene.targets
    )
    return LiftedScene(targets, transformed(scene.points, matrix), scene.colors)


def _fill(message: TargetMask, target: LiftedTarget, frame: Header) -> None:
    message.depth_coverage = target.coverage
    message.centroid.header = frame
    if target.box is not None:
        message.has_geometry = True
        message.centroid = clouds.box_pose(target.box, frame)
        message.size = clouds.box_size(target.box)
