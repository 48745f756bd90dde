# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Procedural table and floor textures, as uint8 [S, S, 3] RGB images that tile (roughly) at their borders."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

SIZE = 512
Rng = np.random.Generator
RGB = tuple[float, float, float]

WOODS: list[RGB] = [(0.62, 0.45, 0.28), (0.48, 0.31, 0.18), (0.72, 0.56, 0.38), (0.35, 0.22, 0.14), (0.66, 0.58, 0.48),
                    (0.55, 0.42, 0.32)]
PLAINS: list[RGB] = [(0.80, 0.78, 0.73), (0.62, 0.63, 0.64), (0.38, 0.40, 0.42), (0.22, 0.23, 0.25), (0.66, 0.60, 0.50),
                     (0.45, 0.52, 0.56), (0.52, 0.57, 0.48), (0.58, 0.48, 0.46), (0.30, 0.34, 0.42), (0.72, 0.70, 0.66)]
CLOTHS: list[RGB] = [(0.75, 0.72, 0.65), (0.42, 0.48, 0.55), (0.55, 0.42, 0.40), (0.45, 0.52, 0.42), (0.62, 0.60, 0.60),
                     (0.30, 0.32, 0.38), (0.78, 0.76, 0.74), (0.60, 0.52, 0.58)]


def noise(rng: Rng, cells_x: int, cells_y: int, octaves: int = 4) -> np.ndarray:
    """Smooth noise, float32 [SIZE, SIZE], mean about 0, standard deviation about 1, tiling at the borders."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for k in range(octaves):
        ny, nx = min(cells_y << k, SIZE), min(cells_x << k, SIZE)
        grid = rng.standard_normal((ny, nx)).astype(np.float32)
        if min(nx, ny) < 4:
            # Grown with a border to cut off, a coarse grid would be far larger than what is wanted of it.
            step = np.array([[nx / SIZE, 0, 0.5 * nx / SIZE - 0.5], [0, ny / SIZE, 0.5 * ny / SIZE - 0.5]])
            big = cv2.warpAffine(grid, step, (SIZE, SIZE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                                 borderMode=cv2.BORDER_WRAP)
            out += 0.55**k * big
            continue
        grid = np.pad(grid, 2, mode="wrap")
        big = cv2.resize(grid, (SIZE * (nx + 4) // nx, SIZE * (ny + 4) // ny), interpolation=cv2.INTER_CUBIC)
        oy, ox = 2 * SIZE // ny, 2 * SIZE // nx
        out += 0.55**k * big[oy : oy + SIZE, ox : ox + SIZE]
    return (out - out.mean()) / (out.std() + 1e-6)


def _pick(rng: Rng, palette: list[RGB], jitter: float = 0.05) -> np.ndarray:
    base = np.array(palette[int(rng.integers(len(palette)))])
    return np.clip(base + rng.uniform(-jitter, jitter) + rng.uniform(-jitter, jitter, 3) * 0.4, 0.08, 0.88)


def _paint(base: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """Colors `base` [3] lightened and darkened by `shade` [S, S]."""
    return base.astype(np.float32)[None, None] * (1 + shade[..., None])


def wood(rng: Rng) -> np.ndarray:
    """Planks with grain along x."""
    base = _pick(rng, WOODS)
    planks = int(rng.choice([1, 2, 4, 6]))
    out = np.zeros((SIZE, SIZE, 3))
    warp, fine, broad = noise(rng, 2, 6), noise(rng, 4, 128, 3), noise(rng, 1, 12, 3)
    y = np.arange(SIZE)[:, None]
    rings = np.sin((y / SIZE * rng.uniform(20, 60) + 1.6 * warp) * 2 * np.pi / 3)
    contrast = rng.uniform(0.4, 1.0)
    shade = contrast * (0.05 * rings + 0.05 * fine + 0.06 * broad)
    for k in range(planks):
        rows = slice(k * SIZE // planks, (k + 1) * SIZE // planks)
        tone = 1 + (rng.uniform(-0.12, 0.12) if planks > 1 else 0)
        out[rows] = _paint(base * tone, np.roll(shade, int(rng.integers(SIZE)), axis=1)[rows])
        if planks > 1:
            out[rows.start : rows.start + 2] *= 0.55
    return out


def tile(rng: Rng) -> np.ndarray:
    """Square tiles with grout."""
    count = int(rng.choice([2, 3, 4]))
    base = _pick(rng, PLAINS)
    other = _pick(rng, PLAINS) if rng.uniform() < 0.35 else base
    out = np.zeros((SIZE, SIZE, 3))
    speckle = noise(rng, 32, 32, 3) * 0.03 + noise(rng, 4, 4, 3) * 0.03
    edge = np.linspace(0, SIZE, count + 1).astype(int)
    grout = np.full(3, rng.uniform(0.3, 0.75))
    gap = int(rng.integers(3, 7))
    for i in range(count):
        for j in range(count):
            tone = (base if (i + j) % 2 == 0 else other) * (1 + rng.uniform(-0.04, 0.04))
            area = np.s_[edge[i] : edge[i + 1], edge[j] : edge[j + 1]]
            out[area] = _paint(tone, speckle[area])
            out[edge[i] : edge[i] + gap, edge[j] : edge[j + 1]] = grout
            out[edge[i] : edge[i + 1], edge[j] : edge[j] + gap] = grout
    return out


def cloth(rng: Rng) -> np.ndarray:
    """Woven cloth: plain, striped or checked."""
    base = _pick(rng, CLOTHS)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    threads = np.sin(x * np.pi / 2) * np.sin(y * np.pi / 2)
    weave = 0.05 * threads + 0.03 * noise(rng, 64, 64, 2) + 0.03 * noise(rng, 3, 3)
    out = _paint(base, weave)
    style = rng.uniform()
    if style < 0.55:
        other = _pick(rng, CLOTHS)
        period = SIZE // int(rng.choice([2, 4, 8]))
        width = rng.uniform(0.2, 0.5)
        mask = ((x % period) < width * period).astype(float)
        if style < 0.3:
            mask = (mask + ((y % period) < width * period)) / 2
        mask = 0.7 * mask[..., None]
        out = out * (1 - mask) + _paint(other, weave) * mask
    return out


def marble(rng: Rng) -> np.ndarray:
    """Light or dark stone with veins."""
    dark = rng.uniform() < 0.3
    base = np.full(3, rng.uniform(0.14, 0.26) if dark else rng.uniform(0.68, 0.84)) + rng.uniform(-0.03, 0.03, 3)
    vein = np.exp(-((noise(rng, 3, 3, 5) / rng.uniform(0.06, 0.16)) ** 2)) * np.clip(noise(rng, 2, 2) + 0.6, 0, 1.5)
    shade = (0.5 if dark else -0.22) * vein + 0.04 * noise(rng, 6, 6)
    return _paint(base, shade)


def plain(rng: Rng) -> np.ndarray:
    """Painted or laminated surface, nearly even."""
    return _paint(_pick(rng, PLAINS), 0.015 * noise(rng, 96, 96, 2) + 0.025 * noise(rng, 2, 2))


def speckled(rng: Rng) -> np.ndarray:
    """Granite or terrazzo: speckles of several tones."""
    out = _paint(_pick(rng, PLAINS), 0.03 * noise(rng, 8, 8))
    for _ in range(3):
        mask = noise(rng, int(rng.choice([24, 48, 96])), int(rng.choice([24, 48, 96])), 2) > rng.uniform(1.2, 1.9)
        out[mask] = _pick(rng, PLAINS)
    return out


KINDS: dict[str, Callable[[Rng], np.ndarray]] = {
    "wood": wood, "tile": tile, "cloth": cloth, "marble": marble, "plain": plain, "speckled": speckled,
}


def make_texture(rng: Rng) -> tuple[str, np.ndarray]:
    """A random surface: (kind, uint8 [SIZE, SIZE, 3] RGB)."""
    kind = str(rng.choice(list(KINDS), p=[0.32, 0.12, 0.2, 0.12, 0.14, 0.10]))
    image = KINDS[kind](rng)
    return kind, (255 * np.clip(image, 0.03, 0.90)).astype(np.uint8)


def grain(rng: Rng) -> np.ndarray:
    """Fine mottling that multiplies an object's color: uint8 [SIZE, SIZE, 3], nearly white."""
    shade = 0.93 + 0.05 * noise(rng, 48, 48, 3)
    return np.repeat((255 * np.clip(shade, 0.7, 1.0)).astype(np.uint8)[..., None], 3, axis=2)
