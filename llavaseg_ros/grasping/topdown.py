# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Top-down antipodal grasps: the fingers come straight down on both sides of the target and close across it.

An example of a planner, small enough to read. It sees only the surface that the camera saw, and looks at it from above,
one closing direction after the other. NumPy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from llavaseg_ros.grasping.gripper import Gripper
from llavaseg_ros.grasping.plane import fit_table

AROUND = 0.20  # m: what is further from the target is in nobody's way
ANGLES = 12
STRIDE, MOST_SIDE_BY_SIDE = 0.005, 16  # m between two grasps side by side, and how many of them at most
MOST_POINTS = 3000  # of the target, and of what is around it: more tell no more
DEPTHS = (0.045, 0.036, 0.028, 0.020, 0.014, 0.009)  # m that the finger tips reach below the target's top, best first
GROUND = 0.004  # m that the tips stay over the table
NOISE = 0.003  # m: what stands out so little is noise
STRAY = 2  # points of noise that do not make an obstacle
LEVEL = 0.007  # m: of height, to see whether the target narrows towards its top
CELL = 0.006  # m: of the map of what the camera saw of the table
MOST_JOINED = 1.0  # times the target's own points
CLEAR = 0.6  # share of the target's points that must lie on one thing
SLOPE = np.radians(35.0)  # steepest outline at a finger against the finger: beyond, the target slips away
Points = np.ndarray


@dataclass(frozen=True)
class Grasp:
    """Where the gripper goes, in the frame of the points.

    position: [3] m, the middle between the finger tips. rotation: [3, 3]; columns: the closing direction, its normal,
    the direction of approach. width: m, of what is between the fingers. score: [0, 1].
    """

    position: np.ndarray
    rotation: np.ndarray
    width: float
    score: float


@dataclass(frozen=True)
class Plan:
    """grasps: best first. problem: why there is none; "" when there is one."""

    grasps: tuple[Grasp, ...]
    problem: str = ""


def plan_grasps(target: Points, scene: Points, gripper: Gripper | None = None, *, most: int = 20) -> Plan:
    """Ranked grasps of a target.

    target, scene: float [N, 3], m, in one frame, any; rows with NaN are left out. scene: everything but the target.
    most: how many grasps at most. No camera position and no gravity is needed: the table tells which way is up.
    """
    gripper = gripper or Gripper()
    target, scene = (p[np.isfinite(p).all(1)].astype(np.float64) for p in (target, scene))
    if len(target) < 20:
        return Plan((), f"the target has {len(target)} points; at least 20 are needed")
    middle = np.median(target, axis=0)
    scene = scene[np.linalg.norm(scene - middle, axis=1) < 2 * AROUND]
    table = fit_table(scene, target)
    if table is None:
        return Plan((), f"no table was found in the {len(scene)} points around the target")
    target = target[table.height(target) > NOISE]
    if len(target) < 20:
        return Plan((), "the target does not stand out from the table")
    frame, origin = _table_frame(target, table.normal, table.offset)
    target, scene, share = _whole((target - origin) @ frame, (scene - origin) @ frame)
    if share < CLEAR:
        return Plan((), f"the target lies on several things: {share:.0%} of it on the largest")
    view = _View(target, scene, gripper)
    found = [g for k in range(ANGLES) for g in view.across(np.pi * k / ANGLES)]
    if not found:
        return Plan((), "nowhere do the fingers fit on both sides of the target")
    found.sort(key=lambda g: -g.score)
    world = [Grasp(frame @ g.position + origin, frame @ g.rotation, g.width, g.score) for g in found[:most]]
    return Plan(tuple(world))


def _thinned(points: Points) -> Points:
    """At most MOST_POINTS of them, evenly from all."""
    if len(points) <= MOST_POINTS:
        return points
    return points[np.random.default_rng(0).choice(len(points), MOST_POINTS, replace=False)]


