# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Things to eat and drink from, and packed food: one builder a category."""

from __future__ import annotations

import numpy as np

from llavaseg_ros.training.scenes.meshes import (
    Mesh,
    box,
    cylinder,
    lathe,
    loft,
    merge,
    prism,
    rounded_box,
    rounded_rectangle,
    smooth,
    tube,
)
from llavaseg_ros.training.scenes.parts import Builder, Part, turned

Rng = np.random.Generator


def _finish(rng: Rng) -> str:
    return str(rng.choice(["matte", "satin", "gloss"]))


def _vessel(outside: np.ndarray, wall: float, floor: float) -> tuple[Mesh, Mesh]:
    """Outer and inner skin of an open vessel from its outer profile [N, 2] (radius, z), bottom first."""
    bottom, top = outside[0], outside[-1]
    lip = [[top[0], top[1]], [top[0] - wall * 0.3, top[1] + wall * 0.5], [top[0] - wall, top[1]]]
    outer = lathe(np.concatenate([[[0, bottom[1]]], outside, lip]))
    inside = outside[outside[:, 1] > floor][::-1] - [wall, 0]
    inside[:, 0] = inside[:, 0].clip(0.001)
    inner = lathe(np.concatenate([[lip[-1]], inside, [[inside[-1][0] * 0.9, floor], [0, floor]]]))
    return outer, inner


def _band(radius_low: float, radius_high: float, z0: float, z1: float, gap: float = 0.0006) -> Mesh:
    """A strip around a cylinder or cone, a little proud of it."""
    return lathe([(radius_low, z0), (radius_low + gap, z0), (radius_high + gap, z1), (radius_high, z1)])


def mug(rng: Rng) -> list[Part]:
    """Cylinder with a handle."""
    r, h = rng.uniform(0.037, 0.047), rng.uniform(0.080, 0.110)
    bulge, taper = rng.uniform(-0.004, 0.006), rng.uniform(0.86, 1.03)
    t = np.linspace(0, 1, 10)
    radius = r * (taper + (1 - taper) * t) + bulge * np.sin(np.pi * t)
    outside = np.column_stack([radius, h * t])
    outer, inner = _vessel(outside, 0.0035, 0.006)
    size = h * rng.uniform(0.30, 0.38)
    a = np.linspace(-np.pi / 2, np.pi / 2, 14)
    reach = rng.uniform(0.024, 0.033)
    squareness = rng.uniform(0.6, 1.0)
    x = reach * np.sign(np.cos(a)) * np.abs(np.cos(a)) ** squareness
    z = size * np.sign(np.sin(a)) * np.abs(np.sin(a)) ** squareness
    root = np.interp(h * 0.5 + z, outside[:, 1], outside[:, 0]) - 0.002
    handle = tube(np.column_stack([root + x, np.zeros(14), h * 0.5 + z]), rng.uniform(0.0045, 0.0062), squash=1.3)
    finish = _finish(rng)
    parts = [
        Part(merge([outer, handle]), "main", finish),
        Part(inner, "main" if rng.uniform() < 0.70 else "paper", finish),
    ]
    if rng.uniform() < 0.35:
        z0 = rng.uniform(0.2, 0.7)
        z1 = z0 + rng.uniform(0.08, 0.2)
        low, high = np.interp([z0, z1], t, radius)
        parts.append(Part(_band(low, high, z0 * h, z1 * h), "accent", finish))
    return parts


def cup(rng: Rng) -> list[Part]:
    """Tapered, no handle: a paper or plastic cup."""
    r, h = rng.uniform(0.036, 0.045), rng.uniform(0.085, 0.125)
    taper = rng.uniform(0.62, 0.76)
    t = np.linspace(0, 1, 6)
    radius = r * (taper + (1 - taper) * t)
    outer, inner = _vessel(np.column_stack([radius, h * t]), 0.002, 0.005)
    finish = _finish(rng)
    lip = tube([(r * np.cos(a), r * np.sin(a), h) for a in np.linspace(0, 2 * np.pi, 28, endpoint=False)], 0.0017,
               sides=8, closed=True)
    parts = [
        Part(merge([outer, lip]), "main", finish),
        Part(inner, "main" if rng.uniform() < 0.6 else "paper", finish),
    ]
    style = rng.uniform()
    if style < 0.3:
        z = rng.uniform(0.3, 0.6)
        low, high = np.interp([z, z + 0.22], t, radius)
        parts.append(Part(_band(low, high, z * h, (z + 0.22) * h), "accent", finish))
    if rng.uniform() < 0.12:
        parts = turned(parts, "x", 180)
    return parts


