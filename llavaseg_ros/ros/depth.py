# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Depth images and calibrations as they come, and which of them belong to a color image. Free of rclpy; thread-safe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llavaseg_ros.errors import NoDepth
from llavaseg_ros.geometry import Intrinsics
from llavaseg_ros.ros.freshness import NS, Frame, FrameStore, stamp_text

# What camera_info calls a lens, and how many coefficients OpenCV takes for it. Drivers give zeros beyond.
_LENSES = {"": (0,), "plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


class DepthStore(FrameStore):
    """A ring of depth images that also keeps the one of a stamp which is expected to be asked for.

    A language model may think for seconds about a color image; by then its depth image has long left the ring.
    """

    def __init__(self, size: int = 10) -> None:
        super().__init__(size, "depth image")
        self._expected_ns = 0
        self._kept: Frame | None = None

    def expect(self, stamp_ns: int) -> None:
        """Keep the depth image nearest to this stamp, whether it is here already or is yet to come."""
        with self._changed:
            self._expected_ns = stamp_ns
            self._kept = min(self._ring, key=self._distance, default=None)

    def put(self, msg: Any, stamp_ns: int, now_ns: int) -> Frame:
        """As `FrameStore.put`."""
        frame = super().put(msg, stamp_ns, now_ns)
        with self._changed:
            if self._expected_ns and (self._kept is None or self._distance(frame) < self._distance(self._kept)):
                self._kept = frame
        return frame

    def clear(self) -> None:
        """Forget every frame."""
        super().clear()
        with self._changed:
            self._expected_ns, self._kept = 0, None

    def nearest(self, stamp_ns: int, slop_s: float) -> Frame:
        """The depth image nearest to a color image's stamp. Raises NoDepth when it is more than slop_s away."""
        with self._changed:
            frames = [*self._ring, *([self._kept] if self._kept is not None else [])]
        if not frames:
            raise NoDepth("no depth image has come: is depth/image connected, and does the camera publish depth?")
        frame = min(frames, key=lambda frame: abs(frame.stamp_ns - stamp_ns))
        apart_s = abs(frame.stamp_ns - stamp_ns) / NS
        if apart_s > slop_s:
            raise NoDepth(
                f"no depth image belongs to the image with stamp {stamp_text(stamp_ns)}: the nearest one is "
                f"{apart_s:.3f} s away; sync.depth_slop_s allows {slop_s:g} s"
            )
        return frame

    def wait_nearest(
        self, stamp_ns: int, slop_s: float, should_cancel: Callable[[], bool], monotonic: Callable[[], float]
    ) -> Frame:
        """As `nearest`, but for as long as slop_s a frame of an earlier moment is not taken: the right one may be on
        its way. For the worker's thread."""

        def settled() -> Frame:
            frame = self.nearest(stamp_ns, slop_s)
            newest = self.newest
            if frame.stamp_ns != stamp_ns and newest is not None and newest.stamp_ns < stamp_ns:
                raise NoDepth("the depth image of this moment may still come")
            return frame

        try:
            return self.wait_for(settled, slop_s, should_cancel, monotonic)
        except NoDepth:
            return self.nearest(stamp_ns, slop_s)

    def _distance(self, frame: Frame) -> int:
        return abs(frame.stamp_ns - self._expected_ns)


def intrinsics(info: Any, topic: str, size: tuple[int, int], *, rectified: bool) -> Intrinsics:
    """A `sensor_msgs/CameraInfo` for the images that it comes with. size: their height and width, px.

    rectified: the images have been, so that P counts and the lens is out of them; else K and D. Binning and a region of
    interest are taken into account. Raises NoDepth when it is all zero (uncalibrated), when its numbers give pixels no
    ray, or for images of another size.
    """
    fx, cx, fy, cy = (float(info.p[i]) for i in (0, 2, 5, 6)) if rectified else (float(info.k[i]) for i in (0, 2, 4, 5))
    lens = () if rectified else tuple(float(value) for value in info.d)
    if not all(math.isfinite(value) for value in (fx, cx, fy, cy, *lens)):
        raise NoDepth(f"{topic}: {'P' if rectified else 'K or D'} holds a number that is not finite")
    if not (fx > 0 and fy > 0):
        raise NoDepth(f"{topic}: focal lengths {fx:g} and {fy:g} px; the camera is not calibrated")
    columns, rows = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    region = info.roi
    width = int(region.width or info.width) // columns
    height = int(region.height or info.height) // rows
    if (height, width) != size and (height or width):  # some drivers leave the size out
        raise NoDepth(f"{topic}: is for images of {width}x{height} px; they have {size[1]}x{size[0]}")
    model = info.distortion_model if any(lens) else ""
    fits = [count for count in _LENSES.get(model, ()) if count <= len(lens)]
    if not fits or any(lens[fits[-1] :]):
        known = ", ".join(filter(None, _LENSES))
        raise NoDepth(f"{topic}: distortion model {model!r} with {len(lens)} coefficients; expected one of {known}")
    camera = Intrinsics(
        size[1],
        size[0],
        fx / columns,
        fy / rows,
        (cx - region.x_offset) / columns,
        (cy - region.y_offset) / rows,
        lens[: fits[-1]],
        model == "equidistant",
    )
    if not camera.usable:
        raise NoDepth(f"{topic}: {'P' if rectified else 'K and D'} give pixels no ray; the camera is not calibrated")
    return camera
