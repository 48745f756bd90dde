# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `viewer`: a page for people, on this machine's loopback unless told otherwise.

Reads what `llavaseg` reads and says (image, depth/image; the node's masks, answer and overlay; /diagnostics), sends
commands through its action, and publishes `~/markers` (visualization_msgs/MarkerArray) where that package is installed.
The page itself is `llavaseg_ros/view`; `docs/view.md` tells about it.
"""

from __future__ import annotations

import os
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from llavaseg_ros.errors import BadRequest, LLaVASegError
from llavaseg_ros.msg import Answer, TargetMaskArray
from llavaseg_ros.nodes.parameter_table import Spec, describe, usage
from llavaseg_ros.ros.cdr import RawMessage, read_stamp_ns
from llavaseg_ros.ros.convert import image_size
from llavaseg_ros.ros.diagnostics import SUMMARY
from llavaseg_ros.ros.freshness import FrameStore
from llavaseg_ros.ros.markers import target_markers
from llavaseg_ros.ros.messages import seconds_of, stamp_ns
from llavaseg_ros.ros.process import run_node
from llavaseg_ros.ros.qos import DIAGNOSTICS, LATCHED, NO_SUBSCRIPTION_EVENTS, SENSOR
from llavaseg_ros.ros.view_commands import ViewCommands
from llavaseg_ros.ros.view_pictures import ViewPictures
from llavaseg_ros.view.records import Picture, target_json
from llavaseg_ros.view.server import ViewServer
from llavaseg_ros.view.state import Masks, ViewState

NODE_NAME = "viewer"
THREADS = 4
DEFAULT_PORT = 8088
TOKEN_VARIABLE = "LLAVASEG_VIEW_TOKEN"
KEPT_BYTES = 48_000_000  # of camera frames, in which those of the masks are looked for
HOUSEKEEPING_PERIOD_S = 1.0

# No parameter for the token: whoever is on the ROS network could read it.
SPECS = (
    Spec("host", "127.0.0.1", "Address to listen on. Any but loopback asks browsers for a token.", change="never"),
    Spec("port", DEFAULT_PORT, "Port to listen on; 0 = any free one.", (0, 65535), change="never"),
    Spec("host_names", "", "Further names of this machine in a browser's address line, by commas.", change="never"),
    Spec("node", "llavaseg", "Name of the node to show, in the viewer's namespace; or its full name.", change="never"),
    Spec(
        "image_transport",
        "raw",
        "'raw' subscribes to image (sensor_msgs/Image), 'compressed' to image/compressed (JPEG or PNG).",
        choices=("raw", "compressed"),
        change="never",
    ),
    Spec("max_width", 960, "Width of the pictures, px; larger ones are made smaller.", (64, 4096), change="never"),
    Spec("outline_s", 15.0, "Seconds that an old mask's outline stays on the live picture.", (0, 3600), change="never"),
)
_LEVELS = {b"\x00": "ok", b"\x01": "warn", b"\x02": "error", b"\x03": "warn"}


class Viewer(Node):
    """See the module's text; it is the page's `Backend`. token: "" = none on loopback, a new one elsewhere.

    Raises ServerError when it cannot listen, BadRequest for parameters or a token that cannot be used.
    """

    def __init__(self, *, token: str = "", **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        for spec in SPECS:
            self.declare_parameter(spec.name, spec.default, describe(spec))
            if spec.choices and self.get_parameter(spec.name).value not in spec.choices:
                raise BadRequest(f"parameter {spec.name}: expected one of {', '.join(spec.choices)}")
        value = {spec.name: self.get_parameter(spec.name).value for spec in SPECS}
        name = value["node"]
        self._target = target = name if name.startswith("/") else f"{self.get_namespace().rstrip('/')}/{name}"
        self.state = ViewState(target)
        self.images, self.depth = FrameStore(10), FrameStore(1, "depth image")
        self.images.on_new, self.depth.on_new = self._on_frame, self._on_depth
        self.pictures = ViewPictures(
            self.images, self.depth, now_ns=self._now_ns, max_width=value["max_width"], outline_s=value["outline_s"]
        )
        names = tuple(name.strip() for name in value["host_names"].split(",") if name.strip())
        self.server = ViewServer(self, value["host"], value["port"], token=token, names=names)
        self.commands = ViewCommands(self, target, self.state)
        self._markers = self._make_markers()
        self._count, self._counted = 0, time.monotonic()
        self._overlay: Any = None
        if value["image_transport"] == "compressed":
            self._camera(CompressedImage, f"{self.resolve_topic_name('image')}/compressed", self.images)
        else:
            self._camera(Image, "image", self.images)
        self._camera(Image, "depth/image", self.depth)
        own = MutuallyExclusiveCallbackGroup()  # masks are large; words need not wait for them
        self.create_subscription(TargetMaskArray, f"{target}/masks", self._on_masks, LATCHED, callback_group=own)
        self.create_subscription(Answer, f"{target}/answer", self._on_answer, LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, DIAGNOSTICS)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        group = MutuallyExclusiveCallbackGroup()
        self.create_timer(HOUSEKEEPING_PERIOD_S, self._keep_house, callback_group=group, clock=steady)
        self.server.start()

    def close(self) -> bool:
        """End the page."""
        self.server.close()
        return True

    # --- what the page asks for ---

    def picture(self, name: str) -> Picture | None:
        """ "live", "result" or "depth"."""
        picture = self.pictures.get(name)
        self.state.camera.depth_span_m = self.pictures.depth_span_m
        return picture

    def command(self, text: str) -> str:
        """Send a command as a goal."""
        return self.commands.send(text)

    def cancel(self) -> int:
        """Cancel what was sent from here."""
        return self.commands.cancel()

    def follow(self, enabled: bool) -> str:
        """Follow mode on or off."""
        return self.commands.follow(enabled)

    def prompt(self, points: list[tuple[float, float]], labels: list[int]) -> None:
        """Segment at points in [0, 1] of the image, and show the mask as the last result."""
        frame = self.images.newest
        if frame is None:
            raise BadRequest("point: no camera image has come yet")
        height, width = image_size(frame.msg.fields())
        pixels = [(min(x * width, width - 1.0), min(y * height, height - 1.0)) for x, y in points]
        response = self.commands.prompt(pixels, labels)
        stamp = stamp_ns(response.header.stamp)
        self.pictures.show([response.target.mask], ["points"], stamp, points=pixels, labels=labels)
        found = target_json(response.target) | {"label": "at the points"}
        self.state.set_masks(Masks("", "", [found], self.pictures.age_s, kind="points"))
        self.state.new_picture("result", "live")

    # --- what ROS brings ---

    def _camera(self, message_type: type[Any], topic: str, store: FrameStore) -> None:
        def keep(data: Any) -> None:
            try:
                stamp = read_stamp_ns(data)
            except BadRequest as error:
                self.get_logger().warning(f"{topic}: {error}; dropped", throttle_duration_sec=5.0)
                return
            if store is self.images:
                store.resize(max(3, min(300, KEPT_BYTES // max(1, len(data)))))
            store.put(RawMessage(data, message_type), stamp, self._now_ns())

        group = MutuallyExclusiveCallbackGroup()
        self.create_subscription(message_type, topic, keep, SENSOR, raw=True, callback_group=group)

    def _on_frame(self) -> None:
        self.state.camera.arrived = time.monotonic()
        self.state.new_picture("live")

    def _on_depth(self) -> None:
        self.state.camera.depth_arrived = time.monotonic()
        self.state.new_picture("depth")

    def _on_masks(self, msg: TargetMaskArray) -> None:
        names = [target.label for target in msg.targets]
        try:
            self.pictures.show([target.mask for target in msg.targets], names, stamp_ns(msg.header.stamp))
        except LLaVASegError as error:
            self.get_logger().warning(f"masks that cannot be shown: {error}", throttle_duration_sec=5.0)
            return
        targets = [target_json(target) for target in msg.targets]
        self.state.set_masks(Masks(msg.command_id, msg.command, targets, self.pictures.age_s))
        self.state.new_picture("result", "live")
        if self._markers is not None:
            self._markers.publish(target_markers(msg))

    def _on_answer(self, msg: Answer) -> None:
        stamp = stamp_ns(msg.header.stamp)
        age_s = max(0.0, (self._now_ns() - stamp) / 1e9) if stamp else 0.0
        self.state.answer(msg, latency_s=seconds_of(msg.latency), age_s=age_s)

    def _on_overlay(self, data: Any) -> None:
        if self.pictures.overlay(RawMessage(data, Image), read_stamp_ns(data)):
            self.state.new_picture("result")

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name == f"{self._target.lstrip('/')}: {SUMMARY}":
                level = _LEVELS.get(bytes(status.level), "error")
                self.state.set_node(level, status.message, {item.key: item.value for item in status.values})

    # --- housekeeping ---

    def _keep_house(self) -> None:
        self.commands.watch()
        self.state.set_services(**self.commands.ready())
        self._listen_to_overlay(self.server.pages > 0)
        now, count, camera = time.monotonic(), self.images.count, self.state.camera
        camera.rate_hz = (count - self._count) / max(1e-3, now - self._counted)
        self._count, self._counted = count, now
        frame = self.images.newest
        if frame is not None:
            try:
                msg = frame.msg.fields()
                camera.height, camera.width = image_size(msg)
                camera.frame_id = msg.header.frame_id
            except LLaVASegError as error:
                self.get_logger().warning(f"image: {error}", throttle_duration_sec=5.0)

    def _listen_to_overlay(self, wanted: bool) -> None:
        """The node draws its overlay only while somebody listens: while a page is open."""
        if wanted and self._overlay is None:
            topic, events = f"{self._target}/overlay", NO_SUBSCRIPTION_EVENTS
            self._overlay = self.create_subscription(
                Image, topic, self._on_overlay, LATCHED, raw=True, event_callbacks=events
            )
        elif not wanted and self._overlay is not None:
            self.destroy_subscription(self._overlay)
            self._overlay = None

    def _make_markers(self) -> Any:
        try:
            from visualization_msgs.msg import MarkerArray
        except ImportError:
            self.get_logger().info("no ~/markers: visualization_msgs is not installed")
            return None
        return self.create_publisher(MarkerArray, "~/markers", LATCHED)

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def main(args: list[str] | None = None, *, token: str = "") -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code. token: also by the environment variable."""

    def make() -> Viewer:
        viewer = Viewer(token=token or os.environ.get(TOKEN_VARIABLE, ""))
        # Not by the log, which goes to /rosout and to files: the address may hold the token.
        print(f"the page is at {viewer.server.url} (Ctrl-C ends it)", flush=True)
        return viewer

    return run_node(make, args, name=NODE_NAME, threads=THREADS, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
