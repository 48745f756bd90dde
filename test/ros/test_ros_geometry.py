# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From masks to points and poses in the node, over real DDS: depth by stamp, and what can be wrong with it."""

from __future__ import annotations

import math
import sys
import time
import types
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import Transform, TransformStamped
from rclpy.parameter import Parameter
from rgbd_camera import (
    CENTER,
    FAR_M,
    FOCAL,
    FRAME,
    HEIGHT,
    NEAR_M,
    SETTINGS,
    WIDTH,
    Rgbd,
    calibration,
    check_nothing,
    check_place,
    depth_m,
)
from ros_harness import picture, wait_until
from scripted_pipeline import Gate, ScriptedPipeline
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, RegionOfInterest
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from llavaseg_ros.errors import ErrorCode, NoDepth
from llavaseg_ros.ros.clouds import cloud, cloud_points
from llavaseg_ros.ros.convert import depth_mm_to_image, depth_to_image, rgb_to_image
from llavaseg_ros.ros.depth import intrinsics
from llavaseg_ros.srv import SegmentAtPrompt


@pytest.fixture
def camera(make_stack: Any) -> Any:
    """camera(pipeline=..., **parameters) -> an Rgbd, calibrated, without a frame yet."""

    def make(pipeline: Any = None, *, calibrated: bool = True, **parameters: Any) -> Rgbd:
        rgbd = Rgbd(make_stack(pipeline, **{**SETTINGS, **parameters}))
        if calibrated:
            rgbd.calibrate()
        return rgbd

    return make


# --- what goes out ---


def test_points_pose_and_size_go_out_with_the_stamp_of_the_image(camera: Any) -> None:
    rgbd = camera()
    image = rgbd.frame()
    answer = rgbd.stack.ask("take the mug")
    assert answer.found and answer.error_code == ErrorCode.NONE
    points, scene, pose = rgbd.last()
    assert points.header == scene.header == pose.header == image.header
    found, rest = cloud_points(points), cloud_points(scene)
    assert len(found) == 240 and found[:, 2] == pytest.approx(NEAR_M, abs=1e-5)
    assert len(rest) == HEIGHT * WIDTH - 240 and rest[:, 2] == pytest.approx(FAR_M, abs=1e-5)
    check_place(pose)
    (target,) = rgbd.stack.masks.wait()[-1].targets
    assert target.has_geometry and target.depth_coverage == 1.0 and target.centroid == pose
    expected = (19 * NEAR_M / FOCAL, 11 * NEAR_M / FOCAL)
    assert (target.size.x, target.size.y) == pytest.approx(expected, abs=0.005) and target.size.z < 0.002
    # A planner that reads the cloud by PCL's convention sees the picture's colors.
    packed = np.frombuffer(points.data, np.uint32).reshape(-1, 4)[:, 3]
    assert set((packed >> 16) & 255) == {220} and set(packed & 255) == {30}


def test_a_planner_that_starts_after_the_answer_gets_the_last_target(camera: Any) -> None:
    rgbd = camera()
    image = rgbd.frame()
    rgbd.stack.ask("take the mug")
    late = rgbd.stack.record(PointCloud2, "llavaseg/target_points")
    assert late.wait()[0].header == image.header and late.messages[0].width == 240


@pytest.mark.parametrize("command", ["take the banana", "how many mugs are there?"])
def test_without_a_target_the_last_one_is_wiped(camera: Any, command: str) -> None:
    rgbd = camera()
    rgbd.frame()
    assert rgbd.stack.ask("take the mug").found
    image = rgbd.frame()
    rgbd.stack.ask(command)
    check_nothing(rgbd, image.header)


def test_millimetres_and_metres(camera: Any) -> None:
    rgbd = camera()
    image = rgbd.frame()
    rgbd.stack.node.inputs.depth.clear()
    mm = np.round(1000 * depth_m()).astype(np.uint16)
    mm[8:14] = 0  # no value
    rgbd.send("depth/image", depth_mm_to_image(mm, image.header))
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    (target,) = rgbd.stack.masks.wait()[-1].targets
    assert target.depth_coverage == pytest.approx(0.5) and target.centroid.pose.position.z == pytest.approx(NEAR_M)


