# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A calibrated camera: from pixels to rays, and from points to pixels. Optical axes: x right, y down, z forward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

# Of the angle at the image's corners: what is beyond cannot be seen.
_MARGIN = 1.02
# A ray's x / z and y / z beyond this leave no room for the depth, m, that it is multiplied with.
_FARTHEST = 1e30
# A ray that projects further from its pixel than this is none of the pixel's.
_OFF_PX = 0.05
# Five iterations, OpenCV's default, are off by pixels in the corners of a wide lens.
_EXACT = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-9)


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole intrinsics of an image of width x height px, with its lens.

    fx, fy: focal lengths, px. cx, cy: principal point, px; (0, 0) is the middle of the top left pixel. distortion:
    coefficients as OpenCV orders them; empty for a rectified image. fisheye: they are of the equidistant model.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    fisheye: bool = False

    @property
    def matrix(self) -> np.ndarray:
        """float64 [3, 3], K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    def rays(self) -> np.ndarray:
        """float32 [H, W, 2]: x / z and y / z of every pixel's ray, the lens taken out; 0 where `blind`. Not to be
        written to."""
        return _rays(self)[0]

    @property
    def blind(self) -> np.ndarray | None:
        """bool [H, W]: pixels that no ray comes to, None if there are none. The polynomial of a lens with too few
        coefficients turns round inside of the image."""
        return _rays(self)[1]

    @property
    def usable(self) -> bool:
        """Most pixels have a ray: the numbers are those of a camera, and not merely finite ones."""
        blind = self.blind
        return bool(np.abs(self.rays()).max() < _FARTHEST) and (blind is None or 2 * int(blind.sum()) < blind.size)

    def sees(self, points: np.ndarray) -> np.ndarray:
        """bool [...]: points [..., 3] that lie no further off the axis than the image's corners, all of them without
        distortion. Beyond, the polynomial of a lens turns round and would fold them back into the image."""
        if not self.distortion:
            return np.ones(points.shape[:-1], np.bool_)
        reach = _MARGIN * float(np.sqrt((self.rays() ** 2).sum(axis=-1).max()))
        return (points[..., :2] ** 2).sum(axis=-1) <= (reach * points[..., 2]) ** 2

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels float32 [N, 2], x and y, of points [N, 3] in m with z > 0."""
        if not self.distortion:
            scale = points[:, :2] / points[:, 2:]
            return (scale * (self.fx, self.fy) + (self.cx, self.cy)).astype(np.float32)
        if not len(points):
            return np.zeros((0, 2), np.float32)
        still, lens = np.zeros(3), np.array(self.distortion)
        given = points.reshape(-1, 1, 3).astype(np.float64)
        if self.fisheye:
            pixels, _ = cv2.fisheye.projectPoints(given, still, still, self.matrix, lens)
        else:
            pixels, _ = cv2.projectPoints(given, still, still, self.matrix, lens)
        return pixels.reshape(-1, 2).astype(np.float32)


def _undistorted(pixels: Any, camera: Intrinsics) -> Any:
    lens = np.array(camera.distortion)
    if camera.fisheye:
        return cv2.fisheye.undistortPoints(pixels, camera.matrix, lens)
    undistort: Any = getattr(cv2, "undistortPointsIter", None)  # OpenCV 4; OpenCV 5 takes the criteria by this name
    if undistort is not None:
        return undistort(pixels, camera.matrix, lens, None, None, _EXACT)
    return cv2.undistortPoints(pixels, camera.matrix, lens, criteria=_EXACT)


# A camera or two, and what they were before a mode change.
@lru_cache(maxsize=4)
def _rays(camera: Intrinsics) -> tuple[np.ndarray, np.ndarray | None]:
    """`rays` and `blind`."""
    u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
    blind = None
    with np.errstate(all="ignore"):  # of numbers that no camera has; `usable` says so
        if not camera.distortion:
            rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], axis=-1).astype(np.float32)
        else:
            pixels: Any = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
            flat = np.asarray(_undistorted(pixels, camera)).reshape(-1, 2).astype(np.float32)
            off = np.abs(camera.project(np.column_stack([flat, np.ones(len(flat), np.float32)])) - pixels[:, 0])
            lost = ~(off.max(axis=1) < _OFF_PX)  # also where it is no number
            if lost.any():
                flat[lost] = 0
                blind = lost.reshape(camera.height, camera.width)
            rays = flat.reshape(camera.height, camera.width, 2)
    rays.flags.writeable = False
    return rays, blind
