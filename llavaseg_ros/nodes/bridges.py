# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `bridges`: mirrors what `llavaseg` publishes in the messages of other stacks, as far as they are installed.

`vision`: vision_msgs detections. `moveit`: collision objects in the planning scene. `isaac`: Isaac Manipulator's action
SegmentAnything. The node reads `llavaseg/masks`; remap it, or start the node in the namespace of `llavaseg`.
"""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from llavaseg_ros.bridges import BRIDGES, Bridge, MissingPackage, make_bridge
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.msg import TargetMaskArray
from llavaseg_ros.nodes.parameter_table import Spec, describe, usage
from llavaseg_ros.ros.process import run_node
from llavaseg_ros.ros.qos import LATCHED

NODE_NAME = "bridges"

SPECS = (
    Spec("bridges", list(BRIDGES), f"Which bridges: some of {', '.join(BRIDGES)}.", change="never"),
    Spec("moveit.object_id", "llavaseg_target", "Name of the target in the planning scene.", change="never"),
    Spec("moveit.padding_m", 0.01, "Added to the target's box on every side, m.", (0.0, 1.0), change="never"),
    Spec("moveit.hold", False, "Leave the planning scene as it is, while the target is grasped and carried."),
    Spec(
        "moveit.max_image_age_s",
        5.0,
        "Put no target of an older image into the planning scene; 0 = any age.",
        (0.0, 3600.0),
        change="never",
    ),
    Spec("isaac.action_name", "segment_anything", "Name of the action that Isaac Manipulator calls.", change="never"),
    Spec(
        "isaac.source",
        "prompt",
        "'prompt' segments at the goal's point or box, 'target' gives what the last command in words meant.",
        choices=("prompt", "target"),
        change="never",
    ),
    Spec("isaac.max_image_age_s", 5.0, "Refuse masks of older images; 0 = any age.", (0.0, 3600.0), change="never"),
)


class BridgesNode(Node):
    """See the module's text. Raises BadRequest for a bridge it does not know, MissingPackage when none can be made."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        for spec in SPECS:
            self.declare_parameter(spec.name, spec.default, describe(spec))
        settings = {spec.name: self.get_parameter(spec.name).value for spec in SPECS}
        names = list(dict.fromkeys(settings["bridges"]))
        unknown = [name for name in names if name not in BRIDGES]
        if unknown or not names:
            raise BadRequest(f"bridges: got {names}, expected some of {', '.join(BRIDGES)}")
        self.bridges: dict[str, Bridge] = {}
        missing: list[str] = []
        for name in names:
            try:
                self.bridges[name] = make_bridge(name, self, settings)
            except MissingPackage as error:
                missing.append(error.package)
                self.get_logger().error(str(error))
            except ValueError as error:
                raise BadRequest(str(error)) from error
        if not self.bridges:
            raise MissingPackage(
                f"none of the bridges {', '.join(names)} can be served; packages that are missing: {', '.join(missing)}"
            )
        self.create_subscription(
            TargetMaskArray, "llavaseg/masks", self._on_masks, LATCHED, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self.get_logger().info(
            f"bridges {', '.join(self.bridges)} serve what comes on {self.resolve_topic_name('llavaseg/masks')}"
        )

    def _on_masks(self, masks: TargetMaskArray) -> None:
        for name, bridge in self.bridges.items():
            try:
                bridge.on_masks(masks)
            except Exception as error:  # the others go on
                self.get_logger().error(f"bridge {name!r}: {error!r}", throttle_duration_sec=5.0)

    def close(self) -> bool:
        """Take back what must not outlive the node."""
        for bridge in self.bridges.values():
            bridge.close()
        return True


def main(args: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code."""
    return run_node(BridgesNode, args, name=NODE_NAME, threads=3, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
