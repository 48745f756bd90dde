# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Convex pieces of a mesh, for contacts: MuJoCo takes the hull of what it is given, and most things are not convex."""

from __future__ import annotations

import numpy as np

from llavaseg_ros.training.scenes.meshes import Mesh
from llavaseg_ros.training.scenes.parts import Shape

SLICE = 0.022  # m: a component is cut across its longest axis into slices of about this thickness
MOST_SLICES = 9
SMALLEST = 0.012  # m: components with a smaller diagonal (buttons, stems) are left out
THINNEST = 0.0008  # m: flatter pieces have no hull
INSIDE = 0.002  # m: a component that sticks out of a larger one's box by less (labels, bands) is left out


def components(mesh: Mesh) -> list[np.ndarray]:
    """The connected components of a mesh, as triangles float [M, 3, 3]; corners at the same place are joined."""
    _, corner = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    faces = corner.reshape(-1)[mesh.faces]
    label = np.arange(faces.max() + 1)
    while True:  # the smallest number of a component spreads over it
        low = label[faces].min(1)
        new = label.copy()
        for column in faces.T:
            np.minimum.at(new, column, low)
        new = new[new]
        if (new == label).all():
            break
        label = new
    owner = label[faces[:, 0]]
    triangles = mesh.vertices[mesh.faces]
    return [triangles[owner == name] for name in np.unique(owner)]


def slices(triangles: np.ndarray) -> list[np.ndarray]:
    """Point sets [N, 3] of slices across the longest axis. triangles: [M, 3, 3]. The pieces' hulls overlap nowhere."""
    points = triangles.reshape(-1, 3)
    low, high = points.min(0), points.max(0)
    axis = int(np.argmax(high - low))
    count = int(np.clip(round((high - low)[axis] / SLICE), 1, MOST_SLICES))
    cuts = np.linspace(low[axis], high[axis], count + 1)
    pieces = []
    for a, b in zip(cuts[:-1], cuts[1:], strict=True):
        inside = points[(points[:, axis] >= a - 1e-9) & (points[:, axis] <= b + 1e-9)]
        crossings = [_crossing(triangles, axis, cut) for cut in (a, b)]
        piece = np.unique(np.round(np.concatenate([inside, *crossings]), 6), axis=0)
        if _has_volume(piece):
            pieces.append(piece)
    return pieces


def _crossing(triangles: np.ndarray, axis: int, cut: float) -> np.ndarray:
    """Where the triangles' edges pass through the plane `axis` = cut, [K, 3]."""
    start, end = triangles.reshape(-1, 3), np.roll(triangles, -1, axis=1).reshape(-1, 3)
    a, b = start[:, axis] - cut, end[:, axis] - cut
    through = a * b < 0
    t = (a[through] / (a[through] - b[through]))[:, None]
    return start[through] + t * (end[through] - start[through])


def _has_volume(points: np.ndarray) -> bool:
    if len(points) < 4:
        return False
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)[2] / np.sqrt(len(points))
    return bool(spread > THINNEST / 2)


def convex_pieces(shape: Shape) -> list[np.ndarray]:
    """Point sets [N, 3] (m, the object's frame) whose hulls make up an object. Hollow things come out filled."""
    found = [c for part in shape.parts for c in components(part.mesh)]
    boxes = [(c.reshape(-1, 3).min(0), c.reshape(-1, 3).max(0)) for c in found]
    size = [float(np.linalg.norm(high - low)) for low, high in boxes]
    kept: list[int] = []
    pieces: list[np.ndarray] = []
    for i in np.argsort(size)[::-1]:
        low, high = boxes[i]
        covered = any((low > boxes[k][0] - INSIDE).all() and (high < boxes[k][1] + INSIDE).all() for k in kept)
        if size[i] < SMALLEST or covered:
            continue
        own = slices(found[i])
        if own:
            kept.append(int(i))
            pieces += own
    if not pieces:
        raise ValueError(f"{shape.category}: no part of it is large enough for a convex hull")
    return pieces
