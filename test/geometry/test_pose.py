# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Cameras, boxes and quaternions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llavaseg_ros.geometry import Intrinsics, principal_box, quaternion_of, transformed

LENSES = {
    "none": Intrinsics(64, 48, 60.0, 61.0, 31.0, 24.5),
    "plumb_bob": Intrinsics(64, 48, 60.0, 61.0, 31.0, 24.5, (0.1, -0.05, 0.001, 0.002, 0.01)),
    "rational": Intrinsics(64, 48, 60.0, 61.0, 31.0, 24.5, (0.1, -0.05, 0.001, 0.002, 0.01, 0.02, 0.0, 0.0)),
    "equidistant": Intrinsics(64, 48, 60.0, 61.0, 31.0, 24.5, (0.02, -0.01, 0.003, 0.0), True),
}


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def of_quaternion(x: float, y: float, z: float, w: float) -> np.ndarray:
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@pytest.mark.parametrize("name", LENSES)
def test_projecting_a_pixels_ray_gives_the_pixel(name: str) -> None:
    camera = LENSES[name]
    rays = camera.rays().reshape(-1, 2)
    pixels = camera.project(np.column_stack([rays * 0.7, np.full(len(rays), 0.7)]))
    v, u = np.divmod(np.arange(len(rays)), camera.width)
    assert pixels == pytest.approx(np.column_stack([u, v]), abs=0.05)


def test_rays_of_a_wide_lens_are_exact_in_the_corners() -> None:
    camera = Intrinsics(640, 480, 446.0, 446.0, 319.5, 239.5, (-0.36, 0.17, 0.0, 0.0, -0.04))
    rays = camera.rays()
    corners = np.array([(*rays[v, u], 1.0) for v, u in ((0, 0), (0, 639), (479, 0), (479, 639))])
    assert camera.project(corners) == pytest.approx(np.array([(0, 0), (639, 0), (0, 479), (639, 479)]), abs=0.02)


def test_rays_of_a_distorted_lens_differ_from_those_of_a_pinhole() -> None:
    assert abs(LENSES["plumb_bob"].rays() - LENSES["none"].rays()).max() > 0.005


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_box_of_points_is_found_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, turn = np.array([0.3, 0.12, 0.04]), rotation(rng)
    middle = np.array([*rng.uniform(-0.3, 0.3, 2), rng.uniform(0.4, 1.5)])
    points = rng.uniform(-0.5, 0.5, (4000, 3)) * size @ turn.T + middle
    box = principal_box(points)
    assert np.linalg.det(box.rotation) == pytest.approx(1.0)
    assert box.rotation.T @ box.rotation == pytest.approx(np.eye(3), abs=1e-9)
    assert box.center == pytest.approx(middle, abs=0.01)
    assert box.size == pytest.approx(size, rel=0.06)
    assert abs(box.rotation[:, 0] @ turn[:, 0]) > 0.995
    assert box.rotation[:, 2] @ box.center <= 0, "z points to the camera's side"
    assert box.rotation[np.argmax(abs(box.rotation[:, 0])), 0] > 0
    x, y, z, w = quaternion_of(box.rotation)
    assert w >= 0 and np.linalg.norm([x, y, z, w]) == pytest.approx(1.0)
    assert of_quaternion(x, y, z, w) == pytest.approx(box.rotation, abs=1e-9)


@pytest.mark.parametrize("axis", range(3))
def test_half_a_turn(axis: int) -> None:
    turn = -np.eye(3)
    turn[axis, axis] = 1
    assert of_quaternion(*quaternion_of(turn)) == pytest.approx(turn, abs=1e-9)


def test_one_far_point_does_not_stretch_a_box() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.05, 0.05, (2000, 3)) + (0, 0, 1)
    points[0] = (3, 3, 3)
    assert principal_box(points).size.max() < 0.2


def test_a_moved_box_is_the_box_of_moved_points() -> None:
    rng = np.random.default_rng(1)
    points = (rng.uniform(-0.5, 0.5, (500, 3)) * (0.3, 0.1, 0.05) + (0, 0, 1)).astype(np.float32)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(rng), (1, 2, 3)
    moved = principal_box(points).moved(matrix)
    assert moved.center == pytest.approx(transformed(points, matrix).mean(axis=0), abs=1e-5)
    assert moved.rotation == pytest.approx(matrix[:3, :3] @ principal_box(points).rotation)
    assert transformed(points, matrix).dtype == np.float32
