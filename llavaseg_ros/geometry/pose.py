# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Centroid, principal axes and extent of points, and rigid transforms of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Extents leave out this share of the points at either end: one noisy point must not make an object longer.
TAIL_PERCENT = 0.5


@dataclass(frozen=True)
class Box:
    """Where points are, and how far they reach.

    center: float64 [3], their mean, m. rotation: float64 [3, 3], a proper rotation; its columns are the principal axes,
    x along the longest extent, z along the shortest. size: float64 [3], extents along these axes, m.
    """

    center: np.ndarray
    rotation: np.ndarray
    size: np.ndarray

    def moved(self, matrix: np.ndarray) -> Box:
        """The same box in another frame. matrix: float64 [4, 4], from this frame to that one."""
        rotation = matrix[:3, :3]
        return Box(rotation @ self.center + matrix[:3, 3], rotation @ self.rotation, self.size)


def principal_box(points: np.ndarray, outline: np.ndarray | None = None) -> Box:
    """The box of points [N, 3], m, N at least 1, seen by a camera at the origin that looks along z.

    outline: points [M, 3] that the extents are taken of, the same points unless given.
    Signs are fixed, so that the pose does not flip between frames: z points to the camera's side, and the largest
    component of x is positive.
    """
    center = points.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(np.cov((points - center).T, bias=True))
    reach = points if outline is None else outline
    local = (reach - center) @ axes
    low, high = np.percentile(local, (TAIL_PERCENT, 100 - TAIL_PERCENT), axis=0)
    order = np.argsort(low - high)  # longest first; by extent, which people measure, and not by variance
    x, z = axes[:, order[0]], axes[:, order[2]]
    x = x * np.sign(x[np.argmax(np.abs(x))])
    z = z * (-1.0 if z @ center > 0 else 1.0)
    return Box(center, np.column_stack([x, np.cross(z, x), z]), (high - low)[order])


def quaternion_of(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w of a rotation [3, 3]; w is not negative.

    >>> quaternion_of(np.eye(3))
    (0.0, 0.0, 0.0, 1.0)
    """
    # The greatest eigenvector of a symmetric matrix (Bar-Itzhack's): no special case near 180 degrees.
    m = rotation
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    q = np.linalg.eigh(k)[1][:, -1]  # reads the lower triangle
    q = q * (-1.0 if q[3] < 0 else 1.0)
    x, y, z, w = (float(v) + 0.0 for v in q)
    return x, y, z, w


def rotation_of(quaternion: Sequence[float]) -> np.ndarray:
    """Rotation [3, 3] of a quaternion x, y, z, w of any length but zero. Raises ValueError for zero, NaN or infinity.

    >>> rotation_of((0, 0, 0, 2)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    q = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(q)
    if not np.isfinite(length) or length < 1e-9:
        raise ValueError(f"orientation: {q.tolist()} is no rotation; expected a quaternion x, y, z, w of length 1")
    x, y, z, w = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def transformed(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """float32 [N, 3]: points [N, 3] through a rigid transform [4, 4]."""
    return (points @ matrix[:3, :3].T.astype(np.float32) + matrix[:3, 3].astype(np.float32)).astype(np.float32)
