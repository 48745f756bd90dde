# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Kinds that no training scene shows, for tests with things never seen: one builder a category."""

from __future__ import annotations

import numpy as np

from llavaseg_ros.training.scenes.meshes import (
    Mesh,
    cylinder,
    ellipsoid,
    lathe,
    merge,
    prism,
    smooth,
    tube,
)
from llavaseg_ros.training.scenes.parts import Builder, Part, turned

Rng = np.random.Generator


def _finish(rng: Rng) -> str:
    return str(rng.choice(["matte", "satin", "gloss"]))


def _inside(outside: np.ndarray, wall: float, floor: float) -> Mesh:
    """The inner skin below the rim of an open vessel, from its outer profile [N, 2] (radius, z), bottom first."""
    inner = outside[outside[:, 1] > floor][::-1] - [wall, 0]
    inner[:, 0] = inner[:, 0].clip(0.001)
    return lathe(np.concatenate([[outside[-1]], inner, [[0, floor]]]))


def teapot(rng: Rng) -> list[Part]:
    """A round belly, a spout on one side, a looped handle on the other, and a lid with a knob."""
    r, h = rng.uniform(0.054, 0.068), rng.uniform(0.082, 0.105)
    body = smooth([(0.55 * r, 0), (0.62 * r, 0.02 * h), (0.97 * r, 0.33 * h), (0.96 * r, 0.55 * h),
                   (0.62 * r, 0.88 * h), (0.50 * r, 0.93 * h)], 18)
    belly = lathe(np.concatenate([[(0, 0)], body]), 32)
    dome = smooth([(0.56 * r, 0.92 * h), (0.52 * r, 0.98 * h), (0.25 * r, 1.06 * h), (0, 1.08 * h)], 10)
    lid = lathe(dome.clip(0), 28)
    knob = ellipsoid(0.15 * r, 0.15 * r, 0.14 * r, 16).moved(0, 0, 1.16 * h)
    spout = tube(smooth([(0.75 * r, 0, 0.30 * h), (1.25 * r, 0, 0.42 * h), (1.45 * r, 0, 0.72 * h),
                         (1.72 * r, 0, 0.95 * h)], 12), np.linspace(0.26, 0.11, 12) * r, sides=14)
    a = np.linspace(-1.9, 1.9, 16)
    reach = rng.uniform(0.48, 0.68) * r
    handle = tube(np.column_stack([-0.86 * r - reach * (np.cos(a) + 0.3), np.zeros(16),
                                   0.55 * h + 0.36 * h * np.sin(a)]), 0.085 * r, squash=1.3)
    finish = _finish(rng)
    lid_role = "main" if rng.uniform() < 0.75 else "shade"
    return [Part(merge([belly, spout, handle]), "main", finish), Part(merge([lid, knob]), lid_role, finish)]


def vase(rng: Rng) -> list[Part]:
    """A belly, a narrow neck, a wide lip, sometimes a painted band."""
    r, h = rng.uniform(0.042, 0.058), rng.uniform(0.150, 0.205)
    neck = rng.uniform(0.30, 0.42)
    outside = smooth([(0.55 * r, 0), (0.72 * r, 0.08 * h), (r, 0.32 * h), (0.84 * r, 0.52 * h), (neck * r, 0.74 * h),
                      (neck * r, 0.84 * h), (0.78 * r, h)], 26)
    finish = _finish(rng)
    parts = [Part(lathe(np.concatenate([[(0, 0)], outside]), 32), "main", finish),
             Part(_inside(outside, 0.003, 0.6 * h), "shade", finish)]
    if rng.uniform() < 0.4:
        z = np.linspace(0.27, 0.38, 5) * h
        band = np.column_stack([np.interp(z, outside[:, 1], outside[:, 0]) + 0.0007, z])
        parts.append(Part(lathe(band, 32), "accent", finish))
    return parts