def _table_frame(target: Points, normal: np.ndarray, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Axes [3, 3] (columns; z is up, x along the target's longest side from above) and origin [3], on the table."""
    middle = target.mean(0)
    flat = target - middle
    flat = flat - np.outer(flat @ normal, normal)
    x = np.linalg.svd(flat, full_matrices=False)[2][0]
    x = x - normal * (x @ normal)
    x /= np.linalg.norm(x)
    return np.column_stack([x, np.cross(normal, x), normal]), middle - normal * (middle @ normal + offset)


def _whole(target: Points, scene: Points) -> tuple[Points, Points, float]:
    """Target and scene, and the share of the target that was one piece of its own. z = 0 is the table.

    Corrected for masks that miss a part or spill over: from above, what rises from the table in one piece is one thing.
    Of the pieces, the target is the one with most of its points. Scene points in that piece become the target's, unless
    they are so many that two things touch.
    """
    size = int(2 * AROUND / CELL)

    def cells(points: Points) -> tuple[np.ndarray, np.ndarray]:
        at = np.floor((points[:, :2] + AROUND) / CELL).astype(int)
        inside = ((at >= 0) & (at < size)).all(1) & (points[:, 2] > GROUND + NOISE)
        return at.clip(0, size - 1), inside

    filled = np.zeros((size, size), np.int32)
    placed = [cells(points) for points in (target, scene)]
    for at, inside in placed:
        np.add.at(filled, (at[inside, 0], at[inside, 1]), 1)
    pieces: np.ndarray = cv2.connectedComponents((filled > 1).astype(np.uint8), connectivity=8)[1]
    own, around = (np.where(inside, pieces[at[:, 0], at[:, 1]], 0) for at, inside in placed)
    counts = np.bincount(own)
    if len(counts) < 2:
        return target, scene, 1.0
    best = 1 + int(np.argmax(counts[1:]))
    kept, joined = own == best, around == best
    if joined.sum() > MOST_JOINED * kept.sum():
        joined[:] = False
    # Low points of the target are neither: they are too near to the table to tell.
    apart = (own != best) & (own != 0)
    parts = np.concatenate([target[kept], scene[joined]]), np.concatenate([scene[~joined], target[apart]])
    return *parts, float(kept.sum() / (own != 0).sum())


class _View:
    """The target and what is around it from above; z = 0 is the table."""

    def __init__(self, target: Points, scene: Points, gripper: Gripper) -> None:
        self.target, self.gripper = _thinned(target), gripper
        near = (np.abs(scene[:, :2]) < AROUND).all(1)
        self.scene = scene[near & (scene[:, 2] > -0.05)]
        self.obstacles = _thinned(self.scene[self.scene[:, 2] > GROUND + NOISE])
        self._size = int(2 * AROUND / CELL)
        self._seen = np.zeros((self._size, self._size), np.bool_)
        for points in (self.scene, target):
            cell = self._cells(points[:, :2])
            self._seen[cell[:, 0], cell[:, 1]] = True
        # Evenly over what is covered: near surfaces have more points than far ones.
        cells = np.unique(np.round(target[:, :2] / CELL), axis=0) * CELL
        self.middle = cells.mean(0)

    def _cells(self, xy: np.ndarray) -> np.ndarray:
        return np.clip(((xy + AROUND) / CELL).astype(int), 0, self._size - 1)

    def across(self, angle: float) -> list[Grasp]:
        """Grasps that close along one direction of the table."""
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, -s], [s, c]])  # columns: closing direction u, sideways v
        target = np.column_stack([self.target[:, :2] @ turn, self.target[:, 2]])
        obstacles = np.column_stack([self.obstacles[:, :2] @ turn, self.obstacles[:, 2]])
        low, high = np.percentile(target[:, 1], (2, 98))
        count = int(np.clip((high - low) / STRIDE, 1, MOST_SIDE_BY_SIDE))
        out = []
        for v in np.linspace(low, high, count + 2)[1:-1]:
            grasp = self._at(float(v), turn, target, obstacles)
            if grasp is not None:
                out.append(grasp)
        return out

    def _at(self, v: float, turn: np.ndarray, target: Points, obstacles: Points) -> Grasp | None:
        """The deepest grasp at one place of a closing direction. target, obstacles: [N, 3] as u, v, z."""
        g = self.gripper
        strip = target[np.abs(target[:, 1] - v) < g.finger_width / 2]
        if len(strip) < 10:
            return None
        top = float(np.percentile(strip[:, 2], 97))
        everything = np.concatenate([target, obstacles])
        beside = np.abs(everything[:, 1] - v) < g.finger_width / 2 + NOISE
        under = np.abs(everything[:, 1] - v) < g.palm_width / 2
        tried = -1.0
        for depth in DEPTHS:
            tip = max(GROUND, top - depth)
            if tip == tried or top - tip < 0.5 * min(depth, 0.014):
                continue
            tried = tip
            held = strip[strip[:, 2] > tip]
            if len(held) < 8:
                continue
            lo, hi = np.percentile(held[:, 0], (1, 99))
            width = float(hi - lo)
            if width + 2 * NOISE > g.opening:
                continue
            u = float(lo + hi) / 2
            away = np.abs(everything[:, 0] - u)
            raised = everything[:, 2] > tip + NOISE
            fingers = beside & raised & (away > g.opening / 2) & (away < g.opening / 2 + g.finger_thickness + NOISE)
            palm = under & (away < g.palm_length / 2) & (everything[:, 2] > tip + g.finger_length - NOISE)
            if fingers.sum() > STRAY or palm.sum() > STRAY:
                continue
            # What else is between the fingers would be taken along.
            between = (np.abs(obstacles[:, 0] - u) < g.opening / 2) & (np.abs(obstacles[:, 1] - v) < g.finger_width / 2)
            if (between & (obstacles[:, 2] > tip + NOISE)).sum() > max(STRAY, 0.08 * len(held)):
                continue
            score = self._score(u, v, tip, top, width, held, turn)
            if score <= 0:
                continue
            x = np.array([*turn[:, 0], 0.0])
            rotation = np.column_stack([x, np.cross([0, 0, -1.0], x), [0, 0, -1.0]])
            return Grasp(np.array([*(turn @ [u, v]), tip]), rotation, width, score)
        return None

    def _score(
        self, u: float, v: float, tip: float, top: float, width: float, held: Points, turn: np.ndarray
    ) -> float:
        """How good a grasp is, [0, 1]; 0 when the target would slip out."""
        firm = _parallel(held) * _widest_inside(held, v, self.gripper.finger_width / 2)
        if tip > GROUND:
            firm *= _upright(held, tip)
        if firm <= 0:
            return 0.0
        off = float(np.linalg.norm(turn @ [u, v] - self.middle))
        depth = min(1.0, (top - tip) / 0.03)
        room = 1 - width / self.gripper.opening
        return float(firm * np.exp(-off / 0.04) * (0.4 + 0.6 * depth) * (0.5 + 0.5 * self._known(u, v, turn))
                     * (0.6 + 0.4 * min(1.0, room / 0.3)))  # fmt: skip

    def _known(self, u: float, v: float, turn: np.ndarray) -> float:
        """Share of the ground under both fingers, and of the way that they close, that the camera saw, [0, 1]. Behind
        the target, as the camera sees it, is its hidden side: the width there is a guess."""
        g = self.gripper
        along = np.linspace(0.3 * g.opening, g.opening / 2 + g.finger_thickness, 6)
        sideways = np.linspace(-0.5, 0.5, 4) * g.finger_width
        shares = []
        for side in (1, -1):
            grid = np.array([[u + side * a, v + b] for a in along for b in sideways]) @ turn.T
            cell = self._cells(grid)
            shares.append(self._seen[cell[:, 0], cell[:, 1]].mean())
        return float(min(shares))


