# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Cameras, lifting, boxes, grasps: what holds for every scene."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from examples import share
from hypothesis import example, given
from hypothesis import strategies as st

from llavaseg_ros.errors import NoDepth
from llavaseg_ros.geometry import (
    Intrinsics,
    LiftSettings,
    lift_masks,
    principal_box,
    quaternion_of,
    rotation_of,
    transformed,
)
from llavaseg_ros.grasping.gripper import Gripper
from llavaseg_ros.grasping.plane import fit_table
from llavaseg_ros.grasping.topdown import plan_grasps
from llavaseg_ros.ros.convert import depth_mm_to_image, depth_to_image, to_depth_m
from llavaseg_ros.ros.depth import intrinsics

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def cameras(draw: st.DrawFn) -> Intrinsics:
    """Small images with lenses as real cameras have them."""
    width, height = draw(st.integers(8, 48)), draw(st.integers(8, 40))
    fx = draw(st.floats(0.8, 2.0)) * width
    fy = fx * draw(st.floats(0.95, 1.05))
    cx, cy = draw(st.floats(0.4, 0.6)) * width, draw(st.floats(0.4, 0.6)) * height
    small = st.floats(-0.002, 0.002)
    kind = draw(st.sampled_from(["none", "plumb_bob", "rational", "fisheye"]))
    if kind == "none":
        return Intrinsics(width, height, fx, fy, cx, cy)
    if kind == "fisheye":
        lens = (draw(st.floats(-0.02, 0.05)), draw(small), draw(small), draw(small))
        return Intrinsics(width, height, fx, fy, cx, cy, lens, True)
    lens = (draw(st.floats(-0.2, 0.2)), draw(st.floats(-0.05, 0.05)), draw(small), draw(small))
    lens += (draw(small), draw(small), draw(small), draw(small)) if kind == "rational" else ()
    return Intrinsics(width, height, fx, fy, cx, cy, lens)


@given(camera=cameras(), depth=st.floats(0.1, 20))
@example(Intrinsics(8, 16, 8.0, 8.0, 4.0, 8.0, (-0.125, 0.0, 0.0, 0.0)), 1.0)  # folds in the corners
@example(Intrinsics(64, 48, 40.0, 40.0, 31.5, 23.5, (-0.35, 0.0, 0.0, 0.0)), 1.0)
def test_a_pixels_ray_projects_onto_the_pixel(camera: Intrinsics, depth: float) -> None:
    rays = camera.rays().reshape(-1, 2).astype(np.float64)
    points = np.column_stack([rays * depth, np.full(len(rays), depth)])
    v, u = np.divmod(np.arange(len(rays)), camera.width)
    has = np.ones(len(rays), np.bool_) if camera.blind is None else ~camera.blind.reshape(-1)
    assert camera.project(points)[has] == pytest.approx(np.column_stack([u, v])[has], abs=0.1)
    assert camera.sees(points).all()
    assert not camera.rays().flags.writeable


@given(camera=cameras(), seed=SEEDS, scale=st.floats(0.1, 10))
def test_projection_does_not_depend_on_the_distance(camera: Intrinsics, seed: int, scale: float) -> None:
    points = np.random.default_rng(seed).uniform((-0.3, -0.3, 0.8), (0.3, 0.3, 1.2), (20, 3))
    assert camera.project(points * scale) == pytest.approx(camera.project(points), abs=1e-2)
    assert np.array_equal(camera.sees(points * scale), camera.sees(points))


@given(seed=SEEDS, length=st.floats(1e-3, 1e3))
def test_quaternions_and_rotations_are_the_same_turn(seed: int, length: float) -> None:
    q = np.random.default_rng(seed).normal(size=4)
    q *= length / np.linalg.norm(q)
    turn = rotation_of(q)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-9) and np.linalg.det(turn) == pytest.approx(1)
    again = quaternion_of(turn)
    assert again[3] >= 0 and np.linalg.norm(again) == pytest.approx(1)
    assert rotation_of(again) == pytest.approx(turn, abs=1e-9)
    assert rotation_of(-q) == pytest.approx(turn, abs=1e-12)
    assert np.array(again) * np.sign(q[3] or 1.0) == pytest.approx(q / np.linalg.norm(q), abs=1e-6) or abs(q[3]) < 1e-9
    axis = q[:3] / length
    assert turn @ axis == pytest.approx(axis, abs=1e-9), "the axis of the turn stays"


@pytest.mark.parametrize("bad", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1), (1e-10, 0, 0, 0)])
def test_no_rotation_is_named(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="orientation: .* expected a quaternion x, y, z, w of length 1"):
        rotation_of(bad)


