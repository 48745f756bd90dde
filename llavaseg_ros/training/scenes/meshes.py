# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes from a few parameters: surfaces of revolution, tubes, prisms, lofts, rounded boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Points = Sequence[Sequence[float]] | np.ndarray


@dataclass(frozen=True)
class Mesh:
    """vertices: float64 [N, 3], metres, z up. faces: int32 [M, 3], counter-clockwise seen from outside."""

    vertices: np.ndarray
    faces: np.ndarray

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """A copy, shifted (metres)."""
        return Mesh(self.vertices + np.array([x, y, z]), self.faces)

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Mesh:
        """A copy, stretched about the origin. Factors must be positive, or faces would turn inside out."""
        return Mesh(self.vertices * np.array([x, y, z]), self.faces)

    def turned(self, axis: str, degrees: float) -> Mesh:
        """A copy, turned about a coordinate axis ("x", "y" or "z") through the origin."""
        return Mesh(self.vertices @ rotation(axis, degrees).T, self.faces)

    def bent(self, height: Points) -> Mesh:
        """A copy whose z is raised by a piecewise linear function of x: `height` lists (x, dz) by rising x."""
        table = np.asarray(height, dtype=float)
        out = self.vertices.copy()
        out[:, 2] += np.interp(out[:, 0], table[:, 0], table[:, 1])
        return Mesh(out, self.faces)


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Rotation matrix [3, 3] about a coordinate axis."""
    i = "xyz".index(axis)
    a, b = (i + 1) % 3, (i + 2) % 3
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    out = np.eye(3)
    out[a, a], out[a, b], out[b, a], out[b, b] = c, -s, s, c
    return out


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """All meshes as one."""
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=True)]).astype(np.int32),
    )


def _drop_degenerate(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return Mesh(vertices, faces[area > 1e-12].astype(np.int32))


def loft(rings: np.ndarray, *, caps: bool = True) -> Mesh:
    """Skin over rings of equal length. rings: [K, N, 3], each counter-clockwise seen from the end of the skin.

    Caps are fans about the ring's mean, so the end rings must be star-shaped.
    """
    rings = np.asarray(rings, dtype=float)
    k, n, _ = rings.shape
    i, j = np.meshgrid(np.arange(k - 1), np.arange(n), indexing="ij")
    a, b = i * n + j, i * n + (j + 1) % n
    c, d = b + n, a + n
    faces = [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    vertices = [rings.reshape(-1, 3)]
    if caps:
        # Cap rings are copies, so that the edge to the skin stays sharp.
        idx = np.arange(n)
        base = k * n
        for ring, flip in ((rings[0], True), (rings[-1], False)):
            vertices += [ring, ring.mean(0, keepdims=True)]
            fan = np.stack([base + idx, base + (idx + 1) % n, np.full(n, base + n)], -1)
            faces.append(fan[:, ::-1] if flip else fan)
            base += n + 1
    return _drop_degenerate(np.concatenate(vertices), np.concatenate(faces))


def lathe(profile: Points, segments: int = 28) -> Mesh:
    """Surface of revolution about z. profile: (radius, z) points in metres; outside going up, inside going down."""
    p = np.asarray(profile, dtype=float)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    rings = np.concatenate(
        [p[:, None, :1] * circle[None], np.broadcast_to(p[:, None, 1:], (len(p), segments, 1))], axis=-1
    )
    return loft(rings, caps=False)


def smooth(points: Points, count: int = 20) -> np.ndarray:
    """A rounded curve through `points` [N, D], as [count, D] samples (Catmull-Rom)."""
    p = np.asarray(points, dtype=float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, len(p) - 3 - 1e-9, count)
    i = t.astype(int)
    u = (t - i)[:, None]
    p0, p1, p2, p3 = p[i], p[i + 1], p[i + 2], p[i + 3]
    return 0.5 * (2 * p1 + (p2 - p0) * u + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2 + (3 * p1 - 3 * p2 + p3 - p0) * u**3)


def tube(
    path: Points,
    radius: float | Sequence[float] | np.ndarray,
    *,
    sides: int = 12,
    squash: float = 1.0,
    closed: bool = False,
) -> Mesh:
    """A round bar along a path.

    path: [N, 3]; radius: one value or one a point; squash: stretches the first normal, out of the plane of a flat path.
    """
    p = np.asarray(path, dtype=float)
    r = np.broadcast_to(np.asarray(radius, dtype=float), (len(p),))
    tangent = np.roll(p, -1, 0) - np.roll(p, 1, 0) if closed else np.gradient(p, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    seed = np.eye(3)[int(np.argmin(np.abs(tangent).max(0)))]
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = []
    normal = np.cross(tangent[0], np.cross(seed, tangent[0]))
    for point, t, radius_here in zip(p, tangent, r, strict=True):
        normal = normal - t * (normal @ t)
        normal /= np.linalg.norm(normal)
        binormal = np.cross(t, normal)
        # The seed axis is the one the path hardly uses: for a path in a plane it is that plane's normal.
        rings.append(
            point
            + radius_here * (squash * np.cos(angle)[:, None] * normal + np.sin(angle)[:, None] * binormal)
        )
    if closed:
        rings.append(rings[0])
    return loft(np.array(rings), caps=not closed)


def ellipsoid(rx: float, ry: float, rz: float, segments: int = 28) -> Mesh:
    """An ellipsoid about the origin, radii in metres."""
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 2)
    return lathe(np.stack([np.cos(t).clip(0), np.sin(t)], -1), segments).scaled(rx, ry, rz)


def cylinder(radius: float, z0: float, z1: float, *, bevel: float = 0.0, segments: int = 24) -> Mesh:
    """A closed cylinder about z, with an optional bevel on both rims."""
    b = bevel
    return lathe(
        [(0, z0), (radius - b, z0), (radius, z0 + b), (radius, z1 - b), (radius - b, z1), (0, z1)]
        if b > 0
        else [(0, z0), (radius, z0), (radius, z1), (0, z1)],
        segments,
    )


def rounded_rectangle(sx: float, sy: float, radius: float, steps: int = 4) -> np.ndarray:
    """Outline [N, 2] of a rectangle about the origin, counter-clockwise."""
    radius = min(radius, 0.499 * sx, 0.499 * sy)
    quarter = np.linspace(0, np.pi / 2, steps)
    out = []
    for k, (cx, cy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        a = quarter + k * np.pi / 2
        centre = np.array([cx * (sx / 2 - radius), cy * (sy / 2 - radius)])
        out.append(centre + radius * np.stack([np.cos(a), np.sin(a)], -1))
    return np.concatenate(out)


def rounded_box(sx: float, sy: float, sz: float, radius: float = 0.002, bevel: float | None = None) -> Mesh:
    """A box standing on z = 0, with round vertical edges and beveled rims (metres)."""
    b = min(radius, sz / 3) if bevel is None else bevel
    outer = rounded_rectangle(sx, sy, radius)
    inner = rounded_rectangle(sx - 2 * b, sy - 2 * b, max(radius - b, 1e-5))
    layers = [(inner, 0.0), (outer, b), (outer, sz - b), (inner, sz)]
    return loft(np.array([np.column_stack([o, np.full(len(o), z)]) for o, z in layers]))


def box(sx: float, sy: float, sz: float) -> Mesh:
    """A sharp box standing on z = 0, centred in x and y (metres)."""
    corner = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (sx / 2, sy / 2)
    # Each face has its own corners: shared ones would smooth the edges away.
    sides = []
    for k in range(4):
        a, b = corner[k], corner[(k + 1) % 4]
        quad = np.array([[*a, 0], [*b, 0], [*b, sz], [*a, sz]])
        sides.append(Mesh(quad, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)))
    top = np.column_stack([corner, np.full(4, sz)])
    bottom = np.column_stack([corner[::-1], np.zeros(4)])
    sides += [Mesh(q, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)) for q in (top, bottom)]
    return merge(sides)


def _ears(polygon: np.ndarray) -> list[tuple[int, int, int]]:
    """Triangles of a simple counter-clockwise polygon [N, 2] by ear clipping."""
    left = list(range(len(polygon)))
    out: list[tuple[int, int, int]] = []

    def cross(o: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return float((a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]))

    while len(left) > 3:
        for k in range(len(left)):
            i, j, m = left[k - 1], left[k], left[(k + 1) % len(left)]
            a, b, c = polygon[i], polygon[j], polygon[m]
            if cross(a, b, c) <= 1e-14:
                continue
            inside = any(
                cross(a, b, q) > 0 and cross(b, c, q) > 0 and cross(c, a, q) > 0
                for q in (polygon[o] for o in left if o not in (i, j, m))
            )
            if not inside:
                out.append((i, j, m))
                left.pop(k)
                break
        else:  # only slivers are left: any fan will do
            left.pop(0)
    out.append((left[0], left[1], left[2]))
    return out


def prism(outline: Points, z0: float, z1: float) -> Mesh:
    """A flat plate between z0 and z1 from an outline [N, 2], counter-clockwise, not crossing itself."""
    p = np.asarray(outline, dtype=float)
    n = len(p)
    side = loft(np.array([np.column_stack([p, np.full(n, z)]) for z in (z0, z1)]), caps=False)
    ears = np.array(_ears(p), dtype=np.int32)
    top = Mesh(np.column_stack([p, np.full(n, z1)]), ears)
    bottom = Mesh(np.column_stack([p, np.full(n, z0)]), ears[:, ::-1])
    return merge([side, top, bottom])