def _parallel(held: Points) -> float:
    """1 where both sides of the target are square to the fingers, 0 where one is as slanting as SLOPE or more."""
    slopes = []
    for sign in (1, -1):
        edges, at = [], []
        order = np.argsort(held[:, 1])
        for part in np.array_split(held[order], 4):
            if len(part) >= 2:
                edges.append(float(np.percentile(sign * part[:, 0], 95)))
                at.append(float(part[:, 1].mean()))
        if len(at) < 3 or np.ptp(at) < 0.004:
            slopes.append(0.0)  # thinner than the finger: it closes on an edge, which turns by itself
            continue
        slopes.append(abs(float(np.arctan(np.polyfit(at, edges, 1)[0]))))
    return float(max(0.0, 1 - max(slopes) / SLOPE))


def _widest_inside(held: Points, v: float, reach: float) -> float:
    """1 where the target is widest in the middle of the fingers, 0 where it is at their edge: they would close on the
    front of a round thing and push it away."""
    off = 0.0
    for sign in (1, -1):
        side = sign * held[:, 0]
        outer = held[side > np.percentile(side, 96) - NOISE / 2]
        off = max(off, abs(float(outer[:, 1].mean()) - v))
    return float(max(0.0, 1 - off / reach))


def _upright(held: Points, tip: float) -> float:
    """1 where the target is as wide above the finger tips as at them, 0 where it narrows by SLOPE or more: a cone slips
    out downwards."""
    levels = [held[(held[:, 2] >= tip + k * LEVEL) & (held[:, 2] < tip + (k + 1) * LEVEL)] for k in range(2)]
    if min(len(level) for level in levels) < 5:
        return 1.0
    (low0, high0), (low1, high1) = (np.percentile(level[:, 0], (3, 97)) for level in levels)
    narrows = max(0.0, float((high0 - low0) - (high1 - low1)) / 2)
    return float(max(0.0, 1 - np.arctan(narrows / LEVEL) / SLOPE))
