# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The run's side of the conversation: sets out tables, gives commands, hands grasps to the robot, all over ROS topics.

True masks take the same way as ours: this client publishes them, lifted, on `true_masks/...` as the node `llavaseg`
publishes its own, and a second planner listens there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header, String

from llavaseg_ros.action import Segment
from llavaseg_ros.demo.client import DemoClient, DemoError
from llavaseg_ros.geometry import Intrinsics, LiftedScene, lift_masks, rotation_of
from llavaseg_ros.msg import Answer, TargetMask, TargetMaskArray
from llavaseg_ros.ros.clouds import cloud
from llavaseg_ros.ros.convert import mask_to_image, rgb_to_image, to_depth_m, to_rgb
from llavaseg_ros.ros.messages import duration, stamp_ns
from llavaseg_ros.ros.qos import LATCHED
from llavaseg_ros.srv import ExecuteGrasp

OURS, TRUTH = "grasps", "true_masks/grasps"
_FRAMES = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
_KEPT = 6  # frames


@dataclass(frozen=True)
class View:
    """One camera frame and the truth about it. rgb: uint8 [H, W, 3]; depth: float32 [H, W] m, NaN = none; instances:
    uint8 [H, W]; names: of instance 1, 2, ...; scene: a line of scenes.jsonl."""

    header: Header
    rgb: np.ndarray
    depth: np.ndarray
    camera: Intrinsics
    instances: np.ndarray
    names: tuple[str, ...]
    scene: dict[str, Any]

    def lift(self, mask: np.ndarray) -> LiftedScene:
        """The points of a bool mask [H, W], and all the others."""
        return lift_masks([mask], self.rgb, self.depth, self.camera, self.camera)