def test_depth_of_another_size_and_lens(camera: Any) -> None:
    """Half the pixels and a wider view: matched through both calibrations."""
    rgbd = camera()
    rgbd.send("depth/camera_info", calibration(40, 30, 30.0))
    u, v = np.meshgrid(np.arange(40), np.arange(30))
    x, y = (u - 19.5) / 30.0 * FOCAL + 31.5, (v - 14.5) / 30.0 * FOCAL + 23.5
    on = (x > 9.5) & (x < 29.5) & (y > 7.5) & (y < 19.5)
    rgbd.frame(depth=np.where(on, NEAR_M, FAR_M).astype(np.float32))
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    check_place(rgbd.poses.wait()[-1], tolerance=0.03)  # a depth pixel is 27 mm wide there


def test_action_tells_the_stage_and_brings_the_place(camera: Any) -> None:
    rgbd = camera()
    rgbd.frame()
    feedback: list[Any] = []
    handle = rgbd.stack.send_goal("take the mug", feedback.append, want_geometry=True)
    # Before the result is asked for: rclpy's client drops feedback once it has it.
    wait_until(lambda: feedback and feedback[-1].state == "LIFTING", what="the last feedback")
    done = rgbd.stack.result(handle)
    assert done.status == GoalStatus.STATUS_SUCCEEDED and done.result.masks.targets[0].has_geometry
    check_place(done.result.masks.targets[0].centroid)


def test_every_followed_frame_has_its_own_place(camera: Any) -> None:
    rgbd = camera(follow__enabled=True)
    rgbd.frame()
    assert rgbd.stack.ask("take the mug").found
    for near in (0.7, 0.9):
        image = rgbd.frame(depth=depth_m(near))
        pose = wait_until(
            lambda image=image: next((p for p in list(rgbd.poses.messages) if p.header == image.header), None),
            what="the pose of the frame",
        )
        assert pose.pose.position.z == pytest.approx(near, abs=1e-4)
    rgbd.stack.call(SetBool, "llavaseg/follow", SetBool.Request(data=False))


def test_a_box_has_a_place_too(camera: Any) -> None:
    rgbd = camera()
    image = rgbd.frame()
    request = SegmentAtPrompt.Request(box=RegionOfInterest(x_offset=10, y_offset=8, width=20, height=12))
    response = rgbd.stack.call(SegmentAtPrompt, "llavaseg/segment_at_prompt", request)
    assert response.error_code == ErrorCode.NONE and response.header == image.header
    check_place(response.target.centroid)
    late = rgbd.stack.send_image(message=rgb_to_image(picture(), rgbd.stack.header(frame_id=FRAME)))
    rgbd.stack.node.inputs.depth.clear()
    assert rgbd.stack.ask("take the mug", image_stamp=late.header.stamp).error_code == ErrorCode.NO_DEPTH
    response = rgbd.stack.call(SegmentAtPrompt, "llavaseg/segment_at_prompt", request)
    assert response.error_code == ErrorCode.NO_DEPTH and response.target.area_px


# --- matching by stamp ---


def test_depth_within_the_slop_is_matched_and_beyond_it_is_not(camera: Any) -> None:
    rgbd = camera(sync__depth_slop_s=0.03)
    rgbd.frame(late_s=0.02)
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    rgbd.stack.node.inputs.depth.clear()
    image = rgbd.frame(late_s=0.08)
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_DEPTH and answer.found, "the mask is good, and goes out"
    assert "0.080 s away; sync.depth_slop_s allows 0.03 s" in answer.error_msg
    check_nothing(rgbd, image.header)
    (target,) = rgbd.stack.masks.wait(2)[-1].targets
    assert target.area_px == 240 and not target.has_geometry


def test_of_several_depth_images_the_one_of_the_same_moment_counts(camera: Any) -> None:
    rgbd = camera(sync__depth_slop_s=1.0)
    rgbd.frame(depth=depth_m(0.5), age_s=0.3)
    middle = rgbd.frame(depth=depth_m(0.7), age_s=0.2)
    rgbd.frame(depth=depth_m(0.9), age_s=0.1)
    rgbd.stack.ask("take the mug", image_stamp=middle.header.stamp)
    pose = rgbd.poses.wait()[-1]
    assert pose.header == middle.header and pose.pose.position.z == pytest.approx(0.7)


