# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the table stands and how it is lit: table top, walls, things in the background, lamps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llavaseg_ros.training.scenes.camera import Camera
from llavaseg_ros.training.scenes.packs import FLOOR_DEPTH, FURNITURE, Pack

Rng = np.random.Generator


@dataclass(frozen=True)
class Table:
    """material: id; half: half size [2], m (of a round one, twice its radius); repeat: textures a metre; yaw: degrees.

    edge: RGB in [0, 1] of its rim.
    """

    material: int
    half: np.ndarray
    repeat: float
    yaw: float
    round: bool = False
    edge: tuple[float, float, float] = (0.30, 0.25, 0.21)

    def holds(self, corners: np.ndarray) -> bool:
        """Whether a footprint, corners [N, 2] in the world, lies on it, 1 cm from the rim."""
        if self.round:
            return bool((np.linalg.norm(corners, axis=1) < self.half[0] - 0.01).all())
        c, s = np.cos(np.radians(self.yaw)), np.sin(np.radians(self.yaw))
        return bool((np.abs(corners @ np.array([[c, -s], [s, c]])) < self.half - 0.01).all())

    def distance(self, point: np.ndarray) -> float:
        """How far a point [2] of the world is from it, m; 0 over it."""
        if self.round:
            return max(float(np.linalg.norm(point) - self.half[0]), 0.0)
        c, s = np.cos(np.radians(self.yaw)), np.sin(np.radians(self.yaw))
        return float(np.linalg.norm((np.abs(point @ np.array([[c, -s], [s, c]])) - self.half).clip(0)))


@dataclass(frozen=True)
class Wall:
    """An upright plane at `distance` (m) from the table's middle, seen from there in direction `angle` (degrees)."""

    material: int
    distance: float
    angle: float


@dataclass(frozen=True)
class Furniture:
    """A block or a post in the background. slot: index into FURNITURE; position, half: [3] m; yaw: degrees."""

    slot: int
    position: np.ndarray
    half: np.ndarray
    yaw: float
    rgb: tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """One lamp. position, direction: world frame; level: diffuse strength; tint: RGB factors."""

    position: np.ndarray
    direction: np.ndarray
    level: float
    tint: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """key throws shadows when `shadows`; fill does not. ambient: RGB. offsets: the key's places [K, 3] about its own.

    A picture is the mean over the offsets, which softens the edges of shadows.
    """

    key: Light
    fill: Light
    ambient: np.ndarray
    shadows: bool
    offsets: np.ndarray


def random_table(pack: Pack, rng: Rng) -> Table:
    """Small or large, sometimes round, of one of the pack's materials."""
    material, kind = pack.table_materials[int(rng.integers(len(pack.table_materials)))]
    half = rng.uniform([0.55, 0.42], [1.0, 0.7]) if rng.uniform() < 0.4 else rng.uniform([1.2, 1.0], [2.0, 1.6])
    is_round = rng.uniform() < 0.12
    if is_round:
        half = np.full(2, rng.uniform(0.5, 0.9))
    repeat = rng.uniform(0.8, 1.6) if kind in ("wood", "marble", "tile") else rng.uniform(1.5, 3.5)
    edge = rng.uniform(0.08, 0.8) * rng.uniform(0.8, 1.0, 3)
    r, g, b = (float(v) for v in edge)
    yaw = rng.uniform(-12, 12) if rng.uniform() < 0.8 else rng.uniform(-45, 45)
    return Table(material, half, float(repeat), float(yaw), is_round, (r, g, b))


