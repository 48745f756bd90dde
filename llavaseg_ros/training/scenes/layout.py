# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which objects a scene has, in which colors and poses, and where: side by side, stacked, and what is in their way."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from llavaseg_ros.training.scenes.camera import Camera
from llavaseg_ros.training.scenes.catalog import allowed_colors, is_training_pack, load_catalog
from llavaseg_ros.training.scenes.meshes import rotation
from llavaseg_ros.training.scenes.packs import Item, Pack
from llavaseg_ros.training.scenes.parts import role_colors
from llavaseg_ros.training.scenes.pose import Placed, Rest, random_rest, rest_height
from llavaseg_ros.training.scenes.room import Table

MIN_OBJECTS, MAX_OBJECTS = 3, 10
MIN_GAP = 0.004
BORDER = 18  # px: the middle of an object is at least this far inside the picture
UNSEEN = 0.35  # chance of a thing of a held-out category, in test packs
ODD_SHARE, GRIPPER_SHARE, STACK_SHARE = 0.30, 0.24, 0.30  # chances; a gripper or a stack does not always find a place

# What things may be put on, and what may be put there.
FRUIT = ("apple", "orange", "lemon", "pear", "banana", "carrot", "donut")
SMALL = (*FRUIT, "ball", "mug", "cup", "can", "candle", "tape roll", "phone", "remote", "sponge", "pen", "spoon",
         "fork", "knife", "scissors", "toy car", "flashlight", "screwdriver", "box", "funnel", "hourglass")
STACKS: dict[str, tuple[str, ...]] = {
    "book": (*SMALL, "book", "bowl", "teapot"),
    "box": (*SMALL, "book"),
    "cereal box": SMALL,
    "plate": (*FRUIT, "mug", "cup", "spoon", "fork", "knife", "sponge", "bowl", "candle", "ball"),
    "bowl": (*FRUIT, "ball", "spoon", "tape roll"),
}
Rng = np.random.Generator


