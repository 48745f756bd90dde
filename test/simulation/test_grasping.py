# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The example planner's geometry, on points that are made up: which way is up, where fingers fit, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from llavaseg_ros.geometry import quaternion_of, rotation_of
from llavaseg_ros.grasping.gripper import Gripper
from llavaseg_ros.grasping.plane import fit_table
from llavaseg_ros.grasping.topdown import Plan, plan_grasps
from llavaseg_ros.training.scenes.meshes import rotation

RNG = np.random.default_rng(3)


def box(x: float, y: float, size: tuple[float, float, float], turn: float = 0.0, count: int = 3000) -> np.ndarray:
    """Points on the top and the sides of a box that stands on z = 0, [N, 3]."""
    a = RNG.uniform(-0.5, 0.5, (count, 3))
    face = RNG.integers(3, size=count)
    for axis in (0, 1):
        a[face == axis, axis] = np.sign(a[face == axis, axis]) / 2
    a[face == 2, 2] = 0.5
    return (a + [0, 0, 0.5]) * size @ rotation("z", turn).T + [x, y, 0]


def table(hole: np.ndarray | None = None, count: int = 20000) -> np.ndarray:
    """Points of a table top, with noise, without those below `hole`'s box from above."""
    points = np.column_stack([RNG.uniform(-0.4, 0.4, (count, 2)), RNG.normal(0, 0.001, count)])
    if hole is None:
        return points
    low, high = hole.min(0)[:2], hole.max(0)[:2]
    return points[~((points[:, :2] > low) & (points[:, :2] < high)).all(1)]


def turned(plan: Plan) -> float:
    """The closing direction of the best grasp, degrees from x, in [0, 180)."""
    x = plan.grasps[0].rotation[:, 0]
    return float(np.degrees(np.arctan2(x[1], x[0])) % 180)


def test_a_box_is_taken_across_its_narrow_side() -> None:
    target = box(0.05, -0.02, (0.14, 0.04, 0.05), turn=30)
    plan = plan_grasps(target, table(target))
    best = plan.grasps[0]
    assert turned(plan) == pytest.approx(120, abs=8)
    assert best.width == pytest.approx(0.04, abs=0.006)
    assert np.linalg.norm(best.position[:2] - [0.05, -0.02]) < 0.02
    assert 0.003 < best.position[2] < 0.03
    assert best.rotation[:, 2] == pytest.approx([0, 0, -1], abs=0.03)
    assert np.linalg.det(best.rotation) == pytest.approx(1)
    assert [g.score for g in plan.grasps] == sorted((g.score for g in plan.grasps), reverse=True)


def test_any_frame_will_do() -> None:
    """The table says which way is up, wherever the frame of the points is."""
    target = box(0.05, -0.02, (0.14, 0.04, 0.05))
    scene = table(target)
    turn, shift = rotation("x", 130) @ rotation("y", 25), np.array([0.3, -0.2, 0.9])
    here = plan_grasps(target, scene).grasps[0]
    there = plan_grasps(target @ turn.T + shift, scene @ turn.T + shift).grasps[0]
    assert there.rotation[:, 2] == pytest.approx(turn @ here.rotation[:, 2], abs=0.03)
    assert np.linalg.norm(there.position - (turn @ here.position + shift)) < 0.012


def test_fingers_keep_away_from_what_stands_beside() -> None:
    """A wall where a finger would go: it is taken across the other side, or elsewhere along its length."""
    target = box(0, 0, (0.05, 0.05, 0.08))
    free = plan_grasps(target, table(target)).grasps
    wall = box(0.055, 0, (0.02, 0.2, 0.12))
    walled = plan_grasps(target, np.concatenate([table(target), wall])).grasps
    assert free and walled
    for grasp in walled:
        x = grasp.rotation[:, 0]
        g = Gripper()
        for side in (-1, 1):
            finger = grasp.position + side * x * (g.opening / 2 + g.finger_thickness / 2)
            assert not (0.045 < finger[0] < 0.065 and abs(finger[1]) < 0.1), "a finger inside the wall"


@pytest.mark.parametrize(
    ("target", "scene", "problem"),
    [
        (box(0, 0, (0.2, 0.2, 0.05)), table(), "nowhere do the fingers fit"),
        (box(0, 0, (0.04, 0.04, 0.05))[:5], table(), "5 points"),
        (box(0, 0, (0.04, 0.04, 0.05)), np.zeros((0, 3)), "no table"),
        (table(count=500), table(), "does not stand out"),
        (np.concatenate([box(0, 0, (0.04, 0.04, 0.05)), box(0.12, 0, (0.04, 0.04, 0.05))]), table(), "several things"),
    ],
    ids=["too wide", "few points", "no table", "flat", "two things"],
)
def test_what_cannot_be_grasped_is_refused_with_the_reason(
    target: np.ndarray, scene: np.ndarray, problem: str
) -> None:
    plan = plan_grasps(target, scene)
    assert not plan.grasps
    assert problem in plan.problem


def test_points_that_are_nan_do_not_count() -> None:
    target = box(0, 0, (0.12, 0.04, 0.05))
    scene = table(target)
    dirty = np.concatenate([target, np.full((50, 3), np.nan)])
    assert plan_grasps(dirty, np.concatenate([np.full((9, 3), np.inf), scene])).grasps


def test_a_mask_that_misses_a_part_is_completed() -> None:
    """Half of a box in the mask, the other half in the scene: the fingers go around all of it."""
    whole = box(0, 0, (0.06, 0.045, 0.06), count=6000)
    near = whole[:, 1] < 0.004
    plan = plan_grasps(whole[near], np.concatenate([table(whole), whole[~near]]))
    assert plan.grasps
    assert min(g.width for g in plan.grasps) > 0.04


def test_a_cone_is_believed_in_less_than_a_cylinder() -> None:
    """The fingers do not reach its foot, and where they close it narrows upwards: it would slip out downwards."""
    h, phi = RNG.uniform(0, 1, 9000), RNG.uniform(0, 2 * np.pi, 9000)

    def best(radius: np.ndarray) -> float:
        side = np.column_stack([radius * np.cos(phi), radius * np.sin(phi), 0.09 * h])
        return plan_grasps(side, table(side)).grasps[0].score

    assert best(0.04 * (1 - h)) < 0.7 * best(np.full(9000, 0.02))


def test_the_table_is_found_beside_a_wall() -> None:
    wall = np.column_stack([np.full(9000, 0.3), RNG.uniform(-0.4, 0.4, 9000), RNG.uniform(0, 0.5, 9000)])
    plane = fit_table(np.concatenate([table(count=12000), wall]), box(0, 0, (0.05, 0.05, 0.1)))
    assert plane is not None
    assert plane.normal == pytest.approx([0, 0, 1], abs=0.01)
    assert plane.height(np.array([[0.1, 0.1, 0.25]])) == pytest.approx(0.25, abs=0.005)


def test_no_plane_in_a_cloud() -> None:
    assert fit_table(RNG.uniform(-0.3, 0.3, (3000, 3)), np.zeros((1, 3))) is None


def test_quaternions_there_and_back() -> None:
    turn = rotation("z", 40) @ rotation("x", -100)
    assert rotation_of(quaternion_of(turn)) == pytest.approx(turn)
    for bad in ((0, 0, 0, 0), (np.nan, 0, 0, 1)):
        with pytest.raises(ValueError, match="no rotation"):
            rotation_of(bad)


def test_measures_of_a_gripper_are_checked() -> None:
    with pytest.raises(ValueError, match="opening is 85"):
        Gripper(opening=85)
