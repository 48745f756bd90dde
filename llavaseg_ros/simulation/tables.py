# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Random tables for picking: four to six things a parallel gripper can take, apart from each other, under a camera."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from llavaseg_ros.training.scenes.camera import Camera, look_at
from llavaseg_ros.training.scenes.catalog import PACK_RANGES, allowed_colors
from llavaseg_ros.training.scenes.layout import footprints_apart, rectangle
from llavaseg_ros.training.scenes.packs import Item, Pack, make_pack
from llavaseg_ros.training.scenes.parts import role_colors
from llavaseg_ros.training.scenes.pose import Placed, random_rest
from llavaseg_ros.training.scenes.room import random_lighting, random_room, random_table
from llavaseg_ros.training.scenes.scene import Scene

# kg, by kind. Left out: bowls, plates, boxes and oranges are wider than the gripper opens; scissors, cutlery, phones,
# wrenches and books lie so flat that fingers over a table get no hold of them.
MASSES = {
    "mug": 0.25,
    "cup": 0.12,
    "bottle": 0.35,
    "can": 0.30,
    "wine glass": 0.18,
    "milk carton": 0.45,
    "cereal box": 0.30,
    "remote": 0.12,
    "sponge": 0.03,
    "hammer": 0.45,
    "screwdriver": 0.12,
    "apple": 0.17,
    "banana": 0.15,
    "lemon": 0.10,
    "pear": 0.17,
    "carrot": 0.10,
    "ball": 0.06,
    "toy car": 0.09,
    "candle": 0.15,
    "flashlight": 0.18,
    "tape roll": 0.08,
}
KINDS = tuple(MASSES)
LEAST, MOST = 4, 6
GAP = 0.035  # m between two things: room for a finger
WIDEST = 0.074  # m: leaves a finger 5 mm on each side
FOCAL = 615.0  # px: about that of common RGB-D cameras at 640 x 480
REACH = np.array([0.27, 0.20])  # m: half size of the area in which things stand
MARGIN = 12  # px: every thing is wholly in the picture
TABLES_PER_PACK = 10
Rng = np.random.Generator


@dataclass(frozen=True)
class Table:
    """A table before anything has moved. number: tables of one split and number are the same on every machine."""

    split: str
    number: int
    scene: Scene

    @property
    def names(self) -> tuple[str, ...]:
        """ "red mug" and so on: the things by their places, no two alike."""
        return tuple(f"{placed.color} {placed.item.category}" for placed in self.scene.objects)


def narrowest(points: np.ndarray) -> float:
    """The smallest width of points [N, 2] or [N, 3] seen from above, m."""
    angles = np.radians(np.arange(0, 180, 5))
    along = points[:, :2] @ np.array([np.cos(angles), np.sin(angles)])
    return float(np.ptp(along, axis=0).min())


def pack_of(split: str, number: int) -> Pack:
    """The pack that a table's things come from; several tables in a row share one."""
    low, high = PACK_RANGES[split]
    rng = np.random.default_rng([11, low, number // TABLES_PER_PACK])
    names = [*KINDS, *(str(k) for k in rng.choice(KINDS, 9, replace=False) for _ in range(2))]
    return make_pack(low + (number // TABLES_PER_PACK) % (high - low), 11, names)


def make_table(split: str, number: int, pack: Pack | None = None) -> Table:
    """Table `number` of a split: "test", "val" or "train", whose meshes differ. pack: that of `pack_of`, if at hand."""
    if split not in PACK_RANGES or number < 0:
        raise ValueError(f"table {split!r} {number}: expected one of {', '.join(PACK_RANGES)} and a number from 0")
    pack = pack_of(split, number) if pack is None else pack
    rng = np.random.default_rng([12, PACK_RANGES[split][0], number])
    while True:
        scene = _draw(pack, number, rng, training=split == "train")
        if scene is not None:
            return Table(split, number, scene)


def random_view(rng: Rng) -> Camera:
    """A camera on a stand or a wrist, looking down at the middle of the table."""
    target = np.array([*rng.uniform(-0.03, 0.03, 2), 0.02])
    return look_at(
        target, rng.uniform(0.72, 0.92), rng.uniform(42, 65), 90 + rng.uniform(-40, 40), rng.normal(0, 1.5), FOCAL
    )


def _choose(pack: Pack, rng: Rng, *, training: bool) -> list[tuple[Item, str]]:
    """Things and color words, no two alike; half of the tables have two or three of a kind."""
    count = int(rng.integers(LEAST, MOST + 1))
    order = [int(i) for i in rng.permutation(len(pack.items))]
    by_kind: dict[str, list[int]] = {}
    for i in order:
        by_kind.setdefault(pack.items[i].category, []).append(i)
    families = [kind for kind, members in by_kind.items() if len(members) > 1]
    if rng.uniform() < 0.5:
        family = by_kind[str(rng.choice(families))][: int(rng.integers(2, 4))]
        order = [*family, *(i for i in order if i not in family)]
    chosen: list[tuple[Item, str]] = []
    for i in order:
        item = pack.items[i]
        colors = [
            c
            for c in allowed_colors(item.category, training=training)
            if all((item.category, c) != (other.category, color) for other, color in chosen)
        ]
        if colors and len(chosen) < count:
            chosen.append((item, str(rng.choice(colors))))
    return [chosen[int(i)] for i in rng.permutation(len(chosen))]


def _draw(pack: Pack, number: int, rng: Rng, *, training: bool) -> Scene | None:
    """One try; None when too few of the things find a place."""
    camera = random_view(rng)
    ground = random_table(pack, rng)
    forward = np.radians(camera.azimuth)
    view = np.array([[np.sin(forward), -np.cos(forward)], [np.cos(forward), np.sin(forward)]])  # right, away
    placed: list[Placed] = []
    taken: list[np.ndarray] = []
    for item, color in _choose(pack, rng, training=training):
        rest = random_rest(item, rng)
        half = item.half if rest is None else rest.half
        for _ in range(40):
            spot = (rng.uniform(-1, 1, 2) * REACH) @ view
            thing = Placed(item, color, role_colors(color, rng), spot, float(rng.uniform(0, 360)), rest)
            corners = rectangle(spot, half + GAP / 2, thing.yaw)
            points = thing.world(item.surface)
            if narrowest(points) > WIDEST:
                break
            pixels, _ = camera.project(points)
            size = (camera.width - MARGIN, camera.height - MARGIN)
            seen = bool((pixels > MARGIN).all() and (pixels < size).all())
            if seen and ground.holds(corners) and all(footprints_apart(corners, other) for other in taken):
                placed.append(thing)
                taken.append(corners)
                break
    if len(placed) < LEAST:
        return None
    floor = pack.floor_materials[int(rng.integers(len(pack.floor_materials)))]
    lighting = random_lighting(rng)
    inside = np.concatenate([thing.world(thing.item.surface) for thing in placed])
    walls, furniture = random_room(pack, camera, ground, inside, lighting.key.position, rng)
    scene = Scene(pack, 12, number, camera, tuple(placed), ground, floor, lighting, walls=walls, furniture=furniture)
    return scene


def with_objects(scene: Scene, objects: tuple[Placed, ...]) -> Scene:
    """The same room and camera, with the things where they are now."""
    return dataclasses.replace(scene, objects=objects)