class PickClient(DemoClient):
    """As `DemoClient`, with the robot and the planners."""

    def __init__(self, domain: int, alive: Callable[[], None]) -> None:
        super().__init__(domain, alive)
        listen, node = self.node.create_subscription, self.node
        self._seen: dict[str, dict[int, Any]] = {}
        for topic, kind in (
            ("image", Image), ("camera_info", CameraInfo), ("depth/image", Image),
            ("simulated_robot/truth/instances", Image),
        ):  # fmt: skip
            listen(kind, topic, self._keep(topic), _FRAMES)
        self._tables: list[dict[str, Any]] = []
        listen(String, "simulated_robot/truth/scene", self._on_scene, _FRAMES)
        self._plans: dict[str, PoseArray] = {}
        for topic in (OURS, TRUTH):
            listen(PoseArray, topic, partial(self._plans.__setitem__, topic), LATCHED)
        self._truth = {
            topic: node.create_publisher(kind, f"true_masks/{topic}", LATCHED)
            for topic, kind in (
                ("answer", Answer), ("masks", TargetMaskArray), ("target_points", PointCloud2),
                ("scene_points", PointCloud2),
            )
        }  # fmt: skip
        self._set: Any = node.create_client(SetParameters, "simulated_robot/set_parameters")
        self._execute: Any = node.create_client(ExecuteGrasp, "execute_grasp")

    def wait_robot(self, timeout_s: float, *, ours: bool) -> None:
        """Wait until robot and planners are there. ours: the planner of our masks, too. Raises DemoError."""
        self._wait(self._set.service_is_ready, timeout_s, lambda: "the node simulated_robot")
        self._wait(self._execute.service_is_ready, timeout_s, lambda: "the service execute_grasp")
        for topic in (OURS, TRUTH) if ours else (TRUTH,):
            self._wait(partial(self.node.count_publishers, topic), timeout_s, lambda: "the planner")
        self._wait(lambda: self._truth["answer"].get_subscription_count(), timeout_s, lambda: "the planner")

    def set_out(self, table: int, timeout_s: float) -> View:
        """Set out a table, as if nothing had ever happened on it, and look at it."""
        request = SetParameters.Request(parameters=[Parameter("table", value=table).to_parameter_msg()])
        result = self._call(self._set, request, timeout_s).results[0]
        if not result.successful:
            raise DemoError(f"table {table} could not be set out: {result.reason}")
        return self.look(timeout_s, table=table)

    def look(self, timeout_s: float, *, table: int | None = None) -> View:
        """The next frame that is complete. Raises DemoError when none comes, or it shows another table."""
        after = self.node.get_clock().now().nanoseconds

        def complete() -> dict[str, Any] | None:
            for truth in reversed(self._tables):
                stamp = truth["stamp"]
                if stamp > after and all(stamp in self._seen.get(topic, {}) for topic in self._topics()):
                    return truth
            return None

        truth = self._wait(complete, timeout_s, lambda: "a frame of the simulated camera")
        if table is not None and truth["table"] != table:
            raise DemoError(f"the robot shows table {truth['table']}; table {table} was set out")
        stamp = truth["stamp"]
        image, info, depth, instances = (self._seen[topic][stamp] for topic in self._topics())
        camera = Intrinsics(info.width, info.height, info.k[0], info.k[4], info.k[2], info.k[5])
        ids = np.frombuffer(instances.data, np.uint8).reshape(instances.height, instances.width)
        return View(
            image.header, to_rgb(image), to_depth_m(depth), camera, ids, tuple(truth["names"]), truth["scene"]
        )  # fmt: skip

    def ask(self, command: str, view: View, timeout_s: float) -> Segment.Result:
        """Give the node a command about this very frame."""
        session = f"pick {stamp_ns(view.header.stamp)}"
        goal = Segment.Goal(text=command, session_id=session, image_stamp=view.header.stamp, want_geometry=True)
        return self._send(goal, timeout_s)

    def ask_about(self, command: str, rgb: np.ndarray, timeout_s: float) -> Segment.Result:
        """Give the node a command about a picture, uint8 [H, W, 3], in a conversation of its own."""
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id="second_look")
        session = f"pick {stamp_ns(header.stamp)}"
        goal = Segment.Goal(text=command, session_id=session, use_image=True, image=rgb_to_image(rgb, header))
        return self._send(goal, timeout_s)

    def _send(self, goal: Segment.Goal, timeout_s: float) -> Segment.Result:
        goal.max_targets, goal.timeout = 1, duration(timeout_s)
        sending = self._action.send_goal_async(goal)
        handle: Any = self._wait(lambda: sending.result() if sending.done() else None, 30.0, lambda: "a receipt")
        if not handle.accepted:
            raise DemoError("the node did not accept the goal")
        waiting = handle.get_result_async()
        done: Any = self._wait(
            lambda: waiting.result() if waiting.done() else None, timeout_s + 10.0, lambda: "the goal's result"
        )
        return done.result

    def tell_truth(self, mask: np.ndarray, name: str, view: View) -> None:
        """Publish the true mask (bool [H, W]) of a frame as the node publishes its own."""
        lifted = view.lift(mask)
        best = lifted.targets[0]
        number = f"truth {stamp_ns(view.header.stamp)}"
        target = TargetMask(id=1, label=name, score=1.0, mask=mask_to_image(mask, view.header), area_px=int(mask.sum()))
        self._truth["target_points"].publish(cloud(best.points, best.colors, view.header))
        self._truth["scene_points"].publish(cloud(lifted.points, lifted.colors, view.header))
        self._truth["masks"].publish(TargetMaskArray(header=view.header, command_id=number, targets=[target]))
        self._truth["answer"].publish(Answer(header=view.header, command_id=number, found=True, final=True))

    def plan(self, topic: str, view: View, timeout_s: float) -> PoseArray:
        """The grasps that a planner has for this frame; it may have none. topic: OURS or TRUTH."""
        stamp = stamp_ns(view.header.stamp)

        def here() -> PoseArray | None:
            plan = self._plans.get(topic)
            return plan if plan is not None and stamp_ns(plan.header.stamp) == stamp else None

        return self._wait(here, timeout_s, lambda: f"the grasps for the frame {stamp} on {topic}")

    def execute(self, plan: PoseArray, timeout_s: float) -> tuple[str, ...]:
        """Let the robot carry the best grasp out. Returns the names of what it lifted."""
        request = ExecuteGrasp.Request(grasp=PoseStamped(header=plan.header, pose=plan.poses[0]))
        response = self._call(self._execute, request, timeout_s)
        return tuple(response.lifted)

    @staticmethod
    def _topics() -> tuple[str, ...]:
        return "image", "camera_info", "depth/image", "simulated_robot/truth/instances"

    def _keep(self, topic: str) -> Callable[[Any], None]:
        kept = self._seen.setdefault(topic, {})

        def callback(msg: Any) -> None:
            kept[stamp_ns(msg.header.stamp)] = msg
            while len(kept) > _KEPT:
                del kept[min(kept)]

        return callback

    def _on_scene(self, msg: String) -> None:
        self._tables = [*self._tables[-_KEPT:], json.loads(msg.data)]

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        future = client.call_async(request)
        return self._wait(
            lambda: future.result() if future.done() else None, timeout_s, lambda: f"{client.srv_name} to answer"
        )


def pose_arrays(plan: PoseArray) -> tuple[np.ndarray, np.ndarray] | None:
    """Position [3] and rotation [3, 3] of the best grasp, None without one."""
    if not plan.poses:
        return None
    p, q = plan.poses[0].position, plan.poses[0].orientation
    return np.array([p.x, p.y, p.z]), rotation_of((q.x, q.y, q.z, q.w))

