# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fruit, vegetables and toys: one builder a category, and the table of all builders, of trained and held-out kinds."""

from __future__ import annotations

import numpy as np

from llavaseg_ros.training.scenes import novel, tableware, tools
from llavaseg_ros.training.scenes.meshes import cylinder, ellipsoid, lathe, loft, merge, rounded_rectangle, smooth, tube
from llavaseg_ros.training.scenes.parts import Builder, Part, Shape, settle, turned

Rng = np.random.Generator


def _leaf(length: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Path and half widths of a leaf that rises along x."""
    t = np.linspace(0, 1, 7)
    path = np.column_stack([t * length, np.zeros(7), 0.35 * length * t * (1 - t)])
    return path, width * np.sin(np.pi * (0.06 + 0.9 * t))


def apple(rng: Rng) -> list[Part]:
    """Round, dimpled at both ends, with a stem and sometimes a leaf."""
    r, tall = rng.uniform(0.036, 0.043), rng.uniform(0.84, 0.98)
    profile = smooth([(0, 0.14), (0.25, 0.03), (0.55, 0.08), (0.93, 0.65), (0.98, 1.12), (0.72, 1.62), (0.36, 1.74),
                      (0.12, 1.58), (0, 1.48)], 24)
    profile[:, 0] = profile[:, 0].clip(0)
    body = lathe(profile * [r, r * tall], 28)
    top = 1.50 * r * tall
    parts = [
        Part(body, "main", "gloss"),
        Part(tube([(0, 0, top - 0.002), (0.002, 0, top + 0.010), (0.006, 0.002, top + 0.020)], [0.0018, 0.0016, 0.0024],
                  sides=8), "stem", "matte"),
    ]
    if rng.uniform() < 0.45:
        path, width = _leaf(0.028, 0.010)
        parts.append(Part(tube(path, width, squash=0.12, sides=8).moved(0.002, 0, top + 0.006), "leaf", "satin"))
    return turned(parts, "x", rng.uniform(-14, 14))


def orange(rng: Rng) -> list[Part]:
    """A fruit with grained skin and a small green navel."""
    r = rng.uniform(0.037, 0.044)
    body = ellipsoid(r, r, r * rng.uniform(0.92, 0.99), 30)
    navel = [cylinder(0.0042, 0, 0.0022, bevel=0.001, segments=10), cylinder(0.0075, 0, 0.0008, segments=5)]
    z = float(body.vertices[:, 2].max()) - 0.0007
    parts = [Part(body, "main", "grain"), Part(merge(navel).moved(0, 0, z), "leaf", "matte")]
    return turned(parts, "x", rng.uniform(-55, 10))


def banana(rng: Rng) -> list[Part]:
    """One curved fruit, or a bunch of two or three."""
    parts: list[Part] = []
    count = int(rng.choice([1, 1, 2, 3]))
    reach, r, sweep = rng.uniform(0.075, 0.095), rng.uniform(0.0145, 0.0175), rng.uniform(85, 120)
    for i in range(count):
        a = np.radians(np.linspace(-sweep / 2, sweep / 2, 16))
        t = np.linspace(0, 1, 16)
        path = np.column_stack([reach * np.sin(a), -reach * np.cos(a), np.zeros(16)])
        radius = r * np.interp(t, [0, 0.05, 0.22, 0.5, 0.8, 0.93, 1.0], [0.35, 0.45, 0.86, 1.0, 0.84, 0.42, 0.28])
        fruit = tube(path, radius, sides=10, squash=0.95)
        tips = (path[:2] - 0.0001, radius[:2] * 1.05), (path[-2:], radius[-2:] * 1.08)
        ends = merge([tube(points, r_tip, sides=8) for points, r_tip in tips])
        turn = (i - (count - 1) / 2) * 17.0
        pivot = path[0]
        for mesh, role in ((fruit, "main"), (ends, "stem")):
            moved = mesh.moved(*(-pivot)).turned("z", turn).moved(0, 0, r + 0.006 * (i % 2))
            parts.append(Part(moved, role, "satin"))
    return parts


def lemon(rng: Rng) -> list[Part]:
    """Oval with a nipple at both ends, lying."""
    r, length = rng.uniform(0.026, 0.031), rng.uniform(0.044, 0.052)
    profile = smooth([(0, -1.0), (0.16, -0.95), (0.30, -0.84), (0.72, -0.55), (1.0, 0.0), (0.72, 0.55), (0.28, 0.85),
                      (0.17, 0.97), (0, 1.02)], 26)
    profile[:, 0] = profile[:, 0].clip(0)
    body = lathe(profile * [r, length], 26)
    tip = cylinder(r * 0.12, length * 0.99, length * 1.05, segments=8)
    return turned([Part(body, "main", "grain"), Part(tip, "stem", "matte")], "y", 90)


def pear(rng: Rng) -> list[Part]:
    """Wide below, narrow above, with a stem; standing or lying."""
    r, h = rng.uniform(0.031, 0.037), rng.uniform(0.080, 0.098)
    profile = smooth([(0, 0.03), (0.4, 0.0), (0.88, 0.14), (1.0, 0.32), (0.78, 0.57), (0.50, 0.76), (0.40, 0.90),
                      (0.2, 0.985), (0, 0.98)], 26)
    profile[:, 0] = profile[:, 0].clip(0)
    body = lathe(profile * [r, h], 28)
    stem = tube([(0, 0, h * 0.96), (0.001, 0, h * 1.06), (0.006, 0, h * 1.17)], [0.0018, 0.0017, 0.0024], sides=8)
    parts = [Part(body, "main", str(rng.choice(["satin", "grain"]))), Part(stem, "stem", "matte")]
    if rng.uniform() < 0.35:
        path, width = _leaf(0.026, 0.009)
        parts.append(Part(tube(path, width, squash=0.12, sides=8).moved(0.001, 0, h * 1.02), "leaf", "satin"))
    return turned(parts, "y", 72 if rng.uniform() < 0.25 else rng.uniform(-6, 6))


def carrot(rng: Rng) -> list[Part]:
    """A long lying cone with a tuft of leaves."""
    length, r = rng.uniform(0.115, 0.150), rng.uniform(0.0145, 0.0185)
    t = np.linspace(0, 1, 20)
    radius = r * np.interp(t, [0, 0.03, 0.12, 0.5, 0.9, 1.0], [0.45, 0.85, 1.0, 0.72, 0.34, 0.06])
    radius = radius * (1 + 0.03 * np.sin(t * 70))
    bend = rng.uniform(-0.010, 0.010)
    body = tube(np.column_stack([t * length, bend * np.sin(np.pi * t), r - (r - 0.003) * 0.85 * t]), radius, sides=14)
    leaves = []
    for _ in range(int(rng.integers(5, 8))):
        away, up, reach = rng.uniform(-0.028, 0.028), rng.uniform(0.0, 0.024), rng.uniform(0.04, 0.062)
        path = smooth([(0.002, 0, r), (-reach * 0.5, away * 0.4, r + up), (-reach, away, r + up * 0.5)], 7)
        leaves.append(tube(path, np.array([0.0022, 0.0022, 0.003, 0.0045, 0.006, 0.005, 0.001]), sides=6, squash=0.5))
    return [Part(body, "main", "satin"), Part(merge(leaves), "leaf", "satin")]


def ball(rng: Rng) -> list[Part]:
    """A toy ball: with a stripe, with seams, with spots, or as panels."""
    r = rng.uniform(0.031, 0.045)
    body = ellipsoid(r, r, r, 32)
    style = rng.uniform()
    finish = str(rng.choice(["satin", "gloss"]))
    parts = [Part(body, "main", finish)]
    if style < 0.35:
        z = np.linspace(-0.2, 0.2, 5) * r
        band = lathe(np.column_stack([np.sqrt(r**2 - z**2) + 0.0007, z]), 32)
        parts.append(Part(band, "label", finish))
    elif style < 0.65:
        circle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        flat = np.column_stack([r * np.cos(circle), r * np.sin(circle), np.zeros(40)])
        seams = [tube(flat, 0.0014, sides=6, closed=True), tube(flat[:, [0, 2, 1]], 0.0014, sides=6, closed=True),
                 tube(flat[:, [2, 0, 1]], 0.0014, sides=6, closed=True)]
        parts.append(Part(merge(seams), str(rng.choice(["dark", "label"])), "matte"))
    elif style < 0.9:
        theta = np.linspace(0, 0.36, 5)
        spot = lathe(np.column_stack([(r + 0.0007) * np.sin(theta), (r + 0.0007) * np.cos(theta)])[::-1], 16)
        for axis, degrees in (("x", 0.0), ("x", 90.0), ("x", -90.0), ("y", 90.0), ("y", -90.0)):
            parts.append(Part(spot.turned(axis, degrees), "label", finish))
    return turned(turned(parts, "x", rng.uniform(0, 180)), "z", rng.uniform(0, 180))


def toy_car(rng: Rng) -> list[Part]:
    """A small car: body, cabin with windows, four wheels, lights."""
    length, width = rng.uniform(0.090, 0.115), rng.uniform(0.044, 0.052)
    wheel, low = rng.uniform(0.0115, 0.014), 0.007
    deck = low + rng.uniform(0.016, 0.020)
    van = rng.uniform() < 0.3
    roof = deck + rng.uniform(0.016, 0.021)

    def slab(sections: list[tuple[float, float, float, float]]) -> np.ndarray:
        """Rings from (centre x, length, width, z)."""
        rings = []
        for x, sx, sy, z in sections:
            outline = rounded_rectangle(sx, sy, 0.007) + [x, 0]
            rings.append(np.column_stack([outline, np.full(len(outline), z)]))
        return np.array(rings)

    body = loft(slab([(0, length * 0.96, width * 0.94, low), (0, length, width, low + 0.005),
                      (0, length * 0.99, width, deck - 0.004), (0, length * 0.93, width * 0.93, deck)]))
    cx, cl = (-length * 0.10, length * 0.72) if van else (-length * 0.05, length * 0.52)
    top = 0.88 if van else 0.68
    cabin = loft(slab([(cx, cl, width * 0.86, deck - 0.001), (cx, cl * top, width * 0.74, roof)]))
    lid = loft(slab([(cx, cl * (top + 0.03), width * 0.76, roof - 0.001),
                     (cx, cl * (top - 0.04), width * 0.68, roof + 0.002)]))
    parts = [Part(body, "main", "gloss"), Part(cabin, "window", "gloss"), Part(lid, "main", "gloss")]
    for fx in (-0.29, 0.30):
        for side in (-1, 1):
            tyre = cylinder(wheel, -0.0055, 0.0055, bevel=0.0018, segments=18).turned("x", 90)
            hub = cylinder(wheel * 0.52, -0.0062, 0.0062, segments=12).turned("x", 90)
            at = (fx * length, side * width * 0.48, wheel)
            parts += [Part(tyre.moved(*at), "dark", "matte"), Part(hub.moved(*at), "metal", "metal")]
    for side in (-1, 1):
        lamp = ellipsoid(0.0025, 0.0045, 0.0032, 10)
        parts.append(Part(lamp.moved(length * 0.495, side * width * 0.32, deck - 0.006), "lens", "gloss"))
        parts.append(Part(lamp.moved(-length * 0.495, side * width * 0.32, deck - 0.006), "red_button", "gloss"))
    if rng.uniform() < 0.35:
        stripe = loft(slab([(length * 0.33, length * 0.26, width * 0.22, z) for z in (deck - 0.001, deck + 0.0006)]))
        parts.append(Part(stripe, "accent", "gloss"))
    return parts


BUILDERS: dict[str, Builder] = {
    **tableware.BUILDERS, **tools.BUILDERS,
    "apple": apple, "orange": orange, "banana": banana, "lemon": lemon, "pear": pear, "carrot": carrot, "ball": ball,
    "toy car": toy_car, **novel.BUILDERS,
}


def build(category: str, rng: np.random.Generator) -> Shape:
    """One object of `category` with proportions of its own. Raises KeyError for a name that is not in the catalog."""
    return settle(category, BUILDERS[category](rng))