def random_lighting(rng: Rng) -> Lighting:
    """Dim to slightly overexposed, from above or from the side, warm or cold, with hard, soft or no shadows."""
    around = rng.uniform(0, 2 * np.pi)
    side = rng.uniform() < 0.25
    height, offset = (rng.uniform(0.9, 1.4), rng.uniform(1.3, 1.9)) if side else (
        rng.uniform(1.7, 2.6), rng.uniform(0.2, 1.3))
    position = np.array([offset * np.cos(around), offset * np.sin(around), height])
    direction = np.array([*rng.uniform(-0.1, 0.1, 2), 0]) - position
    kind = rng.uniform()
    total = rng.uniform(0.64, 0.80) if kind < 0.13 else rng.uniform(1.10, 1.32) if kind > 0.80 else rng.uniform(
        0.80, 1.10)
    ambient = total * rng.uniform(0.34, 0.58)
    key = (total - ambient) * rng.uniform(0.6, 0.85)
    fill = total - ambient - key
    warm = rng.uniform(-1, 1)
    tint = np.array([1 + 0.07 * warm, 1.0, 1 - 0.09 * warm])
    other = np.array([-np.cos(around) * 0.7, -np.sin(around) * 0.7, 1.0])
    # The lamp shines at a slant: what falls on a level table is its cosine part. Upright faces get all of it.
    cosine = max(-direction[2] / np.linalg.norm(direction), 0.72)
    offsets = np.zeros((1, 3))
    shadows = bool(rng.uniform() < 0.88)
    if shadows and rng.uniform() < 0.14:
        turn = rng.uniform(0, 2 * np.pi) + np.arange(3) * 2 * np.pi / 3
        size = rng.uniform(0.04, 0.12)
        offsets = size * np.column_stack([np.cos(turn), np.sin(turn), np.zeros(3)])
    return Lighting(
        Light(position, direction / np.linalg.norm(direction), key / cosine, tint),
        Light(other * 2, -other / np.linalg.norm(other), fill / (other[2] / np.linalg.norm(other)), np.ones(3)),
        ambient * (1 + 0.4 * (tint - 1)),
        shadows,
        offsets,
    )


def random_room(
    pack: Pack, camera: Camera, table: Table, inside: np.ndarray, lamp: np.ndarray, rng: Rng
) -> tuple[tuple[Wall, ...], tuple[Furniture, ...]]:
    """Walls around the points `inside` [N, 3], which they must not cut off, and things that stand about the table.

    lamp: [3], where the key light is; the walls go around it, too.
    """
    inside = np.concatenate([inside, lamp[None] * 1.1])
    walls = []
    horizon = camera.pitch - camera.fovy / 2 < 12
    for k, turn in enumerate((0.0, 90.0, -90.0)):
        if not (horizon and k == 0) and rng.uniform() < (0.4 if k == 0 else 0.75):
            continue
        angle = camera.azimuth + turn + rng.uniform(-12, 12)
        outward = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        nearest = max(float((inside[:, :2] @ outward).max()), 0.4)
        # Now and then the table stands against the wall.
        distance = nearest + (rng.uniform(0.03, 0.4) if k == 0 and rng.uniform() < 0.35 else rng.uniform(0.4, 3.0))
        materials = pack.floor_materials if rng.uniform() < 0.6 else [m for m, _ in pack.table_materials]
        walls.append(Wall(int(rng.choice(materials)), distance, angle))
    return tuple(walls), _furniture(camera, table, lamp, rng)


def _furniture(camera: Camera, table: Table, lamp: np.ndarray, rng: Rng) -> tuple[Furniture, ...]:
    """Things on the floor beyond the table, none of them between it and the lamp at `lamp` [3]."""
    furniture = []
    for slot, kind in enumerate(FURNITURE):
        angle = np.radians(camera.azimuth + rng.uniform(-70, 70))
        outward = np.array([np.cos(angle), np.sin(angle)])
        if rng.uniform() < 0.5 or outward @ lamp[:2] > 0.5 * np.linalg.norm(lamp[:2]):
            continue
        half = rng.uniform([0.08, 0.08, 0.1], [0.5, 0.4, 0.7]) if kind == "box" else np.array(
            [rng.uniform(0.04, 0.2), rng.uniform(0.1, 0.7), 0.0])
        tall, radius = (half[2], np.linalg.norm(half[:2])) if kind == "box" else (half[1], half[0])
        away, gap = 0.5, radius + rng.uniform(0.05, 1.2)
        while table.distance(away * outward) < gap:
            away += 0.1
        position = np.array([*(away * outward), tall - FLOOR_DEPTH])
        tone = rng.uniform(0.08, 0.85) * (1 - rng.uniform(0, 0.6) * rng.uniform(0, 1, 3))
        r, g, b = (float(v) for v in tone)
        furniture.append(Furniture(slot, position, half, float(rng.uniform(0, 180)), (r, g, b)))
    return tuple(furniture)