def bowl(rng: Rng) -> list[Part]:
    """Round and deep."""
    r, h = rng.uniform(0.060, 0.088), rng.uniform(0.042, 0.062)
    foot = rng.uniform(0.4, 0.55)
    power = rng.uniform(1.6, 2.6)
    t = np.linspace(0, 1, 12)
    radius = r * (foot + (1 - foot) * (1 - (1 - t) ** power))
    outer, inner = _vessel(np.column_stack([radius, h * t]), 0.003, 0.006)
    finish = _finish(rng)
    parts = [Part(outer, "main", finish), Part(inner, "main" if rng.uniform() < 0.85 else "paper", finish)]
    if rng.uniform() < 0.3:
        low, high = np.interp([0.8, 0.95], t, radius)
        parts.append(Part(_band(low, high, 0.8 * h, 0.95 * h), "accent", finish))
    return parts


def plate(rng: Rng) -> list[Part]:
    """Round and flat, with a rim."""
    r, h = rng.uniform(0.080, 0.115), rng.uniform(0.013, 0.020)
    well = rng.uniform(0.60, 0.72) * r
    finish = _finish(rng)
    outside = [(0, 0), (well * 0.95, 0), (well * 1.05, 0.003), (r * 0.99, h - 0.002), (r, h)]
    rim = [(r, h), (r - 0.003, h + 0.0015), (well * 1.12, 0.0075)]
    parts = [Part(lathe([*outside, *rim], 40), "main", finish)]
    ring_in = well * 1.12
    parts.append(Part(lathe([(ring_in, 0.0075), (well, 0.0048), (0, 0.0048)], 40), "main", finish))
    if rng.uniform() < 0.35:
        a, b = 0.9, 0.97
        za, zb = (0.0075 + (h + 0.0015 - 0.0075) * f for f in ((a * r - ring_in) / (r - 0.003 - ring_in),
                                                               (b * r - ring_in) / (r - 0.003 - ring_in)))
        parts.append(Part(lathe([(b * r, zb + 0.0006), (a * r, za + 0.0006)], 40), "accent", finish))
    return parts


def bottle(rng: Rng) -> list[Part]:
    """Tall, with a narrow neck, a cap and a label; sometimes lying."""
    r, h = rng.uniform(0.028, 0.038), rng.uniform(0.185, 0.245)
    neck, shoulder = r * rng.uniform(0.32, 0.42), rng.uniform(0.55, 0.70)
    body = [(0, 0), (r * 0.9, 0), (r, 0.004), (r, h * shoulder)]
    curve = smooth([(r, h * shoulder), (r * 0.85, h * (shoulder + 0.07)), (neck * 1.1, h * (shoulder + 0.19)),
                    (neck, h * 0.93), (neck, h * 0.95)], 12)
    finish = str(rng.choice(["satin", "gloss", "gloss"]))
    parts = [
        Part(lathe(np.concatenate([body, curve, [(0, h * 0.95)]])), "main", finish),
        Part(cylinder(neck * 1.25, h * 0.92, h, bevel=0.001), "accent2", "satin"),
    ]
    if rng.uniform() < 0.75:
        z0 = h * rng.uniform(0.10, 0.22)
        parts.append(Part(_band(r, r, z0, z0 + h * rng.uniform(0.16, 0.28)), "label", "matte"))
    if rng.uniform() < 0.22:
        parts = turned(parts, "y", 90)
    return parts