def rigid(rng: np.random.Generator) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_of(rng.normal(size=4)), rng.uniform(-1, 1, 3)
    return matrix


def thing(rng: np.random.Generator, count: int) -> np.ndarray:
    """float32 [N, 3]: a box of three unlike sides before the camera."""
    points = rng.uniform(-0.5, 0.5, (count, 3)) * (0.3, 0.15, 0.05) @ rotation_of(rng.normal(size=4)).T
    return (points + (rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0.6, 2))).astype(np.float32)


@given(seed=SEEDS, count=st.integers(1, 400))
def test_a_box_holds_its_points_whatever_their_order(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = thing(rng, count)
    box = principal_box(points)
    assert np.linalg.det(box.rotation) == pytest.approx(1, abs=1e-6)
    assert box.rotation.T @ box.rotation == pytest.approx(np.eye(3), abs=1e-6)
    assert (box.size >= 0).all() and (np.diff(box.size) <= 1e-9).all(), "the longest side comes first"
    assert box.rotation[:, 2] @ box.center <= 1e-9, "z points to the camera's side"
    assert box.rotation[np.argmax(abs(box.rotation[:, 0])), 0] > 0
    local = (points - box.center) @ box.rotation
    assert (np.ptp(local, axis=0) >= box.size - 1e-6).all()
    beyond = (local - np.median(local, axis=0) > box.size + 1e-6).mean(axis=0)
    assert (beyond <= 0.011).all(), "at most the tails stick out"
    shuffled = principal_box(points[rng.permutation(count)])
    assert shuffled.center == pytest.approx(box.center, abs=1e-6) and shuffled.size == pytest.approx(box.size, abs=1e-5)


@given(seed=SEEDS)
def test_a_box_goes_with_its_points(seed: int) -> None:
    """Moved along, the box is the same; turned, the box of the turned points has the same size."""
    rng = np.random.default_rng(seed)
    points, matrix = thing(rng, 300), rigid(rng)
    box = principal_box(points)
    moved = box.moved(matrix)
    assert moved.center == pytest.approx(transformed(points, matrix).mean(axis=0), abs=1e-4)
    assert moved.size is box.size and np.linalg.det(moved.rotation) == pytest.approx(1, abs=1e-6)
    again = principal_box(transformed(points, matrix))
    assert again.size == pytest.approx(box.size, abs=2e-3)
    for axis in range(3):
        assert abs(again.rotation[:, axis] @ moved.rotation[:, axis]) == pytest.approx(1, abs=1e-2)


@given(seed=SEEDS)
def test_rigid_transforms_keep_distances_and_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, matrix = thing(rng, 20), rigid(rng)
    there = transformed(points, matrix)
    assert there.dtype == np.float32
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    assert np.linalg.norm(there[:, None] - there, axis=-1) == pytest.approx(apart, abs=1e-5)
    assert transformed(there, np.linalg.inv(matrix)) == pytest.approx(points, abs=1e-5)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, Intrinsics]:
    """Depth in whole millimetres with a few pixels missing, picture, mask of a block before a wall, camera."""
    rng = np.random.default_rng(draw(SEEDS))
    camera = dataclasses.replace(draw(cameras()), distortion=(), fisheye=False)
    height, width = camera.height, camera.width
    left, top = draw(st.integers(0, width - 5)), draw(st.integers(0, height - 5))
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + draw(st.integers(4, 20)), left : left + draw(st.integers(4, 20))] = True
    depth = np.where(mask, draw(st.integers(300, 900)), draw(st.integers(1000, 3000))).astype(np.uint16)
    depth[rng.random(mask.shape) < draw(st.sampled_from([0.0, 0.05, 0.4]))] = 0
    return depth, rng.integers(0, 256, (height, width, 3), np.uint8), mask, camera


def metres(depth_mm: np.ndarray) -> np.ndarray:
    from std_msgs.msg import Header

    return to_depth_m(depth_mm_to_image(depth_mm, Header()))


SETTINGS = LiftSettings(erode_px=1, min_points=5)


def same(a, b) -> None:  # type: ignore[no-untyped-def]
    """Two lifted targets are one."""
    assert np.array_equal(a.points, b.points) and np.array_equal(a.colors, b.colors)
    assert (a.coverage, a.problem, a.box is None) == (b.coverage, b.problem, b.box is None)