def test_depth_that_left_the_ring_while_the_model_thought_is_still_there(camera: Any) -> None:
    gate = Gate()
    rgbd = camera(ScriptedPipeline(on_segment=gate), sync__ring_size=2)
    image = rgbd.frame()
    rgbd.stack.send_command("take the mug")
    assert gate.reached.wait(60)
    for _ in range(4):
        rgbd.frame(depth=depth_m(0.5))
    gate.open.set()
    answer = wait_until(rgbd.stack.final_answers, what="the answer")[0]
    assert answer.error_code == ErrorCode.NONE, answer.error_msg
    pose = rgbd.poses.wait()[-1]
    assert pose.header == image.header and pose.pose.position.z == pytest.approx(NEAR_M)


def test_depth_that_comes_after_the_command_is_waited_for(camera: Any) -> None:
    """The depth image of a frame is often some milliseconds behind it."""
    gate = Gate()
    rgbd = camera(ScriptedPipeline(on_segment=gate))
    image = rgbd.stack.send_image(message=rgb_to_image(picture(), rgbd.stack.header(frame_id=FRAME)))
    rgbd.stack.send_command("take the mug")
    assert gate.reached.wait(60)
    rgbd.send("depth/image", depth_to_image(depth_m(), image.header))
    gate.open.set()
    answer = wait_until(rgbd.stack.final_answers, what="the answer")[0]
    assert answer.error_code == ErrorCode.NONE, answer.error_msg
    check_place(rgbd.poses.wait()[-1])


def test_the_depth_image_before_is_not_taken_while_the_right_one_is_on_its_way(camera: Any) -> None:
    rgbd = camera(sync__depth_slop_s=10.0)
    rgbd.frame(depth=depth_m(0.5), age_s=0.1)
    image = rgbd.stack.send_image(message=rgb_to_image(picture(), rgbd.stack.header(frame_id=FRAME)))
    rgbd.stack.send_command("take the mug", image_stamp=image.header.stamp)
    assert rgbd.stack.pipeline.started.wait(30)
    time.sleep(0.3)
    assert not rgbd.stack.final_answers()
    rgbd.send("depth/image", depth_to_image(depth_m(0.7), image.header))
    assert wait_until(rgbd.stack.final_answers, what="the answer")[0].error_code == ErrorCode.NONE
    assert rgbd.poses.wait()[-1].pose.position.z == pytest.approx(0.7)


def test_the_depth_image_before_is_taken_when_no_better_one_comes(camera: Any) -> None:
    rgbd = camera(sync__depth_slop_s=0.2)
    rgbd.frame(late_s=-0.05)
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    check_place(rgbd.poses.wait()[-1])


def test_a_camera_that_never_sent_depth_is_not_waited_for(camera: Any) -> None:
    rgbd = camera(sync__depth_slop_s=10.0)
    rgbd.stack.send_image()
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NONE and answer.latency.sec < 10


# --- what can be wrong ---


def test_a_camera_without_depth_is_no_error_unless_geometry_is_asked_for(camera: Any) -> None:
    rgbd = camera()
    rgbd.stack.send_image()
    answer = rgbd.stack.ask("take the mug")
    assert answer.found and answer.error_code == ErrorCode.NONE
    assert rgbd.points.wait()[-1].width == 0
    done = rgbd.stack.do("take the mug", want_geometry=True)
    assert done.status == GoalStatus.STATUS_ABORTED and done.result.error_code == ErrorCode.NO_DEPTH
    assert "no depth image has come" in done.result.error_msg and done.result.masks.targets[0].area_px == 240


def test_required_geometry(camera: Any) -> None:
    rgbd = camera(geometry__required=True)
    rgbd.stack.send_image()
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NO_DEPTH


def test_depth_switched_off(camera: Any) -> None:
    rgbd = Rgbd(camera(calibrated=False, depth_enabled=False).stack)
    rgbd.stack.send_image()
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    done = rgbd.stack.do("take the mug", want_geometry=True)
    assert done.result.error_code == ErrorCode.NO_DEPTH and "depth_enabled" in done.result.error_msg


def test_an_image_of_the_goals_own_has_no_depth(camera: Any) -> None:
    rgbd = camera()
    rgbd.frame()
    own = rgb_to_image(picture(), rgbd.stack.header(frame_id=FRAME))
    done = rgbd.stack.do("take the mug", use_image=True, image=own)
    assert done.result.error_code == ErrorCode.NONE and not done.result.masks.targets[0].has_geometry
    done = rgbd.stack.do("take the mug", use_image=True, image=own, want_geometry=True)
    assert done.result.error_code == ErrorCode.NO_DEPTH and "came with the command" in done.result.error_msg


