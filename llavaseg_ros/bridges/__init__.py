# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bridges: what the node `llavaseg` publishes, in the messages of other stacks. Each file needs one package of theirs,
imports it only when its bridge is made, and converts by functions that are free of ROS's machinery.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from llavaseg_ros.errors import LLaVASegError
from llavaseg_ros.msg import TargetMaskArray

# Name -> (module, class). The class takes (node, settings).
BRIDGES = {
    "vision": ("llavaseg_ros.bridges.vision", "VisionBridge"),
    "moveit": ("llavaseg_ros.bridges.moveit", "MoveItBridge"),
    "isaac": ("llavaseg_ros.bridges.isaac", "IsaacBridge"),
}


class MissingPackage(LLaVASegError):
    """A bridge's message package is not installed; the text names it, and `package` is its name."""

    def __init__(self, text: str, package: str = "") -> None:
        super().__init__(text)
        self.package = package


class Bridge(Protocol):
    """One bridge at work."""

    def on_masks(self, masks: TargetMaskArray) -> None:
        """The node has published masks, of a command or of a followed frame. Must not block."""

    def close(self) -> None:
        """Take back what must not outlive the bridge."""


def make_bridge(name: str, node: Any, settings: dict[str, Any]) -> Bridge:
    """Make a bridge of BRIDGES. settings: the node's parameters by name. Raises MissingPackage."""
    module, made = BRIDGES[name]
    return getattr(importlib.import_module(module), made)(node, settings)


def interfaces(bridge: str, package: str, kind: str = "msg") -> Any:
    """The module `package.kind`, with the classes of another stack. Raises MissingPackage."""
    try:
        return importlib.import_module(f"{package}.{kind}")
    except ImportError as error:
        raise MissingPackage(
            f"bridge {bridge!r}: the ROS package {package} is not installed or not sourced "
            f"(sudo apt install ros-$ROS_DISTRO-{package.replace('_', '-')}): {error}",
            package,
        ) from error