def can(rng: Rng) -> list[Part]:
    """Drink or food can: metal ends, colored side."""
    tall = rng.uniform() < 0.65
    r, h = (rng.uniform(0.030, 0.034), rng.uniform(0.105, 0.125)) if tall else (
        rng.uniform(0.036, 0.044), rng.uniform(0.075, 0.105))
    neck = 0.85 if tall else 0.98
    side = lathe([(r * neck, 0.005), (r, 0.011), (r, h - 0.012), (r * neck, h - 0.004)])
    ends = [
        lathe([(0, 0.002), (r * neck * 0.9, 0), (r * neck, 0.005)]),
        lathe([(r * neck, h - 0.004), (r * neck + 0.0008, h), (r * neck - 0.0018, h), (r * neck - 0.003, h - 0.003),
               (0, h - 0.003)]),
    ]
    tab = rounded_box(r * 0.75, r * 0.4, 0.0016, r * 0.18).moved(r * 0.18, 0, h - 0.0028)
    ends.append(tab)
    parts = [Part(side, "main", "gloss"), Part(merge(ends), "metal", "metal")]
    if rng.uniform() < 0.75:
        z0 = rng.uniform(0.2, 0.55) * h
        parts.append(Part(_band(r, r, z0, z0 + rng.uniform(0.1, 0.25) * h), "accent", "satin"))
    if not tall:
        ribs = [tube([(r * np.cos(a), r * np.sin(a), h * f) for a in np.linspace(0, 2 * np.pi, 28, endpoint=False)],
                     0.0012, sides=6, closed=True) for f in (0.12, 0.88)]
        parts.append(Part(merge(ribs), "metal", "metal"))
    if rng.uniform() < 0.22:
        parts = turned(parts, "y", 90)
    return parts


def wine_glass(rng: Rng) -> list[Part]:
    """A bowl on a thin stem on a foot, of colored plastic or painted glass."""
    foot, h = rng.uniform(0.032, 0.038), rng.uniform(0.165, 0.200)
    stem = h * rng.uniform(0.42, 0.5)
    r = rng.uniform(0.034, 0.042)
    lower = [(0, 0), (foot, 0), (foot, 0.0025), (foot * 0.4, 0.006), (0.0048, 0.014), (0.0042, stem * 0.9)]
    cup_out = smooth([(0.0045, stem), (r * 0.75, stem + (h - stem) * 0.18), (r, stem + (h - stem) * 0.45),
                      (r * 0.92, stem + (h - stem) * 0.8), (r * rng.uniform(0.75, 0.9), h)], 14)
    cup_in = cup_out[::-1] - [0.0018, 0]
    cup_in[:, 0] = cup_in[:, 0].clip(0)
    cup_in[-1] = (0, stem + 0.004)
    return [Part(lathe(np.concatenate([lower, cup_out, cup_in])), "main", "gloss")]


def _panel(sx: float, sz: float, y: float, z: float) -> Mesh:
    """A thin upright rectangle facing -y at the plane y."""
    return box(sx, 0.0012, sz).moved(0, y, z)


def milk_carton(rng: Rng) -> list[Part]:
    """Square block with a gable roof."""
    w, body = rng.uniform(0.058, 0.072), rng.uniform(0.115, 0.155)
    roof, fin = w * rng.uniform(0.38, 0.5), rng.uniform(0.012, 0.018)
    gable = prism([(-w / 2, 0), (w / 2, 0), (0.0015, roof), (-0.0015, roof)], -w / 2, w / 2)
    gable = gable.turned("x", 90).moved(0, 0, body)
    top = box(0.003, w, fin).moved(0, 0, body + roof - 0.001)
    parts = [
        Part(box(w, w, body), "main", "satin"),
        Part(merge([gable, top]), str(rng.choice(["main", "label", "shade", "tint"])), "satin"),
    ]
    z0, size = body * rng.uniform(0.15, 0.35), body * rng.uniform(0.3, 0.45)
    for side in range(4):
        if side % 2 == 0 or rng.uniform() < 0.6:
            parts.append(Part(_panel(w * 0.72, size, -w / 2, z0).turned("z", 90 * side), "label", "matte"))
            parts.append(Part(_panel(w * 0.45, size * 0.35, -w / 2 - 0.0008, z0 + size * 0.3).turned("z", 90 * side),
                              "accent", "matte"))
    if rng.uniform() < 0.6:
        cap = cylinder(w * 0.17, 0, 0.012).turned("y", 45).moved(w * 0.24, 0, body + roof * 0.52)
        parts.append(Part(cap, "accent2", "satin"))
    return parts


