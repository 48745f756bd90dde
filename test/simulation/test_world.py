# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The simulated table: what stands on it, that physics and pictures agree, and that a grasp lifts what it is at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("llavaseg_ros.training.scenes.gl", exc_type=ImportError)

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.geometry import Intrinsics, lift_masks
from llavaseg_ros.grasping.gripper import Gripper
from llavaseg_ros.grasping.topdown import plan_grasps
from llavaseg_ros.simulation.convex import components, convex_pieces, slices
from llavaseg_ros.simulation.tables import KINDS, LEAST, MASSES, MOST, WIDEST, make_table, narrowest, pack_of
from llavaseg_ros.training.scenes import meshes, things
from llavaseg_ros.training.scenes.layout import footprints_apart, rectangle

if TYPE_CHECKING:
    from llavaseg_ros.simulation.world import World


@pytest.fixture(scope="module")
def world(off_screen: None) -> Iterator[World]:
    """Validation table 0."""
    from llavaseg_ros.simulation.world import World

    with World("val", 0) as world:
        yield world


def volume_of_hull(points: np.ndarray) -> float:
    """By MuJoCo, as the simulation has it."""
    from llavaseg_ros.training.scenes.gl import mujoco

    spec = mujoco.MjSpec()
    mesh = spec.add_mesh()
    mesh.name, mesh.uservert = "m", points.ravel()
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
    geom = spec.worldbody.add_body().add_geom()
    geom.type, geom.meshname, geom.density = mujoco.mjtGeom.mjGEOM_MESH, "m", 1.0
    return float(spec.compile().body_mass[1])


def test_slices_fill_a_thing_as_it_is() -> None:
    """The hull of an hourglass is a drum; its slices keep the waist."""
    hourglass = meshes.lathe(np.array([(0, 0), (0.03, 0), (0.005, 0.05), (0.03, 0.10), (0, 0.10)]), 32)
    triangles = hourglass.vertices[hourglass.faces]
    filled = sum(volume_of_hull(piece) for piece in slices(triangles))
    cone = np.pi * 0.05 / 3 * (0.03**2 + 0.03 * 0.005 + 0.005**2)
    assert filled == pytest.approx(2 * cone, rel=0.12)
    assert volume_of_hull(hourglass.vertices) > 2 * filled


def test_components_are_told_apart() -> None:
    two = meshes.merge([meshes.box(0.1, 0.1, 0.1), meshes.box(0.1, 0.1, 0.1).moved(0.5)])
    assert sorted(c[..., 0].min().round(2) for c in components(two)) == [-0.05, 0.45]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_pieces_within_it(kind: str) -> None:
    shape = things.build(kind, np.random.default_rng(5))
    points = np.concatenate(convex_pieces(shape))
    low, high = shape.vertices.min(0), shape.vertices.max(0)
    assert (points > low - 1e-6).all() and (points < high + 1e-6).all()
    # Nothing large is missing: leaves and stems may be.
    assert (np.ptp(points, axis=0) > 0.7 * (high - low)).all()


def test_tables_are_the_same_every_time_and_as_promised() -> None:
    pack = pack_of("val", 3)
    for number in (3, 4, 5):
        table = make_table("val", number, pack)
        again = make_table("val", number, pack)
        assert table.names == again.names
        objects = table.scene.objects
        assert [o.xy.tolist() for o in objects] == [o.xy.tolist() for o in again.scene.objects]
        assert LEAST <= len(objects) <= MOST
        assert len(set(table.names)) == len(objects)
        for i, one in enumerate(objects):
            assert one.item.category in MASSES
            assert narrowest(one.world(one.item.surface)) <= WIDEST < Gripper().opening
            for other in objects[:i]:
                a, b = (rectangle(o.xy, o.half, o.yaw) for o in (one, other))
                assert footprints_apart(a, b)


def test_a_table_that_is_none_is_refused() -> None:
    for split, number in (("valid", 0), ("val", -1)):
        with pytest.raises(ValueError, match="expected one of train, test, val"):
            make_table(split, number)


def test_the_picture_shows_things_where_the_physics_has_them(world: World) -> None:
    world.reset("val", 0)
    frame = world.look()
    assert frame.rgb.shape == (480, 640, 3) and frame.rgb.dtype == np.uint8
    assert frame.depth.shape == (480, 640) and frame.depth.dtype == np.uint16
    camera = world.table.scene.camera
    truth = frame.picture
    assert truth.depth is not None
    for i, pose in enumerate(world.physics.poses()):
        own = truth.instances == i + 1
        surface = world.table.scene.objects[i].item.surface @ pose.rotation.T + pose.position
        pixels, z = camera.project(surface)
        u, v = np.floor(pixels).astype(int).T
        near = own[v, u]
        assert near.mean() > 0.8, world.names[i]
        # In front of the camera at the distance that the depth image says, for the half that faces it.
        assert np.percentile(np.abs(z - truth.depth[v, u])[near], 40) < 0.04
    measured = frame.depth > 0
    error = np.abs(frame.depth[measured] / 1000 - truth.depth[measured])
    assert 0.0003 < np.median(error) < 0.003 and 0.9 < measured.mean() < 0.9999
    assert world.scene_record(truth)["objects"][0]["category"] in MASSES


def best_grasp(world: World, place: int) -> tuple[np.ndarray, np.ndarray]:
    """By the true mask, as in the run."""
    frame, c = world.look(), world.table.scene.camera
    k = Intrinsics(c.width, c.height, c.focal, c.focal, c.width / 2 - 0.5, c.height / 2 - 0.5)
    depth = np.where(frame.depth == 0, np.nan, frame.depth / 1000).astype(np.float32)
    lifted = lift_masks([frame.picture.instances == place + 1], frame.rgb, depth, k, k)
    grasp = plan_grasps(lifted.targets[0].points, lifted.points).grasps[0]
    return grasp.position, grasp.rotation


def test_a_grasp_lifts_what_it_is_at_and_nothing_else(world: World) -> None:
    lifted = []
    for place in range(3):
        world.reset("val", 0)
        outcome = world.grasp(*best_grasp(world, place))
        lifted.append(outcome.lifted == (place,))
        others = np.delete(outcome.rise, place)
        assert (np.abs(others) < 0.02).all(), "only the one thing has moved"
    assert sum(lifted) >= 2
    after = world.look().picture.instances
    world.reset("val", 0)
    assert (after != world.look().picture.instances).any()


def test_a_grasp_beside_everything_lifts_nothing(world: World) -> None:
    world.reset("val", 0)
    position, rotation = best_grasp(world, 0)
    camera = world.table.scene.camera
    far = camera.rotation.T @ (np.array([0.5, 0.5, 0.05]) - camera.position)
    assert world.grasp(far, rotation).lifted == ()


def test_grasps_that_cannot_be_are_refused(world: World) -> None:
    world.reset("val", 0)
    position, rotation = best_grasp(world, 0)
    sideways = rotation @ meshes.rotation("x", 60)
    for bad, why in (
        ((position, sideways), "60 degrees off straight down"),
        ((position * np.nan, rotation), "finite"),
        ((position + [5, 0, 0], rotation), "out of reach"),
        ((position, rotation, 0.2), "expected 0 to 0.085"),
    ):
        with pytest.raises(BadRequest, match=why):
            world.grasp(*bad)  # type: ignore[arg-type]
    assert world.physics.heights().min() > 0
