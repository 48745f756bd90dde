# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The camera of a scene: a pinhole that looks at the table, and how it is drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 640, 480
LOWEST, NEAREST = 0.30, 0.60  # m: height over the table and distance; nearer, one object hides all the others


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; the image centre is the principal point.

    rotation: [3, 3], columns are the optical axes (x right, y down, z forward) in the world frame.
    position: metres, world frame (the table top is z = 0). focal: pixels, both ways.
    """

    position: np.ndarray
    rotation: np.ndarray
    focal: float
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def fovy(self) -> float:
        """Vertical field of view, degrees."""
        return float(2 * np.degrees(np.arctan(self.height / 2 / self.focal)))

    @property
    def pitch(self) -> float:
        """How far the camera looks down, degrees: 0 is level, 90 straight down."""
        return float(np.degrees(np.arcsin(np.clip(-self.rotation[2, 2], -1, 1))))

    @property
    def azimuth(self) -> float:
        """Direction of view over the table, degrees from the world's x axis."""
        return float(np.degrees(np.arctan2(self.rotation[1, 2], self.rotation[0, 2])))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [N, 3] to pixels [N, 2] and depths [N] along the optical axis (m; not positive: behind)."""
        local = (points - self.position) @ self.rotation
        z = local[:, 2]
        safe = np.where(z > 1e-6, z, np.nan)[:, None]
        return self.focal * local[:, :2] / safe + [self.width / 2, self.height / 2], z

    def on_plane(self, u: float, v: float, z: float) -> np.ndarray | None:
        """World point [3] where the ray of pixel (u, v) meets the level plane z; None when it does not."""
        ray = self.rotation @ np.array([(u - self.width / 2) / self.focal, (v - self.height / 2) / self.focal, 1.0])
        if ray[2] >= -1e-6:
            return None
        return self.position + ray * ((z - self.position[2]) / ray[2])


def look_at(target: np.ndarray, distance: float, pitch: float, azimuth: float, roll: float, focal: float,
            width: int = WIDTH, height: int = HEIGHT) -> Camera:
    """Camera at `distance` (m) from `target`, looking down by `pitch` along `azimuth`, tilted by `roll` (degrees)."""
    p, a, r = np.radians([pitch, azimuth, roll])
    forward = np.array([np.cos(p) * np.cos(a), np.cos(p) * np.sin(a), -np.sin(p)])
    right = np.array([np.sin(a), -np.cos(a), 0.0])
    down = np.cross(forward, right)
    x = np.cos(r) * right + np.sin(r) * down
    rotation = np.column_stack([x, np.cross(forward, x), forward])
    return Camera(target - distance * forward, rotation, focal, width, height)


def random_camera(rng: np.random.Generator) -> Camera:
    """Mostly a slanting view; also low ones, over which the room shows, and some from nearly overhead."""
    while True:
        fovy = rng.uniform(34, 60)
        focal = HEIGHT / 2 / np.tan(np.radians(fovy / 2))
        kind = rng.uniform()
        pitch = rng.uniform(22, 34) if kind < 0.18 else rng.uniform(66, 86) if kind < 0.34 else rng.uniform(33, 66)
        scale = np.exp(rng.uniform(np.log(500), np.log(980)))  # pixels a metre at the centre of the view
        distance = focal / scale
        if distance < NEAREST or distance * np.sin(np.radians(pitch)) < LOWEST:
            continue
        target = np.array([*rng.uniform(-0.08, 0.08, 2), 0.02])
        roll = rng.normal(0, 1.5) if rng.uniform() < 0.85 else rng.normal(0, 6)
        return look_at(target, distance, pitch, 90 + rng.uniform(-40, 40), roll, focal)