def test_a_prompt_on_a_goals_own_image_has_no_depth_either(camera: Any) -> None:
    rgbd = camera()
    rgbd.frame()
    own = rgb_to_image(picture(), rgbd.stack.header(frame_id="wrist_camera"))
    rgbd.stack.do("take the mug", use_image=True, image=own)
    box = RegionOfInterest(x_offset=10, y_offset=8, width=20, height=12)
    response = rgbd.stack.call(SegmentAtPrompt, "llavaseg/segment_at_prompt", SegmentAtPrompt.Request(box=box))
    assert response.header == own.header and response.target.area_px == 240 and not response.target.has_geometry


BROKEN_DEPTH = {
    "all NaN": (lambda image: depth_to_image(np.full((HEIGHT, WIDTH), np.nan, np.float32), image.header), "no pixel"),
    "another size": (
        lambda image: depth_to_image(np.ones((10, 12), np.float32), image.header),
        "depth/camera_info: is for images of 64x48 px; they have 12x10",
    ),
    "encoding": (lambda image: rgb_to_image(picture(), image.header), "unknown encoding 'rgb8'"),
    "cut off": (
        lambda image: Image(header=image.header, height=HEIGHT, width=WIDTH, step=4 * WIDTH, encoding="32FC1"),
        "0 bytes of data",
    ),
}


@pytest.mark.parametrize("what", BROKEN_DEPTH)
def test_broken_depth_is_named_and_the_node_goes_on(camera: Any, what: str) -> None:
    make, expected = BROKEN_DEPTH[what]
    rgbd = camera()
    rgbd.frame()
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    image = rgbd.frame()
    rgbd.stack.node.inputs.depth.clear()
    rgbd.send("depth/image", make(image))
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_DEPTH and expected in answer.error_msg and answer.found
    check_nothing(rgbd, image.header)
    rgbd.frame()
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE


def test_calibration_missing_zero_or_of_another_size(camera: Any) -> None:
    rgbd = camera(calibrated=False)
    rgbd.frame()
    assert "no camera_info has come" in rgbd.stack.ask("take the mug").error_msg
    rgbd.send("camera_info", CameraInfo(width=WIDTH, height=HEIGHT))
    assert "camera_info: focal lengths 0 and 0 px" in rgbd.stack.ask("take the mug").error_msg
    rgbd.send("camera_info", calibration(128, 96))
    assert "camera_info: is for images of 128x96 px; they have 64x48" in rgbd.stack.ask("take the mug").error_msg
    rgbd.send("camera_info", calibration())
    answer = rgbd.stack.ask("take the mug")
    assert "no depth/camera_info has come" in answer.error_msg and answer.error_code == ErrorCode.NO_DEPTH
    for field, value in (("k", float("nan")), ("k", float("inf")), ("d", float("nan"))):
        broken = calibration()
        getattr(broken, field)[2] = value
        rgbd.send("camera_info", broken)
        assert "K or D holds a number that is not finite" in rgbd.stack.ask("take the mug").error_msg
    rgbd.send("camera_info", calibration())
    odd = calibration()
    odd.distortion_model, odd.d = "kannala", [0.1]
    rgbd.send("depth/camera_info", odd)
    assert "distortion model 'kannala'" in rgbd.stack.ask("take the mug").error_msg
    rgbd.send("depth/camera_info", calibration())
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE


def test_coefficients_that_a_driver_fills_up_with_zeros() -> None:
    info = calibration()
    for model, given, taken in (("equidistant", [0.1, 0.01, 0.0, 0.0, 0.0], 4), ("plumb_bob", [0.1] * 5 + [0.0], 5),
                                ("rational_polynomial", [0.1] * 8 + [0.0] * 4, 12), ("plumb_bob", [0.1] * 4, 4)):
        info.distortion_model, info.d = model, given
        found = intrinsics(info, "camera_info", (HEIGHT, WIDTH), rectified=False)
        assert found.distortion == tuple(given[:taken]) and found.fisheye == (model == "equidistant")
        found.rays()
    info.distortion_model, info.d = "equidistant", [0.1, 0.0, 0.0, 0.0, 0.1]
    with pytest.raises(NoDepth, match="distortion model 'equidistant' with 5 coefficients"):
        intrinsics(info, "camera_info", (HEIGHT, WIDTH), rectified=False)


