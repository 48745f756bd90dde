# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Things in view that have no name: odd shapes on the table, and a robot's gripper over it."""

from __future__ import annotations

import numpy as np

from llavaseg_ros.training.scenes.meshes import (
    Mesh,
    box,
    cylinder,
    ellipsoid,
    lathe,
    merge,
    prism,
    rounded_box,
    smooth,
    tube,
)
from llavaseg_ros.training.scenes.parts import Part, Shape, settle, turned

Rng = np.random.Generator
ODD, GRIPPER = "odd", "gripper"  # what `Shape.category` says of them; no word of the catalog


def _lathe(rng: Rng) -> Mesh:
    """A turned spindle with several waists: no vessel, and no tool."""
    count = int(rng.integers(5, 9))
    r, h = rng.uniform(0.012, 0.034), rng.uniform(0.03, 0.11)
    wide = np.where(np.arange(count) % 2 == int(rng.integers(2)), rng.uniform(0.75, 1.0, count),
                    rng.uniform(0.25, 0.6, count))
    z = np.linspace(0, h, count)
    points = np.column_stack([r * wide, z])
    curve = smooth(points, 26) if rng.uniform() < 0.5 else np.repeat(points, 2, axis=0)[1:-1]
    curve[:, 0] = curve[:, 0].clip(0.002)
    return lathe(np.concatenate([[(0, 0)], curve, [(0, h)]]), 22)


def _prism(rng: Rng) -> Mesh:
    """A star, a gear or a jagged plate."""
    count = int(rng.integers(3, 8))
    r, h = rng.uniform(0.018, 0.048), rng.uniform(0.006, 0.05)
    a = np.linspace(0, 2 * np.pi, 2 * count, endpoint=False)
    depth = np.where(np.arange(2 * count) % 2 == 0, rng.uniform(0.8, 1.0, 2 * count), rng.uniform(0.35, 0.7, 2 * count))
    return prism((r * depth)[:, None] * np.column_stack([np.cos(a), np.sin(a)]), 0, h)


def _lump(rng: Rng) -> Mesh:
    """A stone or a crumpled piece: an ellipsoid with bumps."""
    mesh = ellipsoid(1, 1, 1, 26)
    v = mesh.vertices
    bump = np.zeros(len(v))
    for _ in range(5):
        bump += rng.uniform(0.04, 0.13) * np.sin(v @ rng.normal(0, 2.4, 3) + rng.uniform(0, 6.3))
    return Mesh(v * (1 + bump)[:, None] * rng.uniform(0.014, 0.042, 3), mesh.faces)


def _wire(rng: Rng) -> Mesh:
    """A bent piece of cable or hose."""
    count = int(rng.integers(4, 7))
    turn = np.cumsum(rng.normal(0, 1.0, count))
    steps = rng.uniform(0.02, 0.045, count)[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    path = np.column_stack([np.cumsum(steps, axis=0), rng.uniform(0, 0.02, count)])
    return tube(smooth(path, 24), rng.uniform(0.003, 0.008), sides=8)


def _blocks(rng: Rng) -> Mesh:
    """A few blocks and bars stuck together, as a part of a machine."""
    parts = [box(*rng.uniform(0.015, 0.06, 3))]
    for _ in range(int(rng.integers(2, 4))):
        part = box(*rng.uniform(0.008, 0.045, 3)) if rng.uniform() < 0.5 else cylinder(
            rng.uniform(0.005, 0.016), 0, rng.uniform(0.02, 0.06), segments=14).turned("x", float(rng.choice([0, 90])))
        x, y = rng.uniform(-0.025, 0.025, 2)
        parts.append(part.moved(x, y, rng.uniform(0, 0.02)))
    return merge(parts)


def odd_shape(rng: Rng) -> Shape:
    """A thing nobody has a word for, of up to two colors."""
    makers = (_lathe, _prism, _lump, _wire, _blocks)
    maker = makers[int(rng.integers(len(makers)))]
    finish = str(rng.choice(["matte", "satin", "gloss", "grain"]))
    parts = [Part(maker(rng), "main", finish)]
    if rng.uniform() < 0.35:
        low, high = parts[0].mesh.vertices.min(0), parts[0].mesh.vertices.max(0)
        middle = (low + high) / 2
        stud = cylinder(rng.uniform(0.004, 0.010), 0, rng.uniform(0.01, 0.03), segments=12)
        parts.append(Part(stud.moved(middle[0], middle[1], high[2] - 0.004), "accent", finish))
    if rng.uniform() < 0.4:
        parts = turned(parts, "x", float(rng.choice([90, 180, 270])))
    return settle(ODD, parts)


def gripper(rng: Rng) -> Shape:
    """Two fingers, palm, wrist and a long arm, pointing down: the finger tips are on z = 0, the arm goes up."""
    gap, finger = rng.uniform(0.012, 0.045), rng.uniform(0.045, 0.075)
    thick, broad = rng.uniform(0.008, 0.014), rng.uniform(0.014, 0.026)
    wide, deep, palm = rng.uniform(0.09, 0.13), rng.uniform(0.045, 0.065), rng.uniform(0.045, 0.075)
    wrist, link = rng.uniform(0.026, 0.036), rng.uniform(0.034, 0.050)
    body, joint = (str(r) for r in rng.choice(["main", "label", "dark", "steel", "button"], 2, replace=False))
    parts = []
    for side in (1, -1):
        x = side * (gap + thick) / 2
        parts.append(Part(rounded_box(thick, broad, finger, 0.002).moved(x), joint, "satin"))
        pad = box(0.002, broad * 0.9, finger * 0.45).moved(x - side * (thick / 2 + 0.0008), 0, 0.001)
        parts.append(Part(pad, "dark", "matte"))
        carriage = rounded_box(thick * 2.2, broad * 1.3, 0.018, 0.003).moved(x + side * thick * 0.5, 0, finger - 0.004)
        parts.append(Part(carriage, joint, "satin"))
    z = finger + 0.012
    parts.append(Part(rounded_box(wide, deep, palm, 0.008), body, "satin"))
    parts[-1] = Part(parts[-1].mesh.moved(0, 0, z), body, "satin")
    z += palm
    parts.append(Part(cylinder(wrist, z - 0.002, z + 0.03, bevel=0.002), joint, "satin"))
    parts.append(Part(cylinder(link, z + 0.03, z + 0.13, bevel=0.006), body, "satin"))
    parts.append(Part(cylinder(link * 1.03, z + 0.075, z + 0.085), "accent", "gloss"))
    parts.append(Part(cylinder(link * 0.8, z + 0.13, z + 0.16), joint, "satin"))
    parts.append(Part(cylinder(link, z + 0.16, z + 0.75, bevel=0.006), body, "satin"))
    return settle(GRIPPER, parts)
