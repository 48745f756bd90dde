# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The conversions of the bridges: on stand-ins for the messages of other stacks, and on the real ones if installed."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from stand_ins import checked, package
from target_messages import header, masks, target

from llavaseg_ros.bridges import BRIDGES, MissingPackage, interfaces
from llavaseg_ros.bridges.boxes import has_pose, image_age_s
from llavaseg_ros.bridges.isaac import check_age, prompt_of_goal, result_of
from llavaseg_ros.bridges.moveit import LEAST_SIDE_M, collision_object, removal, scene_changes
from llavaseg_ros.bridges.vision import detections_2d, detections_3d
from llavaseg_ros.errors import BadRequest, StaleImage

Check = Callable[[Any], bytes]


def real(*names: str) -> list[Any]:
    return [importlib.import_module(f"{name}.msg") for name in names]


@pytest.fixture(params=["stand-ins", "real"])
def vision(request: pytest.FixtureRequest) -> tuple[Any, Check]:
    """vision_msgs.msg, and a function that fails for a message that cannot be sent."""
    if request.param == "stand-ins":
        return package("vision_msgs"), checked
    pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    return real("vision_msgs")[0], serialize_message


@pytest.fixture(params=["stand-ins", "real"])
def moveit(request: pytest.FixtureRequest) -> tuple[Any, Check]:
    if request.param == "stand-ins":
        found, check = [package(name) for name in ("moveit_msgs", "shape_msgs", "geometry_msgs")], checked
    else:
        pytest.importorskip("moveit_msgs.msg", reason="moveit_msgs is not installed")
        pytest.importorskip("shape_msgs.msg", reason="shape_msgs is not installed")
        found, check = real("moveit_msgs", "shape_msgs", "geometry_msgs"), serialize_message
    types = SimpleNamespace(
        CollisionObject=found[0].CollisionObject, SolidPrimitive=found[1].SolidPrimitive, Pose=found[2].Pose
    )
    return types, check


def test_a_detection_has_the_box_the_label_and_the_stamp_of_its_image(vision: tuple[Any, Check]) -> None:
    types, check = vision
    array = detections_2d(masks(target(), target(2, label="blue mug", geometry=False)), types)
    check(array)
    assert (array.header.stamp.sec, array.header.frame_id) == (100, "camera_color_optical_frame")
    first, second = array.detections
    assert (first.bbox.center.position.x, first.bbox.center.position.y) == (36.0, 20.0)
    assert (first.bbox.size_x, first.bbox.size_y, first.bbox.center.theta) == (12.0, 20.0, 0.0)
    assert first.results[0].hypothesis.class_id == "red mug"
    assert first.results[0].hypothesis.score == pytest.approx(0.75)
    assert second.results[0].hypothesis.class_id == "blue mug"
    assert (first.id, second.id) == ("c1.1", "c1.2")


def test_a_pose_is_told_only_in_the_frame_of_the_header_that_goes_out(vision: tuple[Any, Check]) -> None:
    types, check = vision
    camera = header().frame_id
    for frame, there in ((camera, 0.75), ("base_link", 0.0)):
        one = target(frame=frame)
        flat, solid = detections_2d(masks(one), types), detections_3d(masks(one), types)
        result = result_of(one, header(), "0", SimpleNamespace(Result=SimpleNamespace), types)
        for found in (flat.detections[0], result.detection):
            check(found)
            assert found.header.frame_id == camera
            assert found.results[0].pose.pose.position.z == there
        assert solid.detections[0].header.frame_id == frame
        assert solid.detections[0].results[0].pose.pose.position.z == 0.75


def test_a_detection_keeps_its_id_from_frame_to_frame(vision: tuple[Any, Check]) -> None:
    types, _ = vision
    ids = [detections_2d(masks(target(), sec=sec), types).detections[0].id for sec in (100, 101)]
    other = detections_2d(masks(target(), command_id="c2"), types).detections[0].id
    assert ids[0] == ids[1] != other


