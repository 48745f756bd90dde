# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Cutlery, hand tools and small devices: one builder a category. Long things lie along x."""

from __future__ import annotations

import numpy as np

from llavaseg_ros.training.scenes.meshes import (
    box,
    cylinder,
    ellipsoid,
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


def _mirror(half: np.ndarray) -> np.ndarray:
    """A closed counter-clockwise outline [2N, 2] from its lower half, (x, -y) by rising x."""
    return np.concatenate([half, half[::-1] * [1, -1]])


def phone(rng: Rng) -> list[Part]:
    """Thin flat rectangle, face down (camera block) or face up in a colored case."""
    w, d, h = rng.uniform(0.066, 0.076), rng.uniform(0.135, 0.155), rng.uniform(0.009, 0.012)
    body = rounded_box(w, d, h, 0.010, 0.0015)
    parts = [Part(body, "main", str(rng.choice(["satin", "gloss"])))]
    if rng.uniform() < 0.55:
        size = w * rng.uniform(0.36, 0.46)
        block = rounded_box(size, size * rng.uniform(1.0, 1.25), 0.002, 0.006).moved(-w * 0.2, d * 0.34, h)
        parts.append(Part(block, str(rng.choice(["shade", "dark", "main"])), "satin"))
        for dx, dy in ((-0.24, 0.2), (0.22, 0.2), (-0.24, -0.24)):
            lens = cylinder(size * 0.17, h + 0.002, h + 0.0035, segments=14)
            parts.append(Part(lens.moved(-w * 0.2 + dx * size, d * 0.34 + dy * size), "dark", "gloss"))
        parts.append(Part(cylinder(w * 0.09, h, h + 0.0004).moved(0, -d * 0.05), "metal", "satin"))
        return parts
    screen = rounded_box(w * 0.80, d * 0.84, 0.0006, 0.005, 0.0002).moved(0, 0, h)
    parts.append(Part(screen, "screen", "gloss"))
    if rng.uniform() < 0.6:
        icon = rounded_box(w * 0.13, w * 0.13, 0.0003, 0.002, 0.0001)
        icons = [icon.moved((i - 1.5) * w * 0.185, (j - 0.5) * w * 0.22, h + 0.0006)
                 for i in range(4) for j in range(-2, 4) if rng.uniform() < 0.8]
        if icons:
            parts.append(Part(merge(icons), "button", "satin"))
    return parts


def remote(rng: Rng) -> list[Part]:
    """Long narrow block with rows of buttons."""
    w, d, h = rng.uniform(0.038, 0.048), rng.uniform(0.140, 0.175), rng.uniform(0.015, 0.020)
    body = rounded_box(w, d, h, 0.008, 0.004)
    parts = [Part(body, "main", "satin")]
    rows = int(rng.integers(4, 6))
    buttons = []
    for i in range(3):
        for j in range(rows):
            shape = cylinder(w * 0.095, h, h + 0.003, segments=10) if rng.uniform() < 0.9 else (
                box(w * 0.2, w * 0.14, 0.003).moved(0, 0, h))
            buttons.append(shape.moved((i - 1) * w * 0.28, -d * 0.38 + j * d * 0.095))
    pad = lathe([(w * 0.17, h), (w * 0.17, h + 0.002), (w * 0.33, h + 0.002), (w * 0.33, h)][::-1], 20)
    buttons.append(pad.moved(0, d * 0.21))
    parts.append(Part(merge(buttons), "button" if rng.uniform() < 0.8 else "label", "satin"))
    parts.append(Part(cylinder(w * 0.12, h, h + 0.0035, segments=12).moved(-w * 0.26, d * 0.41), "red_button", "satin"))
    return parts


def scissors(rng: Rng) -> list[Part]:
    """Two crossing blades and two ring handles."""
    length, opening = rng.uniform(0.080, 0.105), rng.uniform(8, 24)
    handle, ring = rng.uniform(0.036, 0.046), rng.uniform(0.019, 0.024)
    thick = rng.uniform(0.0052, 0.0068)
    parts = []
    for sign in (1, -1):
        z = 0.004 if sign > 0 else 0.001
        outline = [(-0.012, -0.007), (length * 0.5, -0.006), (length, 0.004), (length * 0.55, 0.009), (-0.012, 0.007)]
        if sign < 0:
            outline = [(x, -y) for x, y in outline][::-1]
        blade = prism(outline, z, z + 0.003)
        shank = tube([(-0.010, 0, 0.004), (-handle * 0.6, -sign * 0.006, 0.0045), (-handle, -sign * 0.008, 0.005)],
                     [thick * 0.9, thick, thick])
        a = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        stretch = rng.uniform(1.15, 1.5)
        loop = np.column_stack([-handle - ring * stretch * (1 - np.cos(a)) + 0.003, -sign * 0.012 + ring * np.sin(a),
                                np.full(24, 0.005)])
        eye = tube(loop, thick, closed=True, sides=10)
        turn = sign * opening / 2
        parts.append(Part(blade.turned("z", turn), "metal", "metal"))
        parts.append(Part(merge([shank, eye]).turned("z", turn * 1.5 + sign * 8), "main", "satin"))
    parts.append(Part(cylinder(0.0045, 0.0, 0.0085, segments=14), "steel", "metal"))
    return parts


def _cutlery_roles(rng: Rng) -> tuple[str, str]:
    """Roles of head and handle: all of one color (plastic, or plain metal when the color is gray), or a metal head."""
    return ("main", "satin") if rng.uniform() < 0.5 else ("metal", "metal")


def _handle(rng: Rng, x0: float, x1: float, width: float) -> Part:
    points = [(x0, -width * 0.75), (x0 * 0.6 + x1 * 0.4, -width), (x1 - 0.006, -width * 0.55), (x1, -width * 0.4)]
    half = smooth(points, 10)
    return Part(prism(_mirror(half), 0.0, rng.uniform(0.006, 0.010)), "main", "satin")


def knife(rng: Rng) -> list[Part]:
    """Flat pointed blade, thicker handle."""
    blade, handle = rng.uniform(0.100, 0.130), rng.uniform(0.085, 0.105)
    width = rng.uniform(0.010, 0.015)
    curve = smooth([(0.0, -width), (blade * 0.6, -width), (blade * 0.9, -width * 0.4), (blade, width * 0.75)], 12)
    edge = np.concatenate([curve, [(blade * 0.9, width * 0.9), (0.0, width * 0.9)]])
    parts = [
        Part(prism(edge, 0.003, 0.0055), "metal", "metal"),
        Part(rounded_box(0.006, width * 1.9, 0.011, 0.001).moved(0, 0, 0), "steel", "metal"),
    ]
    grip = loft(np.array([
        np.column_stack([np.full(16, x), (rounded_rectangle(2 * w, t, 0.004)) + [0, 0.0055]])
        for x, w, t in ((-handle, width * 0.75, 0.011), (-handle * 0.97, width * 0.9, 0.013),
                        (-handle * 0.5, width * 0.72, 0.013), (-0.004, width * 0.85, 0.012))]))
    parts.append(Part(grip, "main", "satin"))
    if rng.uniform() < 0.6:
        rivets = [cylinder(0.0022, 0.0, 0.0128, segments=8).moved(-handle * f) for f in (0.25, 0.5, 0.75)]
        parts.append(Part(merge(rivets), "metal", "metal"))
    return parts


def fork(rng: Rng) -> list[Part]:
    """Handle, neck, and three or four tines, bent as forks are."""
    role, finish = _cutlery_roles(rng)
    width, tine, back = rng.uniform(0.013, 0.016), rng.uniform(0.042, 0.050), rng.uniform(0.026, 0.032)
    count = int(rng.integers(3, 5))
    handle = rng.uniform(0.095, 0.115)
    neck = 0.038
    half = smooth([(-neck, -0.0035), (-0.008, -0.0038), (back * 0.4, -width * 0.85), (back, -width)], 10)
    pitch = 2 * width / (count - 0.45)
    tines = []
    for i in range(count):
        y = -width + pitch * i
        tines.append(prism([(back - 0.003, y), (back + tine * 0.8, y), (back + tine, y + pitch * 0.18),
                            (back + tine, y + pitch * 0.37), (back + tine * 0.8, y + pitch * 0.55),
                            (back - 0.003, y + pitch * 0.55)], 0, 0.003))
    head = merge([prism(_mirror(half), 0, 0.003), *tines])
    bend = [(-neck, 0.004), (0, 0.011), (back, 0.0035), (back + tine * 0.6, 0.001), (back + tine, 0.009)]
    return [Part(head.bent(bend), role, finish),
            _handle(rng, -neck - handle, -neck + 0.003, rng.uniform(0.0075, 0.0095))]


def spoon(rng: Rng) -> list[Part]:
    """Handle, neck, and an oval bowl."""
    role, finish = _cutlery_roles(rng)
    rx, ry, depth = rng.uniform(0.029, 0.034), rng.uniform(0.019, 0.023), rng.uniform(0.008, 0.011)
    handle, neck = rng.uniform(0.095, 0.115), 0.036
    t = np.linspace(0, 1, 7)
    profile = np.concatenate([
        np.column_stack([np.sin(t * np.pi / 2), 1 - np.cos(t * np.pi / 2)]),
        [[0.93, 1.03]],
        np.column_stack([0.92 * np.sin(t * np.pi / 2), 1 - 0.86 * np.cos(t * np.pi / 2)])[::-1],
    ])
    oval = lathe(profile, 28).scaled(rx, ry, depth).moved(rx * 0.93)
    half = smooth([(-neck, -0.0036), (-0.006, -0.0034), (0.004, -0.006)], 8)
    stalk = prism(_mirror(half), 0, 0.003).bent([(-neck, 0.002), (-0.01, 0.010), (0.004, depth * 0.85)])
    return [Part(merge([oval, stalk]), role, finish),
            _handle(rng, -neck - handle, -neck + 0.003, rng.uniform(0.0075, 0.0095))]


def hammer(rng: Rng) -> list[Part]:
    """A long handle, a steel head across its end: a face on one side, a claw on the other."""
    length, r = rng.uniform(0.180, 0.215), rng.uniform(0.0095, 0.012)
    z = 0.016
    grip = length * rng.uniform(0.5, 0.62)
    handle = tube([(-length, 0, z), (-length * 0.97, 0, z), (-length + grip * 0.5, 0, z), (-length + grip, 0, z)],
                  [r * 1.0, r * 1.3, r * 1.15, r * 1.2], squash=0.85)
    shaft = tube([(-length + grip - 0.004, 0, z), (0.010, 0, z)], [r * 0.95, r * 0.85], squash=0.85)
    face = lathe([(0, 0), (0.0135, 0), (0.0145, 0.002), (0.0145, 0.014), (0.0095, 0.020), (0.0105, 0.045), (0, 0.045)],
                 20).turned("x", 90).moved(0, 0.052, z)
    claw = []
    for sign in (1, -1):
        path = smooth([(0, 0, z), (sign * 0.002, -0.025, z), (sign * 0.006 - 0.004, -0.045, z - 0.004),
                       (sign * 0.008 - 0.014, -0.060, z - 0.010)], 8)
        claw.append(tube(path, [0.0085, 0.0082, 0.0078, 0.0072, 0.0066, 0.006, 0.005, 0.0035], sides=8))
    head = merge([face, *claw, rounded_box(0.022, 0.026, 0.024, 0.003).moved(0, 0, z - 0.012)])
    shaft_role = "main" if rng.uniform() < 0.4 else str(rng.choice(["wood", "steel"]))
    return [Part(handle, "main", "satin"), Part(shaft, shaft_role, "satin"), Part(head, "steel", "metal")]


def screwdriver(rng: Rng) -> list[Part]:
    """Thick fluted handle, thin steel shaft."""
    handle, shaft, r = rng.uniform(0.080, 0.100), rng.uniform(0.080, 0.115), rng.uniform(0.013, 0.0165)
    profile = smooth([(0.7 * r, 0.001), (r, handle * 0.14), (r * 0.96, handle * 0.6), (r * 0.62, handle * 0.83),
                      (r * 0.8, handle * 0.95), (r * 0.6, handle)], 16)
    grip = lathe(np.concatenate([[(0, 0)], profile, [(0, handle)]]), 24)
    flutes = 1 - 0.10 * (np.cos(6 * np.arctan2(grip.vertices[:, 1], grip.vertices[:, 0])) > 0.2)
    grip.vertices[:, :2] *= flutes[:, None]
    rod = cylinder(0.0042, handle - 0.002, handle + shaft, segments=12)
    flat = rng.uniform() < 0.5
    end = handle + shaft
    if flat:
        blade = ((0.008, 0.008, end - 0.003), (0.013, 0.003, end + 0.012))
        tip = loft(np.array([np.column_stack([rounded_rectangle(a, b, 0.001), np.full(16, z)]) for a, b, z in blade]))
    else:
        tip = lathe([(0.0042, end), (0.0012, end + 0.011), (0, end + 0.011)], 12)
    parts = [Part(grip, "main", "gloss"), Part(merge([rod, tip]), "metal", "metal")]
    if rng.uniform() < 0.7:
        ring = lathe([(r * 0.9, handle * 0.06), (r * 1.04, handle * 0.10), (r * 1.04, handle * 0.16),
                      (r * 0.9, handle * 0.2)])
        parts.append(Part(ring, str(rng.choice(["dark", "accent", "shade"])), "satin"))
    return turned(parts, "y", 90)


def wrench(rng: Rng) -> list[Part]:
    """A flat bar with an open jaw at one end and a ring, or another jaw, at the other."""
    length, width = rng.uniform(0.120, 0.160), rng.uniform(0.0085, 0.0105)
    head, thick = rng.uniform(0.019, 0.023), rng.uniform(0.007, 0.010)
    mouth, depth = head * rng.uniform(0.42, 0.52), head * 0.25
    a = np.linspace(np.arcsin(0.45), np.pi - np.arcsin(mouth / head), 9)
    # The jaw, mouth towards +x: around the head, then into the mouth and out again.
    upper = np.column_stack([-np.cos(a) * head, np.sin(a) * head])
    notch = np.array([(head * 0.82, mouth), (-depth, mouth), (-depth - mouth * 0.5, 0), (-depth, -mouth),
                      (head * 0.82, -mouth)])
    jaw_outline = np.concatenate([upper, notch, (upper * [1, -1])[::-1]])[::-1]
    jaw = prism(jaw_outline, 0, thick).turned("z", rng.uniform(8, 18)).moved(head * 0.8)
    bar = rounded_box(length, 2 * width, thick * 0.8, 0.003, 0.001).moved(-length / 2 + 0.002, 0, thick * 0.1)
    end_x = -length - head * 0.55
    if rng.uniform() < 0.6:
        r = head * 0.88
        end = lathe([(r * 0.58, 0), (r, 0), (r, thick), (r * 0.58, thick), (r * 0.58, 0)], 24).moved(end_x)
    else:
        end = prism(jaw_outline, 0, thick).scaled(0.85, 0.85, 1).turned("z", 180 + rng.uniform(8, 18)).moved(end_x)
    groove = rounded_box(length * 0.5, width * 0.9, 0.0006, 0.002, 0.0002).moved(-length / 2, 0, thick * 0.9)
    return [Part(merge([jaw, bar, end]), "main", "metal"), Part(groove, "shade", "satin")]


def pen(rng: Rng) -> list[Part]:
    """A thin stick with a cap or a tip, and a clip."""
    r, length = rng.uniform(0.0058, 0.0072), rng.uniform(0.135, 0.155)
    body = lathe([(0, 0), (r * 0.85, 0), (r, 0.002), (r, length), (0, length)], 14)
    parts = [Part(body, "main", "gloss")]
    if rng.uniform() < 0.5:
        cap = lathe([(r, length * 0.62), (r * 1.18, length * 0.62), (r * 1.18, length), (r * 0.8, length + 0.003),
                     (0, length + 0.003)], 14)
        parts.append(Part(cap, str(rng.choice(["main", "shade", "accent"])), "gloss"))
        clip_z, clip_r = length * 0.70, r * 1.18
    else:
        tip = lathe([(r, 0), (r * 0.25, -0.016), (0, -0.016)][::-1], 14)
        parts.append(Part(tip, "metal", "metal"))
        parts.append(Part(cylinder(r * 0.5, length, length + 0.010, segments=10), "metal", "metal"))
        clip_z, clip_r = length * 0.74, r
    clip = box(0.0016, 0.0032, length * 0.26).moved(clip_r + 0.0016, 0, clip_z)
    parts.append(Part(clip, "metal", "metal"))
    return turned(turned(parts, "z", rng.uniform(-80, 80)), "y", 90)


def flashlight(rng: Rng) -> list[Part]:
    """A lying tube with a wide head and a bright lens."""
    r, length, head = rng.uniform(0.0135, 0.018), rng.uniform(0.090, 0.120), rng.uniform(0.022, 0.029)
    wide = r + head * rng.uniform(0.32, 0.45)
    body = lathe([(0, 0), (r * 0.9, 0), (r, 0.003), (r, length), (wide, length + head * 0.7),
                  (wide, length + head * 1.3), (wide * 0.88, length + head * 1.3), (wide * 0.86, length + head * 1.2)])
    lens = lathe([(wide * 0.87, length + head * 1.24), (0, length + head * 1.24)])
    rings = [lathe([(r, z), (r + 0.0014, z + 0.001), (r + 0.0014, z + 0.005), (r, z + 0.006)]) for z in
             np.linspace(length * 0.12, length * 0.45, 4)]
    parts = [Part(body, "main", "satin"), Part(lens, "lens", "flame"),
             Part(merge(rings), str(rng.choice(["dark", "shade", "metal"])), "satin"),
             Part(ellipsoid(0.003, 0.0055, 0.008, 12).moved(-r, 0, length * 0.72), "red_button", "satin")]
    # The button, at -x, comes out on top when the tube is laid down along x.
    return turned(parts, "y", 90)


BUILDERS: dict[str, Builder] = {
    "phone": phone, "remote": remote, "scissors": scissors, "knife": knife, "fork": fork, "spoon": spoon,
    "hammer": hammer, "screwdriver": screwdriver, "wrench": wrench, "pen": pen, "flashlight": flashlight,
}
