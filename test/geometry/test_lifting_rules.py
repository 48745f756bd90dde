# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The rules of lifting, one by one, at their edges: which pixels are a target's, and which are seen at all."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from llavaseg_ros.geometry import Intrinsics, LiftSettings, lift_masks, rotation_of
from llavaseg_ros.geometry import lifting as rules

CAMERA = Intrinsics(24, 20, 30.0, 31.0, 11.5, 9.5)
LENS = dataclasses.replace(CAMERA, distortion=(0.1, -0.05, 0.001, 0.002))
FINE = LiftSettings(erode_px=0, min_points=1)


def block(rows: tuple[int, int], columns: tuple[int, int], shape: tuple[int, int] = (20, 24)) -> np.ndarray:
    mask = np.zeros(shape, np.bool_)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def noise(shape: tuple[int, int] = (20, 24)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def lift(mask: np.ndarray, depth: np.ndarray, settings: LiftSettings = FINE, **more):  # type: ignore[no-untyped-def]
    return lift_masks([mask], noise(mask.shape), depth, CAMERA, CAMERA, settings=settings, **more)


def equal(a, b) -> bool:  # type: ignore[no-untyped-def]
    return bool(np.array_equal(a.points, b.points) and np.array_equal(a.colors, b.colors) and a.coverage == b.coverage)


def test_the_camera_matrix() -> None:
    assert CAMERA.matrix.tolist() == [[30.0, 0.0, 11.5], [0.0, 31.0, 9.5], [0.0, 0.0, 1.0]]
    assert LENS.project(np.zeros((0, 3))).shape == (0, 2) and LENS.project(np.zeros((0, 3))).dtype == np.float32
    fish = dataclasses.replace(CAMERA, distortion=(0.02, 0.0, 0.0, 0.0), fisheye=True)
    for camera in (LENS, fish):
        assert camera.project(np.ones((7, 3))).shape == (7, 2)
        middle = camera.project(np.array([[0.0, 0.0, 2.0]]))
        assert middle == pytest.approx(np.array([[11.5, 9.5]]), abs=1e-4)


def test_a_lens_sees_as_far_as_its_corners_and_two_percent_more() -> None:
    reach = 1.02 * max(np.hypot(*LENS.rays()[v, u]) for v in (0, 19) for u in (0, 23))
    for z in (0.5, 3.0):
        points = np.array([(0.0, 0.999 * reach * z, z), (0.999 * reach * z, 0.0, z), (0.0, -1.001 * reach * z, z)])
        assert LENS.sees(points).tolist() == [True, True, False]
        assert CAMERA.sees(points * (9, 9, 1)).all(), "without a lens nothing folds"
    assert not LENS.rays().flags.writeable and LENS.usable and LENS.blind is None


def test_a_camera_without_rays() -> None:
    assert CAMERA.usable and not dataclasses.replace(CAMERA, fx=1e-40).usable
    assert not dataclasses.replace(CAMERA, cx=float("nan")).usable


def test_the_settings_that_the_documentation_names() -> None:
    assert LiftSettings() == LiftSettings(2, 0.1, 5.0, 0.02, 30)


def test_the_sensor_is_believed_from_its_least_to_its_most_depth() -> None:
    mask, limits = block((5, 9), (6, 11)), dataclasses.replace(FINE, min_depth_m=0.5, max_depth_m=2.0)
    for z, there in ((0.5, True), (2.0, True), (0.49, False), (2.01, False), (np.nan, False)):
        scene = lift(mask, np.full((20, 24), z, np.float32), limits)
        assert scene.targets[0].coverage == float(there) and len(scene.targets[0].points) == 20 * there
        assert len(scene.points) == (480 - 20) * there
        assert scene.targets[0].problem == "" if there else "between 0.5 and 2 m" in scene.targets[0].problem


def test_so_many_points_make_a_target_and_one_less_does_not() -> None:
    mask, depth = block((5, 9), (6, 11)), np.ones((20, 24), np.float32)
    target = lift(mask, depth, dataclasses.replace(FINE, min_points=20)).targets[0]
    assert len(target.points) == 20 and target.problem == "" and target.box is not None
    target = lift(mask, depth, dataclasses.replace(FINE, min_points=21)).targets[0]
    assert target.problem == "20 points with a depth are left of the mask; 21 are needed" and target.box is None
    assert target.points.shape == target.colors.shape == (0, 3)
    assert (target.points.dtype, target.colors.dtype) == (np.float32, np.uint8) and target.coverage == 1.0


INSIDE, EDGES = [((7, 13), (8, 15)), ((2, 18), (1, 23))], [((0, 6), (0, 7)), ((14, 20), (17, 24)), ((0, 20), (0, 24))]


@pytest.mark.parametrize(
    "rows, columns, erode_px",
    [(*place, px) for place in INSIDE for px in (0, 1, 3)] + [(*place, 0) for place in EDGES],  # an edge is no rim
)
def test_where_in_the_image_a_target_is_makes_no_difference(rows, columns, erode_px: int) -> None:  # type: ignore[no-untyped-def]
    """The same target in a wider image: only the part around a mask is looked at, and it is large enough."""
    mask = block(rows, columns)
    rng = np.random.default_rng(1)
    depth = np.where(mask, 0.8, 1.5).astype(np.float32) + rng.uniform(0, 0.004, mask.shape).astype(np.float32)
    rgb = noise()
    settings = LiftSettings(erode_px=erode_px, min_points=1)
    small = lift_masks([mask], rgb, depth, CAMERA, CAMERA, settings=settings)
    pad = ((9, 8), (7, 6))
    wide = dataclasses.replace(CAMERA, width=24 + 13, height=20 + 17, cx=CAMERA.cx + 7, cy=CAMERA.cy + 9)
    seen = lift_masks(
        [np.pad(mask, pad)],
        np.pad(rgb, (*pad, (0, 0))),
        np.pad(depth, pad, constant_values=np.nan),
        wide,
        wide,
        settings=settings,
    )
    assert seen.targets[0].points == pytest.approx(small.targets[0].points, abs=1e-6)
    assert np.array_equal(seen.targets[0].colors, small.targets[0].colors)
    assert len(seen.points) == len(small.points)
    assert seen.targets[0].box is not None and small.targets[0].box is not None
    assert seen.targets[0].box.size == pytest.approx(small.targets[0].box.size, abs=1e-6)


@pytest.mark.parametrize("rows, columns", [((0, 6), (0, 7)), ((14, 20), (17, 24)), ((0, 20), (0, 24))])
def test_a_transform_that_does_nothing_changes_nothing(rows, columns) -> None:  # type: ignore[no-untyped-def]
    mask = block(rows, columns)
    depth = np.where(mask, 0.8, 1.5).astype(np.float32)
    depth[3, 3] = depth[18, 20] = np.nan
    plain, moved = lift(mask, depth), lift(mask, depth, depth_to_color=np.eye(4))
    assert equal(plain.targets[0], moved.targets[0])
    assert np.array_equal(plain.points, moved.points) and np.array_equal(plain.colors, moved.colors)


def test_points_beside_the_color_image_are_black_and_those_behind_it_are_no_targets() -> None:
    depth, mask = np.full((20, 24), 1.0, np.float32), block((0, 20), (0, 24))
    matrix = np.eye(4)
    matrix[0, 3] = 6 / 30  # six pixels to the right
    scene = lift(np.zeros_like(mask), depth, depth_to_color=matrix)
    assert len(scene.points) == 480
    right = scene.points[:, 0] > (23.5 - 11.5) / 30
    assert right.sum() == 20 * 6 and not scene.colors[right].any() and scene.colors[~right].any(axis=1).mean() > 0.9
    assert lift(mask, depth, depth_to_color=matrix).targets[0].coverage == pytest.approx(18 / 24)
    matrix = np.eye(4)
    matrix[2, 3] = -1.0  # everything lies in the plane of the color camera
    assert lift(mask, depth, depth_to_color=matrix).targets[0].coverage == 0.0
    depth[:, :12] = np.nan
    assert lift(mask, depth, depth_to_color=np.eye(4)).targets[0].coverage == pytest.approx(0.5)


def hidden(z: list[float], pixel: list[int], scale: float, within: list[bool] | None = None) -> list[bool]:
    """For a color image of 12 x 3 px with a focal length of 100 px; everything falls on its middle row."""
    color = Intrinsics(12, 3, 100.0, 100.0, 6.0, 1.0)
    seen = np.array(within or [True] * len(z))
    where = np.array([12 + p for p in pixel])
    return rules._hidden(np.array(z, np.float32), where, seen, color, scale).tolist()


@pytest.mark.parametrize("scale, reach", [(0.5, 1), (1.0, 1), (2.9, 1), (3.1, 2), (5.1, 3)])
def test_what_is_nearer_hides_what_is_beside_it(scale: float, reach: int) -> None:
    beside = [pixel for pixel in range(12) if pixel != 5]
    found = hidden([1.0] + [9.0] * 11, [5, *beside], scale)
    assert found == [False] + [abs(pixel - 5) <= reach for pixel in beside]


@pytest.mark.parametrize("scale, size", [(1.0, 3), (4.0, 5)])
def test_a_steep_surface_does_not_hide_itself(scale: float, size: int) -> None:
    most = (1.0 + 0.02) / (1 - 4.0 * size / 100.0)
    assert hidden([1.0, most - 0.002], [5, 5], scale) == [False, False]
    assert hidden([1.0, most + 0.002], [5, 5], scale) == [False, True]
    assert hidden([1.0, 9.0], [5, 5], scale, [False, True]) == [False, False], "what is not seen hides nothing"


def test_a_rim_is_left_out_unless_little_would_be_left() -> None:
    square = block((5, 15), (5, 15))
    assert np.array_equal(rules._eroded(square, 1), block((6, 14), (6, 14)))
    assert np.array_equal(rules._eroded(square, 2), block((7, 13), (7, 13)))
    assert np.array_equal(rules._eroded(square, 3), block((7, 13), (7, 13))), "16 of 100 pixels are too few, 36 are not"
    assert np.array_equal(rules._eroded(square, 0), square)
    # Exactly a third.
    assert np.array_equal(rules._eroded(block((5, 8), (3, 12)), 1), block((5, 8), (3, 12)))
    assert np.array_equal(rules._eroded(block((5, 9), (5, 11)), 1), block((6, 8), (6, 10)))
    assert np.array_equal(rules._eroded(block((0, 10), (0, 10)), 1), block((0, 9), (0, 9))), (
        "the image's edge is no rim"
    )


def test_the_rim_is_what_lies_on_either_side_of_the_outline() -> None:
    square = block((5, 15), (5, 15))
    assert np.array_equal(rules._rim(square, 2), block((3, 17), (3, 17)) & ~block((7, 13), (7, 13)))
    assert not rules._rim(square, 0).any()


def test_a_body_is_its_largest_part_and_what_belongs_to_it() -> None:
    inner, z = block((2, 12), (2, 12)), np.full((20, 24), 1.0, np.float32)
    settings = LiftSettings()
    assert np.array_equal(rules._body(inner, z, settings), inner)
    assert not rules._body(np.zeros_like(inner), z, settings).any()
    five, four = block((15, 16), (2, 7)), block((15, 16), (2, 6))
    assert np.array_equal(rules._body(inner | five, z, settings), inner | five), "5 of 100 pixels are enough"
    assert np.array_equal(rules._body(inner | four, z, settings), inner)
    for depth, belongs in ((1.029, True), (0.971, True), (1.031, False), (0.969, False)):
        z[five] = depth
        found = rules._body(inner | five, z, settings)
        assert np.array_equal(found, inner | five if belongs else inner), depth
    # A body that is deep itself takes parts from as far again: 1.00 to 1.09 m here.
    z[2:12, 2:12] = 1.0 + 0.01 * np.arange(10)[:, None]
    for depth, belongs in ((1.17, True), (0.92, True), (1.19, False), (0.90, False)):
        z[five] = depth
        assert rules._body(inner | five, z, settings)[five].all() == belongs, depth


def test_a_bend_counts_and_a_slope_does_not() -> None:
    inner = np.ones((1, 7), np.bool_)
    slope = np.array([[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]], np.float32)
    assert not rules._bent(inner, slope, 0.02).any()
    step = np.array([[1.0, 1.0, 1.0, 1.03, 1.03, 1.03, 1.03]], np.float32)
    assert rules._bent(inner, step, 0.02).tolist() == [[False, False, True, True, False, False, False]]
    assert not rules._bent(inner, step, 0.04).any()
    for hole in (1, 2, 3):  # across a hole nothing is known
        inner = np.ones((1, 7), np.bool_)
        inner[0, hole] = False
        assert not rules._bent(inner, step, 0.02)[0, 2]


def test_a_body_grows_over_its_rim_as_far_as_that_goes_on_from_it() -> None:
    body, outline = block((6, 10), (6, 10)), block((3, 13), (3, 13))
    z = np.full((20, 24), 1.0, np.float32)
    for erode_px in (0, 1, 2):
        reach = erode_px + 1
        grown = rules._grown(body, outline, z, LiftSettings(erode_px=erode_px))
        assert np.array_equal(grown, block((6 - reach, 10 + reach), (6 - reach, 10 + reach)))
    assert np.array_equal(
        rules._grown(body, block((5, 13), (3, 9)), z, LiftSettings(erode_px=0)), body | block((5, 11), (5, 9))
    )
    settings = LiftSettings(erode_px=0, max_jump_m=0.02)
    for jump, goes_on in ((0.009, True), (-0.009, True), (0.011, False), (-0.011, False)):
        z[:, 10:] = 1.0 + jump
        assert rules._grown(body, outline, z, settings)[6:10, 10].all() == goes_on, jump
    # The depth that it goes on from is the mean of what is around.
    z = np.full((20, 24), 1.0, np.float32)
    z[6:8], z[8:10] = 1.0, 1.012
    z[:, 10] = 1.006
    assert rules._grown(body, outline, z, settings)[6:10, 10].all()


def test_a_pixel_grows_from_a_single_neighbour() -> None:
    body, z = block((6, 7), (6, 7)), np.full((20, 24), 1.0, np.float32)
    assert np.array_equal(rules._grown(body, np.ones_like(body), z, LiftSettings(erode_px=0)), block((5, 8), (5, 8)))


def seen_by(depth_size: int, scale: float, shown: np.ndarray | None = None) -> rules._Seen:
    """Depth pixels of 1 / scale of the color image's 20 x 20 px, each on the color pixel in its middle."""
    step = 20 // depth_size
    v, u = np.mgrid[0:depth_size, 0:depth_size] * step + step // 2
    every = np.ones((depth_size, depth_size), np.bool_)
    pixel = (v * 20 + u).astype(np.int32)
    return rules._Seen(np.zeros((depth_size, depth_size, 3)), every, every if shown is None else shown, pixel, scale)


def test_coverage_counts_the_masks_pixels_that_a_depth_pixel_falls_on() -> None:
    mask = block((4, 12), (4, 12), (20, 20))
    assert rules._coverage(np.zeros((20, 20), np.bool_), seen_by(20, 1.0)) == 0.0
    assert rules._coverage(mask, seen_by(20, 1.0)) == 1.0
    half = np.ones((20, 20), np.bool_)
    half[:, 8:] = False
    assert rules._coverage(mask, seen_by(20, 1.0, half)) == 0.5
    assert rules._coverage(mask, seen_by(10, 1.0)) == 0.25, "every fourth, where a depth pixel is a color pixel"
    assert rules._coverage(mask, seen_by(10, 2.0)) == 1.0, "and all, where it is as large as two by two"


def test_a_depth_camera_of_a_quarter_of_the_resolution_sees_small_targets_whole() -> None:
    """The part of the depth image that is looked at is large enough in depth pixels, too."""
    quarter = Intrinsics(6, 5, 7.5, 7.75, 2.5, 2.0)
    mask = block((4, 16), (4, 20))
    scene = lift_masks([mask], noise(), np.ones((5, 6), np.float32), CAMERA, quarter, settings=FINE)
    assert len(scene.targets[0].points) == 12 and scene.targets[0].coverage > 0.9
    assert len(scene.targets[0].points) + len(scene.points) == 30


def test_a_mask_that_the_depth_camera_does_not_see() -> None:
    depth = np.full((20, 24), np.nan, np.float32)
    target = lift(block((5, 9), (6, 11)), depth).targets[0]
    assert target.problem.startswith("no pixel of the mask has a depth between 0.1 and 5 m") and target.coverage == 0.0


@pytest.mark.parametrize("quaternion", [(0.1, 0.2, 0.3, 0.4), (-0.5, 0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 0.0)])
def test_rotations_turn_as_quaternions_do(quaternion: tuple[float, ...]) -> None:
    """q v q*, written out."""
    q = np.array(quaternion) / np.linalg.norm(quaternion)
    turn = rotation_of(tuple(3 * value for value in quaternion))
    for v in np.eye(3):
        cross = np.cross(q[:3], v)
        assert turn @ v == pytest.approx(v + 2 * q[3] * cross + 2 * np.cross(q[:3], cross), abs=1e-12)


@pytest.mark.parametrize("bad", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (0, np.inf, 0, 1), (0, 0, 0, 9e-10)])
def test_what_is_no_rotation_is_refused(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="is no rotation; expected a quaternion"):
        rotation_of(bad)
    assert rotation_of((0, 0, 0, 1.1e-9)).tolist() == np.eye(3).tolist()