def test_binning_and_region_of_interest(camera: Any) -> None:
    """The calibration is that of the full sensor; the image a binned part of it."""
    rgbd = camera()
    info = calibration(200, 150, 2 * FOCAL)
    info.binning_x = info.binning_y = 2
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 20, 10, 2 * WIDTH, 2 * HEIGHT
    info.k[2], info.k[5] = 2 * 31.5 + 20, 2 * 23.5 + 10
    rgbd.send("camera_info", info)
    rgbd.frame()
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    check_place(rgbd.poses.wait()[-1])


def test_frames_that_need_tf2_name_it_where_it_is_missing(camera: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    rgbd = camera(geometry__target_frame="base_link")
    image = rgbd.frame()
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_DEPTH
    assert "geometry.target_frame" in answer.error_msg and "tf2_ros" in answer.error_msg
    check_nothing(rgbd, image.header)


class ScriptedBuffer:
    """The one method of tf2_ros.Buffer that the node calls: base_link is known, and turned about the optical axis."""

    asked: list[tuple[str, str, int]] = []

    def __init__(self, cache_time: Any = None) -> None:
        assert cache_time.nanoseconds > 60 * 10**9, "a model may think for a minute"

    def lookup_transform(self, target: str, source: str, when: Any, timeout: Any = None) -> TransformStamped:
        self.asked.append((target, source, when.nanoseconds))
        if target != "base_link":
            raise LookupError(f'"{target}" passed to lookupTransform argument target_frame does not exist')
        transform = Transform()
        transform.translation.x = 10.0
        transform.rotation.z = transform.rotation.w = math.sqrt(0.5)
        return TransformStamped(transform=transform)


def test_target_frame_through_tf2_at_the_images_stamp(camera: Any, monkeypatch: Any) -> None:
    scripted = types.SimpleNamespace(Buffer=ScriptedBuffer, TransformListener=lambda buffer, node: None)
    monkeypatch.setitem(sys.modules, "tf2_ros", scripted)
    rgbd = camera(geometry__target_frame="base_link")
    image = rgbd.frame()
    assert rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE
    stamp = image.header.stamp
    assert ScriptedBuffer.asked[-1] == ("base_link", FRAME, stamp.sec * 10**9 + stamp.nanosec)
    points, scene, pose = rgbd.last()
    assert {points.header.frame_id, scene.header.frame_id, pose.header.frame_id} == {"base_link"}
    assert points.header.stamp == stamp
    # A quarter turn about z: x becomes y, y becomes -x.
    check_place(pose, (10 - CENTER[1], CENTER[0], CENTER[2]))
    assert cloud_points(points).mean(axis=0) == pytest.approx((10 - CENTER[1], CENTER[0], CENTER[2]), abs=0.004)
    rgbd.stack.node.set_parameters([Parameter("geometry.target_frame", value="nowhere")])
    image = rgbd.frame()
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_DEPTH and "'nowhere'" in answer.error_msg
    check_nothing(rgbd, image.header)


def test_depth_in_another_frame_goes_through_its_transform(camera: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    rgbd = camera()
    image = rgbd.frame()
    rgbd.stack.node.inputs.depth.clear()
    header = Header(stamp=image.header.stamp, frame_id="camera_depth_optical_frame")
    rgbd.send("depth/image", depth_to_image(depth_m(), header))
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_DEPTH
    assert "another frame" in answer.error_msg and "tf2_ros" in answer.error_msg


def test_an_image_without_a_stamp(camera: Any) -> None:
    rgbd = camera()
    rgbd.frame()
    rgbd.stack.send_image(message=rgb_to_image(picture(), Header(frame_id=FRAME)))
    rgbd.stack.node.inputs.images.clear()
    rgbd.stack.send_image(message=rgb_to_image(picture(), Header(frame_id=FRAME)))
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_DEPTH and "has no stamp" in answer.error_msg


# --- clouds ---


def test_clouds_read_back_and_what_is_no_cloud_is_refused() -> None:
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    msg = cloud(points, np.full((4, 3), 7, np.uint8), Header())
    assert cloud_points(msg) == pytest.approx(points)
    with_nan = points.copy()
    with_nan[1, 2] = np.nan
    assert len(cloud_points(cloud(with_nan, np.zeros((4, 3), np.uint8), Header()))) == 3
    with pytest.raises(ValueError, match="expected x, y, z as float32"):
        cloud_points(PointCloud2())
    msg.data = msg.data[:40]
    with pytest.raises(ValueError, match="40 bytes of data; 4 points need 64"):
        cloud_points(msg)