def funnel(rng: Rng) -> list[Part]:
    """A cone with a thin pipe, standing on its wide rim."""
    r, cone, pipe = rng.uniform(0.046, 0.060), rng.uniform(0.050, 0.070), rng.uniform(0.045, 0.065)
    thin = r * rng.uniform(0.13, 0.18)
    tall = cone + pipe
    skin = [(r, 0), (r * 1.04, 0.001), (r * 1.04, 0.005), (r * 0.98, 0.006), (thin * 1.15, cone), (thin, cone + 0.006),
            (thin * 0.8, tall)]
    inside = [(thin * 0.8, tall), (thin * 0.6, tall), (thin * 0.8, cone), (r * 0.94, 0.004), (r, 0)]
    finish = _finish(rng)
    lug = prism([(r, -0.008), (r + 0.02, -0.006), (r + 0.02, 0.006), (r, 0.008)], 0.001, 0.004)
    return [Part(merge([lathe(skin, 32), lug]), "main", finish), Part(lathe(inside, 32), "main", finish)]


def donut(rng: Rng) -> list[Part]:
    """A thick ring: dough below, icing above, often sprinkles."""
    r, thick = rng.uniform(0.030, 0.037), rng.uniform(0.0155, 0.019)

    def ring(start: float, stop: float, grown: float) -> Mesh:
        a = np.radians(np.linspace(start, stop, 14))
        return lathe(np.column_stack([r + (thick + grown) * np.cos(a), 0.85 * (thick + grown) * np.sin(a)]), 36)

    low = rng.uniform(-25, -5)
    parts = [Part(ring(low, 180 - low, 0.0008), "main", "gloss"), Part(ring(-182, 2, 0.0), "cardboard", "grain")]
    if rng.uniform() < 0.6:
        sprinkles = []
        for around, across in zip(rng.uniform(0, 360, 34), np.radians(rng.uniform(35, 145, 34)), strict=True):
            grain = ellipsoid(0.0028, 0.0010, 0.0010, 6).turned("z", rng.uniform(0, 180))
            out, up = r + (thick + 0.001) * np.cos(across), 0.85 * (thick + 0.001) * np.sin(across)
            sprinkles.append(grain.moved(out, 0, up).turned("z", around))
        parts.append(Part(merge(sprinkles), str(rng.choice(["label", "accent"])), "satin"))
    return parts


def hourglass(rng: Rng) -> list[Part]:
    """Two glass bulbs with sand between two discs held by three posts."""
    r, h = rng.uniform(0.027, 0.034), rng.uniform(0.095, 0.125)
    disc = 0.008
    mid, top = h / 2, h - disc
    half = smooth([(0.35 * r, disc), (0.78 * r, 0.2 * h), (0.70 * r, 0.33 * h), (0.12 * r, mid)], 10)
    other = (half * [1, -1] + [0, h])[::-1]
    ends = [cylinder(r, 0, disc, bevel=0.0015), cylinder(r, top, h, bevel=0.0015)]
    posts = [cylinder(0.0032, disc, top, segments=10).moved(0.82 * r).turned("z", 120 * k) for k in range(3)]
    sand = smooth([(0.36 * r, disc + 0.0005), (0.80 * r, 0.2 * h), (0.79 * r, 0.24 * h)], 6)
    return [Part(merge([*ends, *posts]), "main", _finish(rng)),
            Part(lathe(np.concatenate([half, other]), 26), "button", "gloss"),
            Part(lathe(np.concatenate([sand, [(0, 0.30 * h)]]), 26), "wood", "matte")]


def dumbbell(rng: Rng) -> list[Part]:
    """A short bar between two heavy ends, round or six-sided, lying along x."""
    r, end, grip = rng.uniform(0.026, 0.034), rng.uniform(0.030, 0.042), rng.uniform(0.055, 0.072)
    bar = cylinder(0.0085, -grip / 2 - 0.002, grip / 2 + 0.002, segments=18)
    sides = 6 if rng.uniform() < 0.6 else 28
    a = np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / 6
    outline = r * np.column_stack([np.cos(a), np.sin(a)])
    ends = []
    for z in (-grip / 2 - end, grip / 2):
        ends += [prism(outline, z + 0.003, z + end - 0.003), prism(outline * 0.88, z, z + end)]
    bar_role, finish = ("metal", "metal") if rng.uniform() < 0.6 else ("main", "satin")
    return turned([Part(merge(ends), "main", "satin"), Part(bar, bar_role, finish)], "y", 90)


BUILDERS: dict[str, Builder] = {
    "teapot": teapot, "vase": vase, "funnel": funnel, "donut": donut, "hourglass": hourglass, "dumbbell": dumbbell,
}
