# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The table under a target: the plane that most of the points around it lie on. Which way is up follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRIES = 150
SAMPLE = 4000
NEAR = 0.006  # m: points so close to a plane lie on it
SHARE = 0.2  # of the points around the target must lie on the table, or it is none


@dataclass(frozen=True)
class Plane:
    """Points p with normal @ p + offset = 0. normal: unit length, up; offset: m."""

    normal: np.ndarray
    offset: float

    def height(self, points: np.ndarray) -> np.ndarray:
        """Heights [N] over the plane of points [N, 3], m."""
        return points @ self.normal + self.offset


def fit_table(points: np.ndarray, above: np.ndarray, rng: np.random.Generator | None = None) -> Plane | None:
    """The plane of most points (RANSAC, then least squares), its normal to the side of `above`.

    points: float [N, 3], m, without the target. above: [M, 3], what stands on the table. None when no plane holds
    SHARE of the points.
    """
    rng = rng or np.random.default_rng(0)
    if len(points) < 50:
        return None
    sample = points[rng.choice(len(points), min(SAMPLE, len(points)), replace=False)].astype(np.float64)
    corners = sample[rng.integers(len(sample), size=(TRIES, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    good = length > 1e-6  # three points on one line span no plane
    normals, first = normals[good] / length[good, None], corners[good, 0]
    distance = np.abs(sample @ normals.T - (first * normals).sum(1))
    if not normals.size:
        return None
    on = distance[:, np.argmax((distance < NEAR).sum(0))] < NEAR
    for _ in range(2):
        if on.sum() < max(3, SHARE * len(sample)):
            return None
        middle = sample[on].mean(0)
        normal = np.linalg.svd(sample[on] - middle, full_matrices=False)[2][2]
        on = np.abs((sample - middle) @ normal) < NEAR
    if np.median((above - middle) @ normal) < 0:
        normal = -normal
    return Plane(normal, float(-normal @ middle))
