# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `simulated_robot`: a table in MuJoCo with an RGB-D camera over it and a parallel gripper.

Publishes `image` (rgb8), `camera_info`, `depth/image` (16UC1, mm, aligned with the image) and `depth/camera_info` at
`rate_hz`; executes a grasp on the service `execute_grasp`; and tells the truth, which no robot knows, on
`~/truth/instances` (mono8: 0 = background, else a thing's id) and `~/truth/scene` (std_msgs/String, JSON). Setting the
parameter `table` sets out another table, or the same one anew; the call returns when it is done.
"""

from __future__ import annotations

import array
import json
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.geometry import rotation_of
from llavaseg_ros.nodes.parameter_table import Spec, describe, usage
from llavaseg_ros.ros.convert import depth_mm_to_image, rgb_to_image
from llavaseg_ros.ros.messages import stamp_ns
from llavaseg_ros.ros.process import run_node, use_camera_profile
from llavaseg_ros.simulation.world import LIFTED, Frame, World
from llavaseg_ros.srv import ExecuteGrasp

NODE_NAME = "simulated_robot"
CAMERA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
START_S = 120.0  # the first drawing compiles shaders on a slow machine

SPECS = (
    Spec("table", 0, "Number of the table; setting it sets the table out anew.", (0, 10**6)),
    Spec(
        "split", "test", "Whose things stand on the tables; the splits share none.", choices=("test", "val", "train"),
        change="never",
    ),
    Spec("rate_hz", 2.0, "Frames a second.", (0.1, 30.0), change="never"),
    Spec("frame_id", "camera_color_optical_frame", "Frame of the images, and of the grasps.", change="never"),
)  # fmt: skip


class SimulatedRobot(Node):
    """See the module's text. One thread owns the world: whatever touches it is sent there.

    Raises RuntimeError at once where MuJoCo cannot draw.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        for spec in SPECS:
            self.declare_parameter(spec.name, spec.default, describe(spec))
        self._split, self._frame_id = (self.get_parameter(name).value for name in ("split", "frame_id"))
        if self._split not in SPECS[1].choices:
            raise ValueError(f"parameter split: {self._split!r} is not one of {', '.join(SPECS[1].choices)}")
        self._out = {
            topic: self.create_publisher(kind, topic, CAMERA)
            for topic, kind in (
                ("image", Image), ("camera_info", CameraInfo), ("depth/image", Image),
                ("depth/camera_info", CameraInfo), ("~/truth/instances", Image), ("~/truth/scene", String),
            )
        }  # fmt: skip
        self._jobs: queue.SimpleQueue[tuple[Callable[[World], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._period = 1.0 / self.get_parameter("rate_hz").value
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, args=(started,), name="world", daemon=True)
        self._thread.start()
        started.result(START_S)
        # A grasp takes a while, and the frames go on.
        group = ReentrantCallbackGroup()
        self.create_service(ExecuteGrasp, "execute_grasp", self._execute, callback_group=group)
        self.add_on_set_parameters_callback(self._set)
        self.get_logger().info(f"table {self.get_parameter('table').value} of the split {self._split}")

    def close(self) -> bool:
        """End the thread, and with it the world. False when it does not come back."""
        self._jobs.put(None)
        self._thread.join(20.0)
        return not self._thread.is_alive()

    def _work(self, started: Future[None]) -> None:
        """The world's thread: jobs as they come, and a frame when it is time."""
        try:
            world = World(self._split, self.get_parameter("table").value)
        except Exception as error:
            started.set_exception(error)
            return
        started.set_result(None)
        with world:
            while True:
                try:
                    job = self._jobs.get(timeout=self._period)
                except queue.Empty:
                    self._show(world)
                    continue
                if job is None:
                    return
                task, future = job
                try:
                    future.set_result(task(world))
                except Exception as error:
                    future.set_exception(error)

    def _do(self, task: Callable[[World], Any]) -> Any:
        """Let the world's thread do something; returns what it gives, raises what it raises."""
        future: Future[Any] = Future()
        self._jobs.put((task, future))
        return future.result()

    def _show(self, world: World) -> None:
        """A frame, or a line in the log; one that fails must not end the thread."""
        try:
            self._publish(world.look(), world)
        except Exception as error:
            if self.context.ok():  # while all is being shut down, nothing can be published
                self.get_logger().error(f"no frame: {error}")

    def _publish(self, frame: Frame, world: World) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        info = self._camera_info(world, header)
        truth = {
            "stamp": stamp_ns(header.stamp),
            "split": world.table.split,
            "table": world.table.number,
            "names": world.names,
            "scene": world.scene_record(frame.picture),
        }
        for topic, msg in (
            ("camera_info", info),
            ("depth/camera_info", info),
            ("~/truth/scene", String(data=json.dumps(truth))),
            ("~/truth/instances", self._instances(frame.picture.instances, header)),
            ("depth/image", depth_mm_to_image(frame.depth, header)),
            ("image", rgb_to_image(frame.rgb, header)),
        ):
            self._out[topic].publish(msg)

    @staticmethod
    def _instances(ids: np.ndarray, header: Header) -> Image:
        msg = Image(header=header, height=ids.shape[0], width=ids.shape[1], encoding="mono8", step=ids.shape[1])
        msg.data = array.array("B", ids.tobytes())
        return msg

    @staticmethod
    def _camera_info(world: World, header: Header) -> CameraInfo:
        camera = world.table.scene.camera
        info = CameraInfo(header=header, height=camera.height, width=camera.width, distortion_model="plumb_bob")
        # The scene's camera has (0, 0) at the corner of the first pixel; ROS has it in the middle.
        k = np.array(
            [[camera.focal, 0, camera.width / 2 - 0.5], [0, camera.focal, camera.height / 2 - 0.5], [0, 0, 1.0]]
        )
        info.d, info.k = [0.0] * 5, [float(value) for value in k.ravel()]
        info.r = [float(value) for value in np.eye(3).ravel()]
        info.p = [float(value) for value in np.hstack([k, np.zeros((3, 1))]).ravel()]
        return info

    def _set(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name != "table":
                continue
            try:
                number = int(parameter.value)
                self._do(partial(_set_out, self._split, number))
            except Exception as error:
                return SetParametersResult(successful=False, reason=f"parameter table: {error}")
        return SetParametersResult(successful=True)

    def _execute(self, request: ExecuteGrasp.Request, response: ExecuteGrasp.Response) -> ExecuteGrasp.Response:
        pose, frame_id = request.grasp.pose, request.grasp.header.frame_id
        try:
            if frame_id != self._frame_id:
                raise BadRequest(f"grasp: frame {frame_id!r}; this robot knows only {self._frame_id!r}")
            q = pose.orientation
            rotation = rotation_of((q.x, q.y, q.z, q.w))
            position = np.array([pose.position.x, pose.position.y, pose.position.z])

            def grasp(world: World) -> list[str]:
                outcome = world.grasp(position, rotation, float(request.opening))
                return [world.names[i] for i in outcome.lifted]

            response.lifted = self._do(grasp)
        except (BadRequest, ValueError) as error:
            response.message = str(error)
            self.get_logger().warning(f"execute_grasp: {error}")
            return response
        response.success = bool(response.lifted)
        response.message = "" if response.lifted else f"nothing rose by {LIFTED:g} m"
        self.get_logger().info(f"execute_grasp: lifted {', '.join(response.lifted) or 'nothing'}")
        return response


def _set_out(split: str, number: int, world: World) -> None:
    world.reset(split, number)


def main(args: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code."""
    use_camera_profile()
    return run_node(SimulatedRobot, args, name=NODE_NAME, threads=4, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
