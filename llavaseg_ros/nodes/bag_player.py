# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `bag_player`: a camera made of any recorded bag, as if it were there now.

Publishes `image`, `camera_info`, `depth/image` and `depth/camera_info` in the pace of the recording, stamped as of now:
what had one stamp keeps one, and the distances in time stay. Compressed images are decoded. With the parameter
`command` it sends that command as soon as the node `llavaseg` is ready.

Other topics of the bag are not played; `ros2 bag play` does that, where rosbag2 is installed.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from llavaseg_ros.bags.lifting import DepthMessage
from llavaseg_ros.bags.reading import BagMessage, open_bag
from llavaseg_ros.bags.topics import IMAGE_TYPES, choose_topics
from llavaseg_ros.errors import BadRequest, LLaVASegError
from llavaseg_ros.msg import Command
from llavaseg_ros.nodes.parameter_table import Spec, describe, usage
from llavaseg_ros.ros.cdr import RawMessage, read_stamp_ns, with_stamp
from llavaseg_ros.ros.convert import rgb_to_image, to_rgb
from llavaseg_ros.ros.process import run_node, use_camera_profile
from llavaseg_ros.ros.qos import COMMAND, DIAGNOSTICS

NODE_NAME = "bag_player"
# Reliable, so that it reaches every subscriber, whatever it asks for.
CAMERA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE)
_NS = 1_000_000_000

SPECS = (
    Spec("bag", "", "The recording: a rosbag2 folder, an .mcap or a .db3 file.", change="never"),
    Spec("rate", 1.0, "Speed of playing; 1 = as recorded.", (0.01, 100.0), change="never"),
    Spec("loop", True, "Begin again at the end of the bag.", change="never"),
    Spec("image", "", "Topic of the color image in the bag; empty = find it.", change="never"),
    Spec("camera_info", "", "Topic of its calibration in the bag; empty = find it.", change="never"),
    Spec("depth", "", "Topic of the depth image in the bag; empty = find it, 'none' = without.", change="never"),
    Spec("depth_camera_info", "", "Topic of its calibration in the bag; empty = find it.", change="never"),
    Spec("command", "", "A command to send once the node llavaseg is ready; empty = none.", change="never"),
)


class BagPlayer(Node):
    """See the module's text. Raises BadRequest at once when the bag cannot be read, or has no camera."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        for spec in SPECS:
            self.declare_parameter(spec.name, spec.default, describe(spec))
        values = {spec.name: self.get_parameter(spec.name).value for spec in SPECS}
        self._rate, self._loop = values["rate"], values["loop"]
        if not values["bag"]:
            raise BadRequest("parameter bag is empty; expected a rosbag2 folder, an .mcap or a .db3 file")
        self._bag = open_bag(Path(values["bag"]))
        chosen = ("image", "camera_info", "depth", "depth_camera_info")
        self._topics = choose_topics(self._bag, **{name: values[name] for name in chosen})
        self._outputs = {
            self._topics.image: self.create_publisher(Image, "image", CAMERA),
            self._topics.camera_info: self.create_publisher(CameraInfo, "camera_info", CAMERA),
        }
        if self._topics.depth:
            self._outputs[self._topics.depth] = self.create_publisher(Image, "depth/image", CAMERA)
        if self._topics.depth_camera_info:
            # One calibration may serve both.
            self._depth_info = self.create_publisher(CameraInfo, "depth/camera_info", CAMERA)
            self._outputs.setdefault(self._topics.depth_camera_info, self._depth_info)
        self._dropped = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="player", daemon=True)
        if values["command"]:
            self._send_when_ready(values["command"])
        for text in (*self._bag.problems, *self._topics.notes):
            self.get_logger().warning(text)
        names = ", ".join(sorted(self._topics.all))
        self.get_logger().info(f"playing {names} of {self._bag.path} on {self._outputs[self._topics.image].topic_name}")
        self._thread.start()

    def close(self) -> bool:
        """Stop playing."""
        self._stop.set()
        self._thread.join(2.0)
        return not self._thread.is_alive()

    def _play(self) -> None:
        try:
            while not self._stop.is_set():
                played = self._play_once()
                if not self._loop or not played:
                    break
            if not self._stop.is_set():
                told = "; ".join(self._bag.problems)
                self.get_logger().info(f"the bag has ended{f': {told}' if told else ''}")
        except Exception as error:
            if not self._stop.is_set():
                self.get_logger().error(f"the bag cannot be played any further: {error}")

    def _play_once(self) -> int:
        """Play from the first message to the last; returns how many there were."""
        played, first_log, first_stamp = 0, None, None
        started, now_ns = time.monotonic(), self.get_clock().now().nanoseconds
        for message in self._bag.messages(self._topics.all):
            if first_log is None:
                first_log = message.log_ns
            due = started + (message.log_ns - first_log) / self._rate / _NS
            if self._stop.wait(max(0.0, due - time.monotonic())):
                break
            try:
                stamp_ns = read_stamp_ns(message.data)
                first_stamp = stamp_ns if first_stamp is None else first_stamp
                self._publish(message, now_ns + round((stamp_ns - first_stamp) / self._rate))
            except LLaVASegError as error:
                self._dropped += 1
                self.get_logger().warning(f"{message.topic}: {error}; left out", throttle_duration_sec=5.0)
            played += 1
        return played

    def _publish(self, message: BagMessage, stamp_ns: int) -> None:
        data = with_stamp(message.data, stamp_ns)
        topic = message.topic
        image_type = IMAGE_TYPES.get(self._bag.topics[topic].type_name)
        out: Any = data
        if image_type is not None and image_type is not Image:
            raw = DepthMessage(data, image_type) if topic == self._topics.depth else RawMessage(data, image_type)
            out = raw.fields()
            if topic == self._topics.image:
                out = rgb_to_image(to_rgb(out), out.header)
        self._outputs[topic].publish(out)
        if topic == self._topics.camera_info == self._topics.depth_camera_info:
            self._depth_info.publish(out)

    def _send_when_ready(self, text: str) -> None:
        publisher = self.create_publisher(Command, "command", COMMAND)
        group = MutuallyExclusiveCallbackGroup()
        sent = False

        def look(message: DiagnosticArray) -> None:
            nonlocal sent
            for status in message.status:
                states = {item.key: item.value for item in status.values}
                ready = states.get("model state") == "ready" and states.get("images", "0") != "0"
                if ready and not sent and publisher.get_subscription_count():
                    sent = True
                    publisher.publish(Command(text=text))
                    self.get_logger().info(f"sent the command {text!r}")

        self.create_subscription(DiagnosticArray, "/diagnostics", look, DIAGNOSTICS, callback_group=group)


def main(args: list[str] | None = None) -> int:
    """Play until SIGINT or SIGTERM. Returns the exit code."""
    use_camera_profile()
    return run_node(BagPlayer, args, name=NODE_NAME, threads=2, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