@share(1.5)
@given(scenes())
def test_points_of_a_target_lie_on_it(scene) -> None:
    depth_mm, rgb, mask, camera = scene
    depth = metres(depth_mm)
    lifted = lift_masks([mask], rgb, depth, camera, camera, settings=SETTINGS)
    (target,) = lifted.targets
    valid = np.isfinite(depth)
    assert target.coverage == pytest.approx(valid[mask].mean())
    assert (target.box is None) == bool(target.problem) == (len(target.points) == 0)
    assert len(target.points) + len(lifted.points) <= valid.sum()
    for points, colors in ((target.points, target.colors), (lifted.points, lifted.colors)):
        assert points.dtype == np.float32 and colors.dtype == np.uint8 and points.shape == colors.shape
        assert np.isfinite(points).all()
        if len(points):
            pixels = np.round(camera.project(points)).astype(int)
            assert np.array_equal(rgb[pixels[:, 1], pixels[:, 0]], colors), "the color is that of the point's pixel"
            assert depth[pixels[:, 1], pixels[:, 0]] == pytest.approx(points[:, 2])
    if len(target.points):
        pixels = np.round(camera.project(target.points)).astype(int)
        assert mask[pixels[:, 1], pixels[:, 0]].all()
        low, high = target.points.min(axis=0) - 1e-6, target.points.max(axis=0) + 1e-6
        assert ((low <= target.box.center) & (target.box.center <= high)).all()


@share(0.7)
@given(scenes())
def test_metres_millimetres_and_missing_values_say_the_same(scene) -> None:
    from std_msgs.msg import Header

    depth_mm, rgb, mask, camera = scene
    in_mm = lift_masks([mask], rgb, metres(depth_mm), camera, camera, settings=SETTINGS)
    floats = depth_mm.astype(np.float32) / 1000
    for missing in (np.nan, 0.0, np.inf, -1.0):
        floats[depth_mm == 0] = missing
        in_m = lift_masks([mask], rgb, to_depth_m(depth_to_image(floats, Header())), camera, camera, settings=SETTINGS)
        same(in_m.targets[0], in_mm.targets[0])
        assert np.array_equal(in_m.points, in_mm.points)


@share(0.7)
@given(scenes(), st.integers(2, 4))
def test_depth_and_camera_of_twice_the_size_lie_twice_as_far(scene, factor) -> None:
    depth_mm, rgb, mask, camera = scene
    depth = metres(depth_mm)
    far = dataclasses.replace(SETTINGS, max_depth_m=5.0 * factor, min_depth_m=0.1 * factor, max_jump_m=0.02 * factor)
    near = lift_masks([mask], rgb, depth, camera, camera, settings=SETTINGS)
    distant = lift_masks([mask], rgb, depth * factor, camera, camera, settings=far)
    assert distant.points == pytest.approx(near.points * factor, rel=1e-5)
    if near.targets[0].box is not None:
        assert distant.targets[0].box.size == pytest.approx(near.targets[0].box.size * factor, rel=1e-4, abs=1e-6)
        assert distant.targets[0].box.center == pytest.approx(near.targets[0].box.center * factor, rel=1e-4)


@share(0.7)
@given(scenes(), SEEDS)
def test_every_mask_is_lifted_as_if_alone_and_the_scene_lacks_the_first(scene, seed) -> None:
    depth_mm, rgb, mask, camera = scene
    depth = metres(depth_mm)
    rng = np.random.default_rng(seed)
    other = np.zeros_like(mask)
    row, column = rng.integers(mask.shape[0] - 3), rng.integers(mask.shape[1] - 3)
    other[row : row + 6, column : column + 6] = True
    other &= ~mask
    both = lift_masks([mask, other], rgb, depth, camera, camera, settings=SETTINGS)
    first = lift_masks([mask], rgb, depth, camera, camera, settings=SETTINGS)
    second = lift_masks([other], rgb, depth, camera, camera, settings=SETTINGS, scene=False)
    same(both.targets[0], first.targets[0])
    same(both.targets[1], second.targets[0])
    assert np.array_equal(both.points, first.points) and not len(second.points)
    assert not len(lift_masks([], rgb, depth, camera, camera, scene=False).points)


@share(0.7)
@given(scenes(), SEEDS)
def test_lifting_into_a_camera_at_another_place_moves_the_points(scene, seed) -> None:
    """The same camera under another name of its place: every point is that point moved, none is lost by it."""
    depth_mm, rgb, _, camera = scene
    depth = metres(depth_mm)
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, 3] = rng.uniform(-0.02, 0.02, 3)
    nothing = np.zeros(rgb.shape[:2], np.bool_)
    here = lift_masks([nothing], rgb, depth, camera, camera)
    there = lift_masks([nothing], rgb, depth, camera, camera, depth_to_color=matrix)
    assert there.points == pytest.approx(transformed(here.points, matrix), abs=1e-6)
    assert here.targets[0].coverage == there.targets[0].coverage == 0.0


