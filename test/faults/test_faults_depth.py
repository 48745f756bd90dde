# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults of depth and calibration: the mask stays, and its place in 3-D is said to be missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from faults import fault
from rgbd_camera import FRAME, NEAR_M, SETTINGS, Rgbd, calibration, check_place, depth_m
from ros_harness import picture, wait_until
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros.convert import depth_to_image, rgb_to_image


@pytest.fixture
def camera(make_stack: Any) -> Rgbd:
    """An RGB-D camera before a stack that has lifted a mask already."""
    rgbd = Rgbd(make_stack(**SETTINGS, sync__depth_slop_s=0.001))  # frames may follow each other fast
    rgbd.calibrate()
    lifts(rgbd)
    return rgbd


def lifts(rgbd: Rgbd) -> None:
    """A frame as it should be gives a pose."""
    image = rgbd.frame()
    result = rgbd.stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE, result.error_msg
    check_place(result.masks.targets[0].centroid)
    assert result.masks.header == image.header


def not_lifted(rgbd: Rgbd, words: str, image: Image | None = None, topic: str = "") -> None:
    """The mask is there, its place is not, and the text says why."""
    image = image or rgbd.stack.send_image(message=rgb_to_image(picture(), rgbd.stack.header(0.0, FRAME)))
    result = rgbd.stack.do("take the mug").result
    assert result.error_code == ErrorCode.NO_DEPTH, result.error_msg
    assert words in result.error_msg and topic in result.error_msg, result.error_msg
    (target,) = result.masks.targets
    assert result.answer.found and target.area_px == 240 and not target.has_geometry
    recorder = rgbd.poses
    pose = wait_until(lambda: next((p for p in recorder.messages if p.header.stamp == image.header.stamp), None))
    assert math.isnan(pose.pose.position.x)


NO_PLACE = "found, with the mask and NO_DEPTH; pose NaN, clouds empty, `has_geometry` false"


@fault("stops", group="Depth and calibration", node="waits `sync.depth_slop_s` for it, then goes on", planner=NO_PLACE)
def test_depth_stops(camera: Rgbd) -> None:
    not_lifted(camera, "no depth image belongs to the image")
    lifts(camera)


@fault(
    "the depth image is of another moment (later or earlier than the image)",
    group="Depth and calibration",
    node="takes none that is more than `sync.depth_slop_s` away",
    planner=NO_PLACE,
)
def test_depth_of_another_moment(camera: Rgbd) -> None:
    for late_s in (-50.0, 50.0, 3600.0):
        not_lifted(camera, "no depth image belongs to the image", camera.frame(late_s=late_s))
    camera.stack.node.inputs.depth.clear()
    lifts(camera)


@pytest.mark.parametrize(
    "depth, words",
    [
        pytest.param(
            np.full((24, 32), NEAR_M, np.float32),
            "depth/camera_info: is for images of 64x48 px; they have 32x24",
            id="size",
            marks=fault(
                "the depth image has another size than its camera_info",
                group="Depth and calibration",
                node="computes nothing with a wrong lens",
                planner=NO_PLACE,
            ),
        ),
        pytest.param(
            np.full((48, 64), np.nan, np.float32),
            "red mug",
            id="nan",
            marks=fault(
                "the depth image holds no value (NaN, 0, negative, infinite)",
                group="Depth and calibration",
                node="takes each such pixel for one without depth",
                planner=NO_PLACE,
            ),
        ),
    ],
)
def test_depth_that_is_no_use(camera: Rgbd, depth: np.ndarray, words: str) -> None:
    not_lifted(camera, words, camera.frame(depth=depth))
    for value in (0.0, -1.0, np.inf) if words == "red mug" else ():
        not_lifted(camera, words, camera.frame(depth=np.full((48, 64), value, np.float32)))
    lifts(camera)


@fault(
    "the depth image has an unknown encoding, or is cut off",
    group="Depth and calibration",
    node="refuses the depth image alone",
    planner=NO_PLACE,
)
def test_broken_depth_image(camera: Rgbd) -> None:
    for field, value, words in (("encoding", "rgb8", "unknown encoding 'rgb8'"), ("data", b"123", "bytes of data")):
        header = camera.stack.header(0.0, FRAME)
        message = depth_to_image(depth_m(), header)
        setattr(message, field, value)
        camera.send("depth/image", message)
        not_lifted(camera, words, camera.stack.send_image(message=rgb_to_image(picture(), header)))
    lifts(camera)


@pytest.mark.parametrize(
    "fields, words",
    [
        pytest.param(
            {"k": [math.nan] * 9},
            "not finite",
            id="nan",
            marks=fault(
                "camera_info holds NaN",
                group="Depth and calibration",
                node="refuses the calibration",
                planner=NO_PLACE,
            ),
        ),
        pytest.param(
            {"k": [-60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]},
            "not calibrated",
            id="negative",
            marks=fault(
                "camera_info has a focal length of 0 or less",
                group="Depth and calibration",
                node="takes the camera for not calibrated",
                planner=NO_PLACE,
            ),
        ),
        pytest.param(
            {"width": 640, "height": 480},
            "is for images of 640x480 px",
            id="size",
            marks=fault(
                "camera_info changes to another size in mid-stream",
                group="Depth and calibration",
                node="refuses a calibration of other images",
                planner=NO_PLACE,
            ),
        ),
        pytest.param(
            {"distortion_model": "fish", "d": [0.1] * 4},
            "distortion model 'fish'",
            id="lens",
            marks=fault(
                "camera_info names a lens that is not known",
                group="Depth and calibration",
                node="refuses the calibration",
                planner=NO_PLACE,
            ),
        ),
        pytest.param(
            {"d": [1e30, -1e30, 1e20, 0.0, 1e30]},
            "",
            id="absurd",
            marks=fault(
                "camera_info holds finite numbers that no lens has (1e30)",
                group="Depth and calibration",
                node="gives no point that is not finite",
                planner=NO_PLACE,
            ),
        ),
    ],
)
@pytest.mark.parametrize("topic", ["camera_info", "depth/camera_info"])
def test_calibration(camera: Rgbd, topic: str, fields: dict[str, Any], words: str) -> None:
    info = calibration()
    for name, value in fields.items():
        setattr(info, name, value)
    camera.send(topic, info)
    not_lifted(camera, words, camera.frame(), f"{topic}: " if words else "")
    camera.calibrate()
    lifts(camera)


@fault(
    "depth comes in a frame that tf2 does not know, or in none",
    group="Depth and calibration",
    node="asks tf2; takes an empty frame_id for the image's own",
    planner=NO_PLACE + "; with an empty frame_id, a pose",
)
def test_depth_in_an_unknown_frame(camera: Rgbd) -> None:
    for frame_id, lifted in (("nowhere", False), ("", True)):
        header = camera.stack.header(0.0, FRAME)
        camera.send("depth/image", depth_to_image(depth_m(), Header(stamp=header.stamp, frame_id=frame_id)))
        image = camera.stack.send_image(message=rgb_to_image(picture(), header))
        if lifted:
            assert camera.stack.do("take the mug").result.masks.targets[0].has_geometry
        else:
            not_lifted(camera, "depth image in another frame", image)  # without tf2_ros, that is what is said
