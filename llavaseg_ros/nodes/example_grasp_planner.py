# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `example_grasp_planner`: from the target's points to ranked grasps. Copy it to plug in your own.

In, of the node `llavaseg`, all latched: `llavaseg/answer`, `llavaseg/masks`, `llavaseg/target_points`,
`llavaseg/scene_points`. Out, latched: `grasps` (geometry_msgs/PoseArray), best first, with the stamp and the frame of
the points; z is the direction of approach, x the one in which the fingers close, the position is between their tips.
Empty when there is nothing to grasp, so that no old grasp passes for the new one.

What every planner behind `llavaseg` has to see to, and where it is done here:
- The four topics arrive in any order, and after a late start all at once: `_complete` waits for equal stamps.
- Equal stamps are not enough. Two commands about one image have one stamp, and so has a followed frame that is asked
  about; only the masks say whose they are. So the points must be those of the mask: their mean is its centroid. And the
  scene must be the one without this target, not the one without the target before: `_complete` again.
- A target may not be there, or hardly believed in: `_refusal`.
- Points may be missing (`_refusal`) or NaN (`cloud_points` leaves those out).
- Only the lines of `_plan` are about grasping: put your planner there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from llavaseg_ros.geometry import quaternion_of
from llavaseg_ros.grasping.gripper import Gripper
from llavaseg_ros.grasping.topdown import Grasp, plan_grasps
from llavaseg_ros.msg import Answer, TargetMaskArray
from llavaseg_ros.nodes.parameter_table import Spec, describe, usage
from llavaseg_ros.ros.clouds import cloud_points
from llavaseg_ros.ros.messages import stamp_ns
from llavaseg_ros.ros.process import run_node
from llavaseg_ros.ros.qos import LATCHED

NODE_NAME = "example_grasp_planner"
INPUTS = {"answer": Answer, "masks": TargetMaskArray, "target_points": PointCloud2, "scene_points": PointCloud2}
MIN_SCORE = 0.5
SAME_MEAN_M = 1e-3  # a target's points and its mask's centroid: the same but for rounding
NO_SCENE = "scene_points is empty"
_MEASURES = Gripper()

SPECS = (
    Spec("min_score", MIN_SCORE, "Refuse targets whose score is lower.", (0.0, 1.0)),
    Spec("max_grasps", 20, "Most grasps to publish.", (1, 1000)),
    *(
        Spec(f"gripper.{name}", value, f"{name.replace('_', ' ').capitalize()} of the gripper, m.", (0.001, 0.999))
        for name, value in vars(_MEASURES).items()
    ),
)


class ExampleGraspPlanner(Node):
    """See the module's text."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        for spec in SPECS:
            self.declare_parameter(spec.name, spec.default, describe(spec))
        self._newest: dict[str, Any] = {}
        self._planned = ""  # id of the command that was planned for last
        self._grasps = self.create_publisher(PoseArray, "grasps", LATCHED)
        for topic, kind in INPUTS.items():
            self.create_subscription(kind, f"llavaseg/{topic}", self._keep(topic), LATCHED)

    def _keep(self, topic: str) -> Any:
        def callback(msg: Any) -> None:
            self._newest[topic] = msg
            self._look()

        return callback

    def _look(self) -> None:
        """Plan once for every final answer, when all that belongs to it is here."""
        answer = self._newest.get("answer")
        if answer is None or not answer.final or answer.command_id == self._planned:
            return
        if answer.found and not answer.error_code and not self._complete(answer):
            return  # the rest is on its way
        array = PoseArray(header=answer.header)
        refusal = self._refusal(answer)
        # An empty scene may be left from a command about the same image that found nothing: its own may yet come.
        self._planned = "" if refusal == NO_SCENE else answer.command_id
        if not refusal:
            array.header = self._newest["target_points"].header
            grasps, refusal = self._plan()
            array.poses = [_pose(grasp) for grasp in grasps]
        self._grasps.publish(array)
        what = refusal or f"{len(array.poses)} grasps"
        self.get_logger().info(f"{answer.command!r}: {what}")

    def _complete(self, answer: Answer) -> bool:
        """Masks and points are those of this answer; see the module's text."""
        stamp = stamp_ns(answer.header.stamp)
        if any(topic not in self._newest or stamp_ns(self._newest[topic].header.stamp) != stamp for topic in INPUTS):
            return False
        masks = self._newest["masks"]
        if masks.command_id != answer.command_id:
            return False
        if not masks.targets or not masks.targets[0].has_geometry:
            return True  # nothing to compare the points with
        try:
            target, scene = self._points()
        except ValueError:
            return True  # `_plan` says what is wrong with them
        at = masks.targets[0].centroid.pose.position
        if not len(target) or np.abs(target.mean(axis=0, dtype=np.float64) - (at.x, at.y, at.z)).max() > SAME_MEAN_M:
            return False
        # Closer than two pixels are, but for the rounding of coordinates far from a frame's origin.
        return not np.isclose(scene, target[0], rtol=1e-6, atol=1e-5).all(axis=1).any()

    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        """Target and scene, float32 [N, 3], m. Raises ValueError for a cloud that cannot be read."""
        return cloud_points(self._newest["target_points"]), cloud_points(self._newest["scene_points"])

    def _refusal(self, answer: Answer) -> str:
        """Why there is nothing to plan for; "" when there is."""
        if answer.error_code or not answer.found:  # NO_DEPTH comes with a mask, but without points
            return f"no target ({answer.error_msg or answer.text})"
        targets = self._newest["masks"].targets
        if not targets:
            return "no mask"
        lowest = self.get_parameter("min_score").value
        if targets[0].score < lowest:
            return f"score {targets[0].score:.2f} of {targets[0].label!r} is below min_score {lowest:g}"
        if not self._newest["target_points"].width:
            return "target_points is empty"
        return "" if self._newest["scene_points"].width else NO_SCENE

    def _plan(self) -> tuple[tuple[Grasp, ...], str]:
        """The planner proper: points in, ranked grasps out, or the reason why there are none."""
        gripper = Gripper(**{name: self.get_parameter(f"gripper.{name}").value for name in vars(_MEASURES)})
        try:
            target, scene = self._points()
        except ValueError as error:
            return (), str(error)
        plan = plan_grasps(target, scene, gripper, most=self.get_parameter("max_grasps").value)
        return plan.grasps, plan.problem


def _pose(grasp: Grasp) -> Pose:
    x, y, z = (float(value) for value in grasp.position)
    qx, qy, qz, qw = quaternion_of(grasp.rotation)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def main(args: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code."""
    return run_node(ExampleGraspPlanner, args, name=NODE_NAME, threads=2, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