def rectangle(xy: np.ndarray, half: np.ndarray, yaw: float) -> np.ndarray:
    """Corners [4, 2] of a footprint: centre, half extents (m), yaw (degrees)."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    return signs * half[:2] @ np.array([[c, s], [-s, c]]) + xy


def footprints_apart(a: np.ndarray, b: np.ndarray) -> bool:
    """True when two rectangles, corners [4, 2] in order, do not overlap (separating axes)."""
    for p in (a, b):
        for axis in (p[1] - p[0], p[2] - p[1]):
            x, y = a @ axis, b @ axis
            if x.max() < y.min() or y.max() < x.min():
                return True
    return False


def choose(pack: Pack, rng: Rng) -> list[tuple[Item, str]]:
    """Objects and color words: often several of a kind in different colors, sometimes one color on many things."""
    training = is_training_pack(pack.number)
    count = int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
    if rng.uniform() < 0.4:
        count = max(count, int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1)))
    held_out = load_catalog().held_out
    unseen = [i for i, item in enumerate(pack.items) if item.category in held_out]
    left = [int(i) for i in rng.permutation(len(pack.items)) if i not in unseen]
    order: list[int] = []
    kinds: dict[str, list[int]] = {}
    for i in left:
        kinds.setdefault(pack.items[i].category, []).append(i)
    families = [k for k, v in kinds.items() if len(v) > 1]
    if families and rng.uniform() < 0.5:
        family = kinds[str(rng.choice(families))]
        order = family[: int(rng.integers(2, min(len(family), count) + 1))]
    if unseen and rng.uniform() < UNSEEN:
        order = [*order, int(rng.choice(unseen))]
    order += [i for i in left if i not in order][: max(count - len(order), 0)]
    theme = None
    if rng.uniform() < 0.35:
        theme = str(rng.choice(allowed_colors("mug", training=False)))
    out: list[tuple[Item, str]] = []
    used: set[tuple[str, str]] = set()
    for i in order[:MAX_OBJECTS]:
        item = pack.items[i]
        colors = list(allowed_colors(item.category, training=training))
        fresh = [c for c in colors if (item.category, c) not in used]
        if fresh and rng.uniform() < 0.93:
            colors = fresh
        color = str(rng.choice(colors))
        if theme in colors and rng.uniform() < 0.5:
            color = str(theme)
        used.add((item.category, color))
        out.append((item, color))
    return [out[i] for i in rng.permutation(len(out))]


def _in_view(placed: Placed, camera: Camera) -> bool:
    centre, depth = camera.project(np.array([[*placed.xy, placed.z + placed.height / 2]]))
    (u, v), z = centre[0], depth[0]
    return bool(z > 0.3 and BORDER < u < camera.width - BORDER and BORDER < v < camera.height - BORDER)


class Layout:
    """Puts things on one table, seen by one camera, one after the other; `objects` are those that have a name."""

    def __init__(self, camera: Camera, table: Table, rng: Rng) -> None:
        self.camera, self.table, self.rng = camera, table, rng
        self.objects: list[Placed] = []
        self.clutter: list[Placed] = []
        self._taken: list[np.ndarray] = []
        self._cells: list[int] = []
        self._closeness = rng.uniform(0.1, 0.95)

    def _beside(self, half: np.ndarray) -> np.ndarray:
        """A spot close to something that is there; often before or behind it, so that one hides a part of the other."""
        rng, other = self.rng, self.objects[int(self.rng.integers(len(self.objects)))]
        away = rng.uniform(0, 2 * np.pi)
        if rng.uniform() < 0.6:
            away = np.radians(self.camera.azimuth + rng.choice([0, 180]) + rng.uniform(-30, 30))
        reach = 0.5 * (half[:2].max() + other.half[:2].max()) + rng.uniform(0.0, 0.05)
        return other.xy + reach * np.array([np.cos(away), np.sin(away)])

    def _anywhere(self, height: float) -> np.ndarray | None:
        """A spot in a part of the image, the least used ones first, so that all nine places fill up."""
        if not self._cells:
            self._cells = [int(c) for c in self.rng.permutation(9)]
        cell = self._cells.pop()
        u = (cell % 3 + self.rng.uniform(0.08, 0.92)) / 3 * self.camera.width
        v = (cell // 3 + self.rng.uniform(0.12, 0.90)) / 3 * self.camera.height
        point = self.camera.on_plane(u, v, height / 2)
        return None if point is None else point[:2]

    def add(self, item: Item, color: str, *, named: bool = True) -> bool:
        """Finds a free spot for `item`; without one, says False and leaves it out."""
        rng = self.rng
        rest = random_rest(item, rng)
        half = item.half if rest is None else rest.half
        for attempt in range(60):
            yaw = float(rng.uniform(0, 360))
            if self.objects and attempt < 30 and rng.uniform() < self._closeness:
                xy = self._beside(half)
            else:
                spot = self._anywhere(2 * half[2])
                if spot is None:
                    continue
                xy = spot
            placed = Placed(item, color, {}, xy, yaw, rest)
            corners = rectangle(xy, half + MIN_GAP / 2, yaw)
            if not _in_view(placed, self.camera) or not self.table.holds(corners):
                continue
            if all(footprints_apart(corners, other) for other in self._taken):
                placed = dataclasses.replace(placed, colors=role_colors(color, rng))
                (self.objects if named else self.clutter).append(placed)
                self._taken.append(corners)
                return True
        return False

    def stack(self) -> bool:
        """Puts one object on, or in, another one. Says False when no two of them fit."""
        rng, objects = self.rng, self.objects
        pairs = [
            (low, high)
            for low in range(len(objects))
            for high in range(len(objects))
            if low != high and objects[high].item.category in STACKS.get(objects[low].item.category, ())
            and self._fits(objects[low], objects[high])
        ]
        for k in rng.permutation(len(pairs))[:4]:
            low, high = pairs[int(k)]
            base = objects[low]
            near = 0.25 if base.item.category in ("book", "box", "cereal box") else 0.08
            xy = rectangle(base.xy, base.half, base.yaw).mean(0) + rng.uniform(-near, near, 2) * base.half[:2].min()
            top = dataclasses.replace(objects[high], xy=xy, yaw=float(rng.uniform(0, 360)))
            z = rest_height(base, top)
            if z is None:
                continue
            top = dataclasses.replace(top, z=z, under=base)
            if _in_view(top, self.camera):
                objects[high] = top
                return True
        return False

    @staticmethod
    def _fits(low: Placed, high: Placed) -> bool:
        """Whether `high` would lie safely on `low`: not much wider, and `low` is not upside down or on its edge."""
        kind = low.item.category
        if kind == "cereal box":
            return low.height < 0.07 and bool(high.half[:2].max() < 1.2 * low.half[:2].min())
        if low.rest is not None and kind in ("bowl", "book"):
            return False
        slack = {"book": 1.25, "box": 1.15, "plate": 0.95, "bowl": 0.8}[kind]
        return bool(high.half[:2].max() < slack * low.half[:2].min())

    def hover(self, gripper: Item) -> bool:
        """Lets a gripper hang over the table, pointing down at a slant. Says False when it would hide too much."""
        rng, camera = self.rng, self.camera
        tops = [(o.xy, np.linalg.norm(o.half[:2]), o.z + o.height) for o in (*self.objects, *self.clutter)]
        plain = str(rng.choice(["white", "gray", "black", "black", "orange", "blue"]))
        for _ in range(25):
            spot = self._anywhere(0.1)
            if spot is None:
                continue
            lean = rng.uniform(0, 35) if rng.uniform() < 0.6 else rng.uniform(35, 68)
            turn = rotation("x", lean) @ rotation("z", rng.uniform(0, 360))
            clear = max((h for xy, r, h in tops if np.linalg.norm(xy - spot) < r + 0.10 + lean / 300), default=0.0)
            points = gripper.shape.vertices @ turn.T
            rest = Rest(turn, np.array([0, 0, -points[:, 2].min()]), np.ptp(points, axis=0) / 2)
            placed = Placed(gripper, plain, {}, spot, float(rng.uniform(0, 360)), rest,
                            clear + rng.uniform(0.02, 0.12))
            pixels, depth = camera.project(placed.world(gripper.surface))
            shown = pixels[depth > 0.15].astype(np.float32)
            if (depth < 0.25).any() or len(shown) < 20:
                continue
            outline = cv2.convexHull(shown.clip(-400, 1000))
            inside = (shown >= 0).all(1) & (shown < [camera.width, camera.height]).all(1)
            seen = cv2.contourArea(cv2.convexHull(shown[inside])) if inside.sum() > 9 else 0.0
            hidden = 0
            for o in self.objects:
                (u, v), _ = (part[0] for part in camera.project(np.array([[*o.xy, o.z + o.height / 2]])))
                hidden += cv2.pointPolygonTest(outline, (float(u), float(v)), False) >= 0
            if 0.006 < seen / (camera.width * camera.height) < 0.13 and hidden <= 1:
                self.clutter.append(dataclasses.replace(placed, colors=role_colors(plain, rng)))
                return True
        return False


def arrange(pack: Pack, camera: Camera, table: Table, rng: Rng) -> Layout:
    """One table full of things. What finds no place is left out, so there may be fewer than MIN_OBJECTS objects."""
    layout = Layout(camera, table, rng)
    for item, color in choose(pack, rng):
        layout.add(item, color)
    if rng.uniform() < STACK_SHARE:
        layout.stack()
    if rng.uniform() < ODD_SHARE:
        for i in rng.choice(len(pack.odd), int(rng.integers(1, 4)), replace=False):
            layout.add(pack.odd[i], str(rng.choice(allowed_colors("mug", training=False))), named=False)
    if rng.uniform() < GRIPPER_SHARE:
        layout.hover(pack.gripper)
    return layout