def test_a_3d_detection_is_in_the_frame_of_its_pose(vision: tuple[Any, Check]) -> None:
    types, check = vision
    array = detections_3d(masks(target(1, geometry=False), target(2)), types)
    check(array)
    assert (array.header.frame_id, array.header.stamp.sec) == ("base_link", 100)
    (found,) = array.detections
    assert found.id == "c1.2"
    assert found.header.frame_id == "base_link"
    center = found.bbox.center
    assert (center.position.x, center.position.y, center.position.z) == (0.1, -0.2, 0.75)
    assert center.orientation.z == pytest.approx(math.sqrt(0.5))
    assert (found.bbox.size.x, found.bbox.size.y, found.bbox.size.z) == (0.08, 0.06, 0.1)


def test_no_target_makes_empty_detections_with_the_new_stamp(vision: tuple[Any, Check]) -> None:
    types, check = vision
    for array in (detections_2d(masks(sec=300), types), detections_3d(masks(sec=300), types)):
        check(array)
        assert array.header.stamp.sec == 300
        assert not array.detections


def spoiled(what: str) -> Any:
    found = target()
    if what == "no geometry":
        found.has_geometry = False
    elif what == "NaN position":
        found.centroid.pose.position.y = math.nan
    elif what == "infinite position":
        found.centroid.pose.position.z = math.inf
    elif what == "NaN orientation":
        found.centroid.pose.orientation.w = math.nan
    elif what == "no rotation":
        turn = found.centroid.pose.orientation
        turn.x = turn.y = turn.z = turn.w = 0.0
    elif what == "NaN size":
        found.size.x = math.nan
    elif what == "negative size":
        found.size.y = -0.1
    elif what == "no size":
        found.size.x = found.size.y = found.size.z = 0.0
    return found


@pytest.mark.parametrize(
    "what",
    [
        "no geometry",
        "NaN position",
        "infinite position",
        "NaN orientation",
        "no rotation",
        "NaN size",
        "negative size",
        "no size",
    ],
)
def test_a_pose_that_cannot_be_believed_goes_nowhere(what: str) -> None:
    assert has_pose(target())
    found = spoiled(what)
    found.centroid.header = header()
    assert not has_pose(found)
    vision_types = package("vision_msgs")
    assert not detections_3d(masks(found), vision_types).detections
    pose = detections_2d(masks(found), vision_types).detections[0].results[0].pose.pose
    assert (pose.position.x, pose.position.y, pose.position.z) == (0.0, 0.0, 0.0)
    types = stand_in_moveit()
    changes, known = scene_changes(masks(found), {"mug"}, "mug", 0.0, types)
    assert [change.operation for change in changes] == [types.CollisionObject.REMOVE]
    assert known == set()


def stand_in_moveit() -> SimpleNamespace:
    return SimpleNamespace(
        CollisionObject=package("moveit_msgs").CollisionObject,
        SolidPrimitive=package("shape_msgs").SolidPrimitive,
        Pose=package("geometry_msgs").Pose,
    )


def test_a_collision_object_is_a_padded_box_at_the_pose(moveit: tuple[Any, Check]) -> None:
    types, check = moveit
    found = collision_object(target(), "mug", 0.01, types)
    check(found)
    assert found.operation == types.CollisionObject.ADD
    assert (found.id, found.header.frame_id, found.header.stamp.sec) == ("mug", "base_link", 100)
    assert found.pose.position.z == 0.75
    (box,) = found.primitives
    assert box.type == types.SolidPrimitive.BOX
    assert np.allclose(list(box.dimensions), [0.1, 0.08, 0.12])
    (inside,) = found.primitive_poses
    assert inside.orientation.w == 1.0


def test_a_flat_target_still_makes_a_solid_box(moveit: tuple[Any, Check]) -> None:
    types, check = moveit
    flat = target()
    flat.size.z = 0.0
    found = collision_object(flat, "paper", 0.0, types)
    check(found)
    assert found.primitives[0].dimensions[2] == LEAST_SIDE_M


def test_a_removal_names_one_object(moveit: tuple[Any, Check]) -> None:
    types, check = moveit
    gone = removal(header(), "mug", types)
    check(gone)
    assert (gone.operation, gone.id) == (types.CollisionObject.REMOVE, "mug")
    assert not gone.primitives
    with pytest.raises(ValueError, match="every object"):
        removal(header(), "", types)


