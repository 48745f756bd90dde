# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One scene: which objects, in which colors, where on the table, seen and lit how. No rendering here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llavaseg_ros.training.scenes.camera import Camera, random_camera
from llavaseg_ros.training.scenes.layout import MIN_OBJECTS, arrange
from llavaseg_ros.training.scenes.packs import Pack
from llavaseg_ros.training.scenes.pose import Placed
from llavaseg_ros.training.scenes.room import (
    Furniture,
    Lighting,
    Table,
    Wall,
    random_lighting,
    random_room,
    random_table,
)


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw one image.

    objects: those a record speaks of; instance ids are their places in the tuple, from 1. clutter: things in view that
    have no name, odd shapes and a gripper; they are background. mat: material, centre, half size, yaw of a place mat.
    """

    pack: Pack
    seed: int
    index: int
    camera: Camera
    objects: tuple[Placed, ...]
    table: Table
    floor: int
    lighting: Lighting
    mat: tuple[int, np.ndarray, np.ndarray, float] | None = None
    clutter: tuple[Placed, ...] = ()
    walls: tuple[Wall, ...] = ()
    furniture: tuple[Furniture, ...] = ()


def make_scene(pack: Pack, seed: int, index: int) -> Scene:
    """Scene `index` of a pack. The same pack number, seed and index give the same scene."""
    rng = np.random.default_rng([seed, pack.number, index])
    while True:
        camera = random_camera(rng)
        table = random_table(pack, rng)
        layout = arrange(pack, camera, table, rng)
        if len(layout.objects) >= MIN_OBJECTS:
            break
    mat = None
    if rng.uniform() < 0.2:
        material = pack.table_materials[int(rng.integers(len(pack.table_materials)))][0]
        half = rng.uniform([0.16, 0.12], [0.30, 0.20])
        mat = (material, rng.uniform(-0.15, 0.15, 2), half, float(rng.uniform(-30, 30)))
    floor = pack.floor_materials[int(rng.integers(len(pack.floor_materials)))]
    lighting = random_lighting(rng)
    inside = np.concatenate([placed.world(placed.item.surface) for placed in layout.objects])
    walls, furniture = random_room(pack, camera, table, inside, lighting.key.position, rng)
    return Scene(pack, seed, index, camera, tuple(layout.objects), table, floor, lighting, mat, tuple(layout.clutter),
                 walls, furniture)