def cereal_box(rng: Rng) -> list[Part]:
    """Tall flat box with a big picture on both faces."""
    w, d, h = rng.uniform(0.115, 0.145), rng.uniform(0.036, 0.050), rng.uniform(0.165, 0.205)
    parts = [Part(box(w, d, h), "main", "satin")]
    for side in (0, 180):
        banner = _panel(w * 0.8, h * 0.18, -d / 2, h * 0.74).turned("z", side)
        parts.append(Part(banner, "label", "satin"))
        word = _panel(w * 0.6, h * 0.07, -d / 2 - 0.0008, h * 0.795).turned("z", side)
        parts.append(Part(word, "accent", "satin"))
        oval = cylinder(1.0, 0, 0.0012).scaled(w * 0.36, h * 0.16, 1).turned("x", 90).moved(0, -d / 2, h * 0.32)
        parts.append(Part(oval.turned("z", side), "label", "satin"))
        half = prism([(-0.26 * w, 0), (0, -0.08 * h), (0.26 * w, 0)], 0, 0.0008).turned("x", 90)
        parts.append(Part(half.moved(0, -d / 2 - 0.0012, h * 0.34).turned("z", side), "accent2", "satin"))
        dots = [cylinder(w * 0.045, 0, 0.0008, segments=8).turned("x", 90).moved(x * w, -d / 2 - 0.0012, h * 0.37)
                for x in (-0.14, 0.0, 0.14)]
        parts.append(Part(merge(dots).turned("z", side), "cardboard", "matte"))
    parts.append(Part(_panel(d * 0.6, h * 0.4, -w / 2, h * 0.2).turned("z", 90), "label", "matte"))
    return parts


def carton_box(rng: Rng) -> list[Part]:
    """A block with a lid and a strip of tape, or a ribbon."""
    w, d, h = rng.uniform(0.075, 0.115), rng.uniform(0.065, 0.095), rng.uniform(0.05, 0.085)
    lid = h * rng.uniform(0.22, 0.35)
    parts = [
        Part(box(w, d, h), "main", "matte"),
        Part(box(w + 0.005, d + 0.005, lid).moved(0, 0, h - lid + 0.002), "main" if rng.uniform() < 0.6 else "shade",
             "matte"),
    ]
    strip = rng.uniform(0.010, 0.018)
    top = h + 0.0022
    parts.append(Part(box(w + 0.0065, strip, lid + 0.001).moved(0, 0, top - lid), "label", "satin"))
    if rng.uniform() < 0.45:
        parts.append(Part(box(strip, d + 0.0065, lid + 0.0012).moved(0, 0, top - lid), "label", "satin"))
    return parts


def tape_roll(rng: Rng) -> list[Part]:
    """A ring: tape around a cardboard core, lying or standing."""
    r, w = rng.uniform(0.030, 0.042), rng.uniform(0.018, 0.032)
    core = r * rng.uniform(0.62, 0.72)
    ring = lathe([(core, 0), (r - 0.001, 0), (r, 0.001), (r, w - 0.001), (r - 0.001, w), (core, w)], 36)
    inner = lathe([(core, w), (core, w + 0.0005), (core - 0.003, w + 0.0005), (core - 0.003, 0), (core, 0)], 36)
    parts = [Part(ring, "main", "gloss"), Part(inner, "cardboard", "matte")]
    if rng.uniform() < 0.3:
        parts = turned(parts, "x", 90)
    return parts


def candle(rng: Rng) -> list[Part]:
    """Wax cylinder with a wick, mostly burning, sometimes on a dish."""
    r, h = rng.uniform(0.022, 0.032), rng.uniform(0.055, 0.115)
    parts = [
        Part(lathe([(0, 0), (r, 0), (r, h - 0.002), (r * 0.93, h), (r * 0.8, h - 0.004), (0, h - 0.006)]), "main",
             "satin"),
        Part(tube([(0, 0, h - 0.008), (0.0005, 0, h + 0.004), (0.002, 0, h + 0.011)], 0.0013, sides=8), "dark",
             "matte"),
    ]
    if rng.uniform() < 0.65:
        flame = lathe(smooth([(0, 0), (0.0055, 0.007), (0.0045, 0.014), (0.0, 0.027)], 12).clip(0), 14)
        parts.append(Part(flame.moved(0.001, 0, h + 0.003), "flame", "flame"))
    if rng.uniform() < 0.3:
        dish = lathe([(0, -0.004), (r * 1.45, -0.004), (r * 1.6, 0.003), (r * 1.5, 0.003), (r * 1.4, -0.001),
                      (0, -0.001)])
        parts.append(Part(dish, str(rng.choice(["metal", "dark", "label"])), "metal"))
    return parts


