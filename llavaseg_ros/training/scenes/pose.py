# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How an object rests: standing, lying, upside down, or on top of another one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from llavaseg_ros.training.scenes.meshes import rotation
from llavaseg_ros.training.scenes.packs import Item, surface_points

LIFT = 0.001  # m: what rests on something floats this much above it, so that no two surfaces coincide
CELL = 0.004  # m: the grid on which heights of two objects are compared
Rng = np.random.Generator

# Axis and angle of the turn, and the turn about the own upright axis before it: two numbers are a range, more a choice.
ANY = (0.0, 360.0)
TURNS: dict[str, tuple[str, float, tuple[float, ...]]] = {
    "side": ("x", 90.0, ANY),
    "handle up": ("x", 90.0, (8.0, 172.0)),  # the handle is at +x: above the table, not under it
    "face": ("x", 90.0, (0.0, 90.0, 180.0, 270.0)),
    "flat": ("x", 90.0, (0.0, 0.0, 180.0, 180.0)),
    "over": ("x", 180.0, (0.0, 90.0, 180.0)),
    "head down": ("y", 90.0, (0.0, 0.0, 0.0)),
    "head up": ("y", -90.0, (0.0, 0.0, 0.0)),
}

# Kinds that also rest in other ways than they are built: how often, and in which ways.
POSES: dict[str, tuple[float, tuple[str, ...]]] = {
    "bottle": (0.32, ("side",)),
    "can": (0.20, ("side",)),
    "mug": (0.25, ("handle up", "handle up", "over")),
    "cup": (0.28, ("side", "side", "over")),
    "wine glass": (0.28, ("side", "side", "over")),
    "bowl": (0.15, ("over",)),
    "box": (0.20, ("face",)),
    "milk carton": (0.25, ("face",)),
    "cereal box": (0.30, ("flat", "flat", "face")),
    "book": (0.22, ("face",)),
    "candle": (0.25, ("side",)),
    "flashlight": (0.25, ("head down", "head up")),
    "tape roll": (0.15, ("side",)),
    "toy car": (0.12, ("face", "over")),
    "vase": (0.20, ("side",)),
    "funnel": (0.30, ("side",)),
    "hourglass": (0.25, ("side",)),
}


@dataclass(frozen=True)
class Rest:
    """A pose: turned by `rotation` [3, 3], then moved by `offset` [3] (m), so that it is centred and on z = 0.

    half: half extents [3] of the turned shape, m.
    """

    rotation: np.ndarray
    offset: np.ndarray
    half: np.ndarray


@dataclass(frozen=True)
class Placed:
    """An object in the scene. xy: metres; yaw: degrees; colors: RGB in [0, 1] by role.

    rest: how it lies, None as it was built. z: height of what it stands on, 0 for the table. under: what that is.
    """

    item: Item
    color: str
    colors: dict[str, tuple[float, float, float]]
    xy: np.ndarray
    yaw: float
    rest: Rest | None = None
    z: float = 0.0
    under: Placed | None = field(default=None, repr=False)

    @property
    def half(self) -> np.ndarray:
        """Half extents [3] in the frame that turns with yaw, m."""
        return self.item.half if self.rest is None else self.rest.half

    @property
    def height(self) -> float:
        """From lowest to highest point, m."""
        return float(2 * self.half[2])

    @property
    def rotation(self) -> np.ndarray:
        """Rotation matrix [3, 3] from the object's frame to the world's."""
        turn = rotation("z", self.yaw)
        return turn if self.rest is None else turn @ self.rest.rotation

    @property
    def position(self) -> np.ndarray:
        """Where the origin of the object's frame is in the world, [3] m."""
        base = np.array([*self.xy, self.z + LIFT])
        return base if self.rest is None else base + rotation("z", self.yaw) @ self.rest.offset

    def world(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] of the object's frame in the world frame."""
        return points @ self.rotation.T + self.position


def _level(points: np.ndarray, mass: np.ndarray) -> float:
    """Turn about x, degrees, that brings the lower edge below the centre of mass down flat. points, mass: (y, z)."""
    chain: list[tuple[float, float]] = []
    # Plain floats: for a few dozen points they are ten times as fast as arrays.
    for y, z in sorted(map(tuple, points.tolist())):
        while len(chain) > 1:
            (y0, z0), (y1, z1) = chain[-2:]
            if (y1 - y0) * (z - z0) - (z1 - z0) * (y - y0) > 1e-12:
                break
            chain.pop()
        chain.append((y, z))
    for (y0, z0), (y1, z1) in zip(chain[:-1], chain[1:], strict=True):
        if y0 <= mass[0] <= y1:
            return float(-np.degrees(np.arctan2(z1 - z0, y1 - y0)))
    return 0.0


def settled(item: Item, turn: np.ndarray) -> Rest:
    """The pose of `item` turned by `turn` [3, 3] and let go: it tips about x until it rests on an edge or a face."""
    vertices = item.shape.vertices
    for _ in range(2):  # a tip may bring another edge below the centre of mass, once
        # Of points about as far to one side only the lowest can touch: few are left for the chain.
        points = vertices @ turn.T
        order = points[np.argsort(points[:, 2])]
        _, first = np.unique(np.round(order[:, 1], 4), return_index=True)
        turn = rotation("x", _level(order[first, 1:], (item.surface @ turn.T).mean(0)[1:])) @ turn
    points = vertices @ turn.T
    low, high = points.min(0), points.max(0)
    return Rest(turn, np.array([*(-(low + high)[:2] / 2), -low[2]]), (high - low) / 2)


def random_rest(item: Item, rng: Rng) -> Rest | None:
    """One of the other ways in which this kind of thing rests, or, mostly, None: as it was built."""
    chance, ways = POSES.get(item.category, (0.0, ()))
    if rng.uniform() >= chance or any(part.role == "flame" for part in item.shape.parts):
        return None  # nobody lays a burning candle down
    axis, degrees, spins = TURNS[str(rng.choice(ways))]
    spin = rng.uniform(*spins) if len(spins) == 2 else float(rng.choice(spins))
    return settled(item, rotation(axis, degrees) @ rotation("z", spin))


def rest_height(lower: Placed, upper: Placed) -> float | None:
    """Height z at which `upper`, let down at its place, comes to touch `lower`; None when it would miss it.

    Compares the top of one and the bottom of the other cell by cell of CELL metres.
    """
    rng = np.random.default_rng(0)
    a = lower.world(surface_points(lower.item.shape, rng, 12000))
    b = upper.world(surface_points(upper.item.shape, rng, 6000))
    b[:, 2] -= upper.z + LIFT
    origin = b[:, :2].min(0)
    size = np.floor(np.ptp(b[:, :2], axis=0) / CELL).astype(int) + 1
    cell_a, cell_b = (np.floor((p[:, :2] - origin) / CELL).astype(int) for p in (a, b))
    inside = ((cell_a >= 0) & (cell_a < size)).all(1)
    top, bottom = np.full(tuple(size), -np.inf), np.full(tuple(size), np.inf)
    np.maximum.at(top, tuple(cell_a[inside].T), a[inside, 2])
    np.minimum.at(bottom, tuple(cell_b.T), b[:, 2])
    height = float(np.max(top - bottom))
    return height if np.isfinite(height) else None
