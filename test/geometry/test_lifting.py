# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks and depth to points: on scenes whose truth is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.geometry import Intrinsics, LiftSettings, lift_masks

COLOR = Intrinsics(320, 240, 280.0, 280.0, 159.5, 119.5)
BOX_Z, TABLE_Z = 0.60, 0.90
# The face of a box, in metres: its middle and its width and height.
FACE = (0.05, -0.02, 0.16, 0.10)


def view(camera: Intrinsics, shift_x: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Depth float32 [H, W] and the mask of a box's face before a wall, from a camera at (shift_x, 0, 0)."""
    rays = camera.rays()
    at = rays * BOX_Z + (shift_x, 0.0)
    x, y, width, height = FACE
    mask = (np.abs(at[..., 0] - x) <= width / 2) & (np.abs(at[..., 1] - y) <= height / 2)
    return np.where(mask, BOX_Z, TABLE_Z).astype(np.float32), mask


def picture(mask: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: red where the mask is, blue elsewhere."""
    return np.where(mask[..., None], (200, 10, 20), (10, 20, 200)).astype(np.uint8)


def check_face(target, tolerance_m: float) -> None:
    assert target.box is not None, target.problem
    assert target.box.center == pytest.approx((FACE[0], FACE[1], BOX_Z), abs=tolerance_m)
    assert target.box.size[:2] == pytest.approx(FACE[2:], abs=2 * tolerance_m)
    assert abs(target.points[:, 2] - BOX_Z).max() < 1e-4
    assert (target.colors[:, 0] > 150).all()


def test_the_face_of_a_box_with_aligned_depth() -> None:
    depth, mask = view(COLOR)
    scene = lift_masks([mask], picture(mask), depth, COLOR, COLOR)
    (target,) = scene.targets
    check_face(target, 0.002)
    assert target.coverage == 1.0
    assert target.points.dtype == np.float32 and target.colors.dtype == np.uint8
    assert abs(scene.points[:, 2] - TABLE_Z).max() < 1e-4 and (scene.colors[:, 2] > 150).all()
    # The rim is nobody's: neither the target's nor in a planner's way.
    assert len(target.points) < mask.sum()
    assert len(target.points) + len(scene.points) < depth.size


def test_a_depth_camera_of_another_size_lens_and_place() -> None:
    """Half the resolution, a wider and distorted lens, 40 mm to the right."""
    lens = Intrinsics(212, 120, 130.0, 131.0, 104.0, 60.0, (0.08, -0.05, 0.001, -0.0005, 0.01))
    depth, _ = view(lens, 0.04)
    _, mask = view(COLOR)
    matrix = np.eye(4)
    matrix[0, 3] = 0.04
    scene = lift_masks([mask], picture(mask), depth, COLOR, lens, depth_to_color=matrix)
    check_face(scene.targets[0], 0.006)  # a depth pixel is 4.6 mm wide there
    assert scene.targets[0].coverage > 0.9
    ignoring = lift_masks([mask], picture(mask), depth, COLOR, lens).targets[0]
    assert ignoring.box is None or abs(ignoring.box.center[0] - FACE[0]) > 0.01, "the transform makes no difference"


def ramp(shift_x: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth and mask of a steep ramp before a wall, from a camera at (shift_x, 0, 0): z = 0.7 + 1.5 x."""
    rays = COLOR.rays()
    z = (0.7 + 1.5 * shift_x) / (1 - 1.5 * rays[..., 0])
    mask = (np.abs(rays[..., 0] * z + shift_x) <= 0.08) & (np.abs(rays[..., 1] * z) <= 0.05) & (z > 0)
    return np.where(mask, z, 0.86).astype(np.float32), mask


def test_what_is_hidden_behind_the_target_is_not_taken_for_it() -> None:
    """The depth camera, far to the left, sees the wall behind the ramp under the color camera's mask. The wall is near
    enough to the ramp's far end to be a part of it: only that it is hidden tells them apart."""
    depth, _ = ramp(-0.2)
    _, mask = ramp(0.0)
    matrix = np.eye(4)
    matrix[0, 3] = -0.2
    scene = lift_masks([mask], picture(mask), depth, COLOR, COLOR, depth_to_color=matrix)
    points = scene.targets[0].points
    assert len(points) > 500 and abs(points[:, 2] - 0.7 - 1.5 * points[:, 0]).max() < 0.01
    # It is an obstacle all the same.
    behind = scene.points[np.isclose(scene.points[:, 2], 0.86)]
    u, v = np.round(COLOR.project(behind)).astype(int).T
    assert mask[v, u].sum() > 500


def test_another_lens_in_the_same_place() -> None:
    lens = Intrinsics(320, 240, 200.0, 200.0, 150.0, 110.0)
    depth, _ = view(lens)
    _, mask = view(COLOR)
    check_face(lift_masks([mask], picture(mask), depth, COLOR, lens).targets[0], 0.004)


def test_the_scene_reaches_beyond_the_color_image() -> None:
    """A planner must not run into what only the wider depth camera sees."""
    wide = Intrinsics(320, 240, 140.0, 140.0, 159.5, 119.5)
    _, mask = view(COLOR)
    scene = lift_masks([mask], picture(mask), view(wide)[0], COLOR, wide)
    check_face(scene.targets[0], 0.006)
    outside = np.abs(scene.points[:, 0] / scene.points[:, 2]) > 160 / 280
    assert outside.sum() > 10_000 and not scene.colors[outside].any()


def test_a_lens_does_not_fold_the_far_side_into_the_mask() -> None:
    """Beyond its field a strong lens' polynomial turns round: what is there would land on the target."""
    color = Intrinsics(640, 480, 560.0, 560.0, 319.5, 239.5, (-0.42, 0.20, 0.0, 0.0, -0.05))
    wide = Intrinsics(512, 512, 140.0, 140.0, 255.5, 255.5)
    rays = wide.rays()
    depth = np.where((np.hypot(rays[..., 0], rays[..., 1]) > 1.5) & (rays[..., 0] < 0), 0.4, 1.0).astype(np.float32)
    mask = np.zeros((480, 640), np.bool_)
    mask[60:420, 20:200] = True
    rgb = np.zeros((480, 640, 3), np.uint8)
    matrix = np.eye(4)
    matrix[0, 3] = -0.03
    target = lift_masks([mask], rgb, depth, color, wide, depth_to_color=matrix).targets[0]
    assert target.box is not None and np.allclose(target.points[:, 2], 1.0) and target.coverage > 0.9


def test_no_value_and_the_range_of_the_sensor() -> None:
    depth, mask = view(COLOR)
    rows = np.flatnonzero(mask.any(axis=1))
    depth[rows[::2]] = np.nan
    target = lift_masks([mask], picture(mask), depth, COLOR, COLOR).targets[0]
    assert target.coverage == pytest.approx(0.5, abs=0.02)
    for settings in (LiftSettings(max_depth_m=0.5), LiftSettings(min_depth_m=0.7)):
        scene = lift_masks([mask], picture(mask), depth, COLOR, COLOR, settings=settings)
        assert scene.targets[0].box is None and not len(scene.targets[0].points)
        assert scene.targets[0].coverage == 0 and "geometry.min_depth_m" in scene.targets[0].problem
    nothing = lift_masks([mask], picture(mask), np.full_like(depth, np.nan), COLOR, COLOR)
    assert nothing.targets[0].box is None and not len(nothing.points)


def test_too_few_points() -> None:
    depth, mask = view(COLOR)
    spot = np.zeros_like(mask)
    spot[100:104, 180:184] = True
    target = lift_masks([spot], picture(mask), depth, COLOR, COLOR, settings=LiftSettings(erode_px=0)).targets[0]
    assert target.box is None and "16 points" in target.problem and "30 are needed" in target.problem
    assert lift_masks([spot], picture(mask), depth, COLOR, COLOR, settings=LiftSettings(min_points=5)).targets[0].box


def test_a_mask_that_spills_onto_the_wall_keeps_to_the_box() -> None:
    depth, mask = view(COLOR)
    spilled = mask | np.roll(mask, 12, axis=1)
    scene = lift_masks([spilled], picture(mask), depth, COLOR, COLOR)
    check_face(scene.targets[0], 0.003)
    # What lies behind the target inside its mask is an obstacle like any other.
    row, column = int(np.flatnonzero(mask.any(axis=1)).mean()), int(np.flatnonzero(mask.any(axis=0))[-1]) + 6
    assert spilled[row, column] and not mask[row, column]
    behind = np.append(COLOR.rays()[row, column], 1) * TABLE_Z
    assert np.linalg.norm(scene.points - behind, axis=1).min() < 1e-4


def test_mixed_pixels_of_the_edge_make_no_points_in_the_air() -> None:
    depth, mask = view(COLOR)
    column = int(np.flatnonzero(mask.any(axis=0))[-1])
    depth[mask.any(axis=1), column] = (BOX_Z + TABLE_Z) / 2
    target = lift_masks([mask], picture(mask), depth, COLOR, COLOR, settings=LiftSettings(erode_px=0)).targets[0]
    assert abs(target.points[:, 2] - BOX_Z).max() < 1e-4


def test_a_thing_in_front_does_not_cut_the_target_in_half() -> None:
    """A pole stands before the box: both halves are the target's, and the pole is not."""
    depth, mask = view(COLOR)
    middle = int(np.flatnonzero(mask.any(axis=0)).mean())
    depth[:, middle - 4 : middle + 4] = 0.4
    mask[:, middle - 4 : middle + 4] = False
    target = lift_masks([mask], picture(mask), depth, COLOR, COLOR).targets[0]
    check_face(target, 0.003)


def test_a_steep_side_is_no_jump() -> None:
    """A plane that leans away by 75 degrees stays in one piece."""
    rays = COLOR.rays()
    depth = (0.6 / (1 - np.tan(np.radians(75)) * np.clip(rays[..., 0], -1, 0.2) * 0.5)).astype(np.float32)
    mask = np.zeros(depth.shape, np.bool_)
    mask[80:160, 100:220] = True
    settings = LiftSettings(erode_px=0, max_jump_m=0.005)
    target = lift_masks([mask], picture(mask), depth, COLOR, COLOR, settings=settings).targets[0]
    assert len(target.points) > 0.95 * mask.sum()


def test_thin_targets_are_eroded_less() -> None:
    depth = np.full((240, 320), 0.6, np.float32)
    pen = np.zeros(depth.shape, np.bool_)
    pen[100:103, 60:200] = True
    target = lift_masks([pen], picture(pen), depth, COLOR, COLOR, settings=LiftSettings(erode_px=4)).targets[0]
    assert target.box is not None and target.box.size[0] == pytest.approx(140 * 0.6 / 280, rel=0.05)


def test_several_targets_and_the_scene_without_the_first() -> None:
    depth, mask = view(COLOR)
    other = np.zeros_like(mask)
    other[200:230, 20:80] = True
    scene = lift_masks([mask, other], picture(mask), depth, COLOR, COLOR)
    assert [t.box is not None for t in scene.targets] == [True, True]
    assert scene.targets[1].box.center[2] == pytest.approx(TABLE_Z, abs=1e-4)
    with_other = {tuple(np.round(p, 4)) for p in scene.points}
    assert tuple(np.round(scene.targets[1].points[0], 4)) in with_other
    assert not len(lift_masks([mask], picture(mask), depth, COLOR, COLOR, scene=False).points)


@pytest.mark.parametrize("what", ["image", "depth image", "mask"])
def test_sizes_that_do_not_fit_are_named(what: str) -> None:
    depth, mask = view(COLOR)
    rgb = picture(mask)
    given = mask[:7] if what == "mask" else mask
    image = rgb[:100] if what == "image" else rgb
    metres = depth[:, :99] if what == "depth image" else depth
    with pytest.raises(BadRequest, match=rf"{what}: \d+x\d+ px; its camera_info is for 320x240"):
        lift_masks([given], image, metres, COLOR, COLOR)


def test_points_that_no_number_tells_are_on_no_pixel() -> None:
    """A transform from elsewhere with an infinite place: nothing is seen there, and nothing is taken for pixel 0."""
    depth, mask = view(COLOR)
    mask[0, 0] = True
    for value in (np.inf, -np.inf, np.nan, 1e30):
        matrix = np.eye(4)
        matrix[0, 3] = value
        with np.errstate(all="ignore"):
            target = lift_masks([mask], picture(mask), depth, COLOR, COLOR, depth_to_color=matrix).targets[0]
        assert target.box is None and target.coverage == 0.0 and not len(target.points)