def test_the_scene_follows_the_masks(moveit: tuple[Any, Check]) -> None:
    types, _ = moveit
    add, remove = types.CollisionObject.ADD, types.CollisionObject.REMOVE
    known: set[str] = set()
    seen = []
    for message in (
        masks(target(1), target(2)),
        masks(target(1)),
        masks(target(1, geometry=False)),
        masks(),
        masks(target(1)),
    ):
        changes, known = scene_changes(message, known, "mug", 0.0, types)
        seen.append([(change.operation, change.id) for change in changes])
    assert seen == [
        [(add, "mug"), (add, "mug_2")],
        [(remove, "mug_2"), (add, "mug")],
        [(remove, "mug")],
        [],
        [(add, "mug")],
    ]


def goal(point: tuple[float, float] | None = None, box: tuple[float, ...] = (0, 0, 0, 0, 0)) -> Any:
    """A SegmentAnything goal. box: center x, y, theta, size x, y."""
    types = package("vision_msgs")
    made = SimpleNamespace(
        use_point_hint=point is not None,
        initial_hint_point=types.Point2D(),
        initial_hint_bbox=types.BoundingBox2D(),
    )
    if point is not None:
        made.initial_hint_point.x, made.initial_hint_point.y = point
    bbox = made.initial_hint_bbox
    bbox.center.position.x, bbox.center.position.y, bbox.center.theta, bbox.size_x, bbox.size_y = box
    return made


def test_a_point_hint_becomes_a_foreground_point() -> None:
    request = prompt_of_goal(goal(point=(12.5, 30.0)))
    assert [(point.x, point.y) for point in request.points] == [(12.5, 30.0)]
    assert list(request.labels) == [request.FOREGROUND]
    assert (request.box.width, request.box.height) == (0, 0)
    assert request.newest_image, "a hint is about what the camera sees now"


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((50, 40, 0, 20, 10), (40, 35, 20, 10)),
        ((50, 40, math.pi / 2, 20, 10), (45, 30, 10, 20)),
        ((5, 4, 0, 20, 10), (0, 0, 15, 9)),
        ((10.5, 10.5, 0, 1, 1), (10, 10, 1, 1)),
    ],
)
def test_a_box_hint_becomes_the_upright_box_inside_the_image(box: Any, expected: tuple[int, int, int, int]) -> None:
    request = prompt_of_goal(goal(box=box))
    found = request.box
    got = np.array([found.x_offset, found.y_offset, found.width, found.height])
    assert not request.points
    assert np.abs(got - expected).max() <= 1  # outwards rounding of a turned box
    assert (got[:2] <= np.array(expected)[:2]).all()


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (goal(point=(math.nan, 3.0)), "initial_hint_point.*nan"),
        (goal(point=(1e9, 3.0)), "initial_hint_point"),
        (goal(), "initial_hint_bbox: 0x0"),
        (goal(box=(10, 10, 0, -5, 5)), "initial_hint_bbox: -5x5"),
        (goal(box=(10, 10, math.inf, 5, 5)), "initial_hint_bbox.*inf"),
        (goal(box=(-50, 10, 0, 5, 5)), "left of or above"),
    ],
)
def test_a_hint_that_cannot_be_used_is_named(made: Any, match: str) -> None:
    with pytest.raises(BadRequest, match=match):
        prompt_of_goal(made)


def test_an_isaac_result_holds_the_mask_and_its_detection() -> None:
    types = package("vision_msgs")
    action = SimpleNamespace(Result=SimpleNamespace)
    found = target(geometry=False)
    result = result_of(found, found.mask.header, "0", action, types)
    checked(result.detection)
    assert result.segmentation_mask is found.mask
    assert result.detection.bbox.size_x == 12.0
    assert result.detection.results[0].hypothesis.class_id == "red mug"


def test_an_old_mask_is_refused() -> None:
    now = 110 * 10**9 + 5
    assert image_age_s(header(100), now) == 10.0
    assert image_age_s(header(111), now) == -1.0
    check_age(header(109), now, 5.0)
    check_age(header(1), now, 0.0)
    with pytest.raises(StaleImage, match=r"10\.0 s old.*isaac.max_image_age_s"):
        check_age(header(100), now, 5.0)


def test_a_missing_package_is_named() -> None:
    with pytest.raises(MissingPackage, match="'moveit'.*no_such_msgs is not installed.*no-such-msgs"):
        interfaces("moveit", "no_such_msgs")
    assert set(BRIDGES) == {"vision", "moveit", "isaac"}