def book(rng: Rng) -> list[Part]:
    """Flat rectangle: cover, spine, pages, a title."""
    w, d, h = rng.uniform(0.105, 0.135), rng.uniform(0.150, 0.190), rng.uniform(0.016, 0.034)
    cover = 0.0025
    spine = box(0.004, d, h).moved(-w / 2 + 0.002, 0, 0)
    sides = [box(w, d, cover), box(w, d, cover).moved(0, 0, h - cover)]
    parts = [
        Part(merge([*sides, spine]), "main", str(rng.choice(["matte", "satin"]))),
        Part(box(w - 0.008, d - 0.010, h - 2 * cover).moved(0.000, 0, cover), "paper", "matte"),
    ]
    style = rng.uniform()
    if style < 0.8:
        title = box(w * rng.uniform(0.5, 0.7), d * rng.uniform(0.10, 0.18), 0.0006)
        parts.append(Part(title.moved(0, d * rng.uniform(0.18, 0.3), h), "label", "satin"))
    if style < 0.45:
        picture = cylinder(w * rng.uniform(0.16, 0.26), 0, 0.0006)
        parts.append(Part(picture.moved(0, -d * 0.15, h), "accent", "satin"))
    elif style < 0.6:
        parts.append(Part(box(w * 0.9, 0.005, 0.0006).moved(0, -d * 0.38, h), "accent", "satin"))
    return parts


def sponge(rng: Rng) -> list[Part]:
    """Soft block with pores and often a scouring pad."""
    w, d, h = rng.uniform(0.090, 0.115), rng.uniform(0.060, 0.075), rng.uniform(0.026, 0.036)
    waist = rng.uniform(0.0, 0.012)
    outline = rounded_rectangle(w, d, 0.010, 5)
    outline[:, 1] *= 1 - waist / (d / 2) * np.exp(-((outline[:, 0] / (0.25 * w)) ** 2))
    layers = [(0.97, 0.0), (1.0, 0.004), (1.0, h - 0.004), (0.97, h)]
    body = loft(np.array([np.column_stack([outline * s, np.full(len(outline), z)]) for s, z in layers]))
    parts = [Part(body, "main", "grain")]
    pad = rng.uniform() < 0.55
    if pad:
        ring = np.array([np.column_stack([outline * s, np.full(len(outline), z)])
                         for s, z in ((1.0, h), (1.0, h + 0.007), (0.98, h + 0.009))])
        parts.append(Part(loft(ring), str(rng.choice(["leaf", "steel", "shade"])), "grain"))
        if rng.uniform() < 0.75:
            parts = turned(parts, "x", 180)
    pores = []
    flipped = pad and parts[0].mesh.vertices[:, 2].min() < -0.001
    top = 0.0 if flipped else h + (0.009 if pad else 0.0)
    for _ in range(26):
        x, y = rng.uniform(-0.44, 0.44) * w, rng.uniform(-0.36, 0.36) * d
        pores.append(cylinder(rng.uniform(0.0012, 0.0028), top, top + 0.0004, segments=7).moved(x, y))
    if not pad or flipped:
        parts.append(Part(merge(pores), "shade", "matte"))
    return parts


BUILDERS: dict[str, Builder] = {
    "mug": mug, "cup": cup, "bowl": bowl, "plate": plate, "bottle": bottle, "can": can, "wine glass": wine_glass,
    "box": carton_box, "milk carton": milk_carton, "cereal box": cereal_box, "book": book, "sponge": sponge,
    "candle": candle, "tape roll": tape_roll,
}