@share(2)
@given(
    k=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, 0.0, 50.0]), min_size=9, max_size=9),
    p=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([np.nan, 0.0, 50.0]), min_size=12, max_size=12),
    d=st.lists(st.floats(-1, 1) | st.sampled_from([np.nan, 0.0]), max_size=14),
    model=st.sampled_from(["", "plumb_bob", "rational_polynomial", "equidistant", "thin_prism"]),
    sizes=st.lists(st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2, 48, 64]), min_size=8, max_size=8),
    rectified=st.booleans(),
)
def test_any_calibration_is_taken_or_refused(k, p, d, model, sizes, rectified) -> None:
    from sensor_msgs.msg import CameraInfo, RegionOfInterest

    region = RegionOfInterest(width=sizes[0], height=sizes[1], x_offset=sizes[2], y_offset=sizes[3])
    info = CameraInfo(width=sizes[4], height=sizes[5], roi=region, binning_x=sizes[6], binning_y=sizes[7])
    info.k, info.p, info.d, info.distortion_model = k, p, d, model
    try:
        found = intrinsics(info, "camera_info", (48, 64), rectified=rectified)
    except NoDepth as error:
        assert str(error).startswith("camera_info: ")
    else:
        assert (found.width, found.height) == (64, 48) and found.fx > 0 and found.fy > 0
        assert np.isfinite([found.fx, found.fy, found.cx, found.cy, *found.distortion]).all()
        assert np.isfinite(found.rays()).all()
        assert len(found.distortion) in (0, 4, 5, 8, 12, 14) and not (rectified and found.distortion)


@share(0.5)
@given(seed=SEEDS, tilt=st.floats(-0.5, 0.5))
def test_the_table_is_found_with_its_normal_to_the_target(seed: int, tilt: float) -> None:
    rng = np.random.default_rng(seed)
    flat = np.column_stack([rng.uniform(-0.3, 0.3, (600, 2)), rng.normal(0, 0.001, 600)])
    above = rng.uniform((-0.05, -0.05, 0.01), (0.05, 0.05, 0.1), (80, 3))
    noise = rng.uniform((-0.3, -0.3, 0.05), (0.3, 0.3, 0.4), (150, 3))
    matrix = rigid(rng)
    matrix[:3, :3] = rotation_of((tilt, 0, 0, 1)) @ matrix[:3, :3]
    turn, shift = matrix[:3, :3], matrix[:3, 3]
    points = np.vstack([flat, noise]) @ turn.T + shift
    plane = fit_table(points, above @ turn.T + shift)
    assert plane is not None
    assert plane.normal @ turn[:, 2] == pytest.approx(1, abs=5e-3) and np.linalg.norm(plane.normal) == pytest.approx(1)
    assert np.median(plane.height(above @ turn.T + shift)) == pytest.approx(np.median(above[:, 2]), abs=0.005)
    assert fit_table(points[:49], above) is None
    assert fit_table(rng.uniform(-1, 1, (400, 3)), above) is None, "a cloud is no table"


@share(0.1)
@given(seed=SEEDS, kind=st.sampled_from(["block", "line", "dot", "cloud", "nothing"]), around=st.integers(0, 600))
def test_any_points_give_grasps_or_a_reason(seed: int, kind: str, around: int) -> None:
    rng = np.random.default_rng(seed)
    target = {
        "block": rng.uniform(-0.5, 0.5, (300, 3)) * (0.06, 0.03, 0.08),
        "line": np.column_stack([rng.uniform(-0.1, 0.1, 200), np.zeros((200, 2))]),
        "dot": np.zeros((100, 3)),
        "cloud": rng.normal(size=(200, 3)),
        "nothing": np.zeros((0, 3)),
    }[kind] + (0, 0, 0.8)
    scene = np.column_stack([rng.uniform(-0.3, 0.3, (around, 2)), np.full(around, 0.85)])
    scene += rng.normal(0, 0.001, scene.shape)
    plan = plan_grasps(target.astype(np.float32), scene.astype(np.float32))
    assert bool(plan.problem) == (not plan.grasps)
    for grasp in plan.grasps:
        assert np.isfinite(grasp.position).all() and 0 <= grasp.score <= 1
        assert grasp.rotation.T @ grasp.rotation == pytest.approx(np.eye(3), abs=1e-6)
        assert np.linalg.det(grasp.rotation) == pytest.approx(1, abs=1e-6)
        assert 0 <= grasp.width <= Gripper().opening
    assert [grasp.score for grasp in plan.grasps] == sorted((grasp.score for grasp in plan.grasps), reverse=True)
