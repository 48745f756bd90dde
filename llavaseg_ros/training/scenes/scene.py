"""Layout of one scene: which objects, in which colors, where on the table, seen and lit how. No rendering here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llavaseg_ros.training.scenes.catalog import allowed_colors, is_training_pack
from llavaseg_ros.training.scenes.packs import Item, Pack
from llavaseg_ros.training.scenes.parts import role_colors

WIDTH, HEIGHT = 640, 480
MIN_OBJECTS, MAX_OBJECTS = 3, 10
MIN_GAP = 0.004
Rng = np.random.Generator


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


@dataclass(frozen=True)
class Placed:
    """An object on the table. xy: metres; yaw: degrees; colors: RGB in [0, 1] by role."""

    item: Item
    color: str
    colors: dict[str, tuple[float, float, float]]
    xy: np.ndarray
    yaw: float

    def world(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] of the object's frame in the world frame."""
        c, s = np.cos(np.radians(self.yaw)), np.sin(np.radians(self.yaw))
        turned = points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
        return turned + [*self.xy, 0.001]


@dataclass(frozen=True)
class Light:
    """One lamp. position, direction: world frame; level: diffuse strength."""

    position: np.ndarray
    direction: np.ndarray
    level: float
    tint: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw one image."""

    pack: Pack
    seed: int
    index: int
    camera: Camera
    objects: tuple[Placed, ...]
    table: tuple[int, np.ndarray, float, float]  # material id, half size [2], texture repeats a metre, yaw in degrees
    floor: int
    mat: tuple[int, np.ndarray, np.ndarray, float] | None  # material, centre, half size, yaw
    lights: tuple[Light, Light]
    ambient: float


def _corners(xy: np.ndarray, half: np.ndarray, yaw: float) -> np.ndarray:
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


def _choose(pack: Pack, rng: Rng) -> list[tuple[Item, str]]:
    """Objects and color words: often several of a kind in different colors, sometimes one color on many things."""
    training = is_training_pack(pack.number)
    count = int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
    left = list(rng.permutation(len(pack.items)))
    order: list[int] = []
    kinds: dict[str, list[int]] = {}
    for i in left:
        kinds.setdefault(pack.items[i].category, []).append(i)
    families = [k for k, v in kinds.items() if len(v) > 1]
    if families and rng.uniform() < 0.5:
        family = kinds[str(rng.choice(families))]
        order = family[: int(rng.integers(2, min(len(family), count) + 1))]
    order += [i for i in left if i not in order][: count - len(order)]
    theme = None
    if rng.uniform() < 0.35:
        theme = str(rng.choice(allowed_colors("mug", training=False)))
    out: list[tuple[Item, str]] = []
    used: set[tuple[str, str]] = set()
    for i in order:
        item = pack.items[i]
        colors = [c for c in allowed_colors(item.category, training=training)]
        fresh = [c for c in colors if (item.category, c) not in used]
        if fresh and rng.uniform() < 0.93:
            colors = fresh
        color = str(rng.choice(colors))
        if theme in colors and rng.uniform() < 0.5:
            color = str(theme)
        used.add((item.category, color))
        out.append((item, color))
    return [out[i] for i in rng.permutation(len(out))]


def _camera(rng: Rng) -> Camera:
    fovy = rng.uniform(38, 54)
    focal = HEIGHT / 2 / np.tan(np.radians(fovy / 2))
    pitch = rng.uniform(max(30.0, fovy / 2 + 11), 65)
    scale = np.exp(rng.uniform(np.log(540), np.log(960)))  # pixels a metre at the centre of the view
    target = np.array([*rng.uniform(-0.08, 0.08, 2), 0.02])
    return look_at(target, focal / scale, pitch, 90 + rng.uniform(-25, 25), rng.normal(0, 1.5), focal)


def _table(pack: Pack, camera: Camera, rng: Rng) -> tuple[int, np.ndarray, float, float]:
    material, kind = pack.table_materials[int(rng.integers(len(pack.table_materials)))]
    half = rng.uniform([0.55, 0.42], [1.0, 0.7]) if rng.uniform() < 0.4 else rng.uniform([1.2, 1.0], [2.0, 1.6])
    repeat = rng.uniform(0.8, 1.6) if kind in ("wood", "marble", "tile") else rng.uniform(1.5, 3.5)
    return material, half, float(repeat), float(rng.uniform(-12, 12))


def _inside_table(corners: np.ndarray, half: np.ndarray, yaw: float) -> bool:
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    local = corners @ np.array([[c, -s], [s, c]])
    return bool((np.abs(local) < half - 0.01).all())


def _place(
    chosen: list[tuple[Item, str]], camera: Camera, table: tuple[int, np.ndarray, float, float], rng: Rng
) -> list[Placed]:
    """Puts objects on the table one by one; those for which no free spot is found are left out."""
    out: list[Placed] = []
    taken: list[np.ndarray] = []
    cells: list[int] = []
    closeness = rng.uniform(0.1, 0.6)
    for item, color in chosen:
        grown = item.half[:2] + MIN_GAP / 2
        for attempt in range(60):
            yaw = float(rng.uniform(0, 360))
            if out and attempt < 30 and rng.uniform() < closeness:
                other = out[int(rng.integers(len(out)))]
                away = rng.uniform(0, 2 * np.pi)
                reach = 0.5 * (item.half[:2].max() + other.item.half[:2].max()) + rng.uniform(0.0, 0.08)
                xy = other.xy + reach * np.array([np.cos(away), np.sin(away)])
            else:
                # Aim at a part of the image, the least used ones first, so that all nine places fill up.
                if not cells:
                    cells = [int(c) for c in rng.permutation(9)]
                cell = cells.pop()
                u = (cell % 3 + rng.uniform(0.08, 0.92)) / 3 * camera.width
                v = (cell // 3 + rng.uniform(0.12, 0.90)) / 3 * camera.height
                point = camera.on_plane(u, v, item.height / 2)
                if point is None:
                    continue
                xy = point[:2]
            centre, _ = camera.project(np.array([[*xy, item.height / 2]]))
            if not (18 < centre[0, 0] < camera.width - 18 and 18 < centre[0, 1] < camera.height - 18):
                continue
            corners = _corners(xy, grown, yaw)
            if not _inside_table(corners, table[1], table[3]):
                continue
            if all(footprints_apart(corners, other_corners) for other_corners in taken):
                out.append(Placed(item, color, role_colors(color, rng), xy, yaw))
                taken.append(corners)
                break
    return out


def _lights(rng: Rng) -> tuple[tuple[Light, Light], float]:
    """A key lamp that throws shadows, a fill from the other side, and ambient light; together never overexposed."""
    around, height = rng.uniform(0, 2 * np.pi), rng.uniform(1.7, 2.6)
    offset = rng.uniform(0.2, 1.3)
    position = np.array([offset * np.cos(around), offset * np.sin(around), height])
    direction = np.array([*rng.uniform(-0.1, 0.1, 2), 0]) - position
    total = rng.uniform(0.78, 1.02)
    ambient = total * rng.uniform(0.36, 0.56)
    key = (total - ambient) * rng.uniform(0.6, 0.85)
    fill = total - ambient - key
    warm = rng.uniform(-1, 1)
    tint = np.array([1 + 0.05 * warm, 1.0, 1 - 0.07 * warm])
    other = np.array([-np.cos(around) * 0.7, -np.sin(around) * 0.7, 1.0])
    # The lamp shines at a slant: what falls on a level table is its cosine part.
    cosine = -direction[2] / np.linalg.norm(direction)
    return (
        Light(position, direction / np.linalg.norm(direction), key / cosine, tint),
        Light(other * 2, -other / np.linalg.norm(other), fill / (other[2] / np.linalg.norm(other)), np.ones(3)),
    ), float(ambient)


def make_scene(pack: Pack, seed: int, index: int) -> Scene:
    """Scene `index` of a pack. The same pack number, seed and index give the same scene."""
    rng = np.random.default_rng([seed, pack.number, index])
    while True:
        camera = _camera(rng)
        table = _table(pack, camera, rng)
        objects = _place(_choose(pack, rng), camera, table, rng)
        if len(objects) >= MIN_OBJECTS:
            break
    mat = None
    if rng.uniform() < 0.2:
        material = pack.table_materials[int(rng.integers(len(pack.table_materials)))][0]
        half = rng.uniform([0.16, 0.12], [0.30, 0.20])
        mat = (material, rng.uniform(-0.15, 0.15, 2), half, float(rng.uniform(-30, 30)))
    floor = pack.floor_materials[int(rng.integers(len(pack.floor_materials)))]
    lights, ambient = _lights(rng)
    return Scene(pack, seed, index, camera, tuple(objects), table, floor, mat, lights, ambient)