def test_a_depth_camera_of_twice_the_resolution_keeps_the_rim_out_of_the_scene() -> None:
    """The part that is looked at is counted in depth pixels, of which there are two to a color pixel."""
    fine = Intrinsics(48, 40, 60.0, 62.0, 23.5, 19.5)
    mask = block((7, 13), (8, 15))
    scene = lift_masks(
        [mask], noise(), np.ones((40, 48), np.float32), CAMERA, fine, settings=LiftSettings(erode_px=3, min_points=1)
    )
    rays = fine.rays().reshape(-1, 2)
    pixels = np.floor(CAMERA.project(np.column_stack([rays, np.ones(len(rays))])) + 0.5).astype(int)
    near = block((4, 16), (5, 18))[np.clip(pixels[:, 1], 0, 19), np.clip(pixels[:, 0], 0, 23)]
    assert 48 * 40 - len(scene.points) == near.sum() > len(scene.targets[0].points)


def test_pixels_that_the_lens_has_no_ray_for_give_no_points() -> None:
    camera = Intrinsics(64, 48, 40.0, 40.0, 31.5, 23.5, (-0.35, 0.0, 0.0, 0.0))
    blind = camera.blind
    assert blind is not None and blind[0, 0] and not blind[24, 32] and camera.usable
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[blind] = 255
    lifted = lift_masks([np.ones((48, 64), np.bool_)], rgb, np.ones((48, 64), np.float32), camera, camera)
    assert len(lifted.targets[0].points) and not lifted.targets[0].colors.any()
    assert not Intrinsics(64, 48, 20.0, 20.0, 31.5, 23.5, (-0.9, 0.0, 0.0, 0.0)).usable  # hardly a pixel left
