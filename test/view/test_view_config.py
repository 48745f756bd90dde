# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The configuration for RViz and the layout for Foxglove name what the nodes really publish.

Neither program is on PyPI: what they draw from it cannot be tested here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llavaseg_ros.ros.outputs import TOPICS

CONFIG = Path(__file__).resolve().parents[2] / "config"
DISPLAYS = yaml.safe_load((CONFIG / "llavaseg.rviz").read_text())["Visualization Manager"]["Displays"]
LAYOUT = json.loads((CONFIG / "foxglove.json").read_text())

# What a display of RViz takes.
TYPES = {
    "rviz_default_plugins/Image": "Image",
    "rviz_default_plugins/PointCloud2": "PointCloud2",
    "rviz_default_plugins/Pose": "PoseStamped",
    "rviz_default_plugins/MarkerArray": "MarkerArray",
}
PUBLISHED = {f"/llavaseg/{name}": message_type.__name__ for name, message_type in TOPICS.items()} | {
    "/viewer/markers": "MarkerArray",
    "/image": "Image",
    "/camera_info": "CameraInfo",
    "/diagnostics": "DiagnosticArray",
}
TAKEN = {"/command_text": "std_msgs/msg/String"}


@pytest.mark.parametrize("display", [d for d in DISPLAYS if "Topic" in d], ids=lambda d: d["Name"])
def test_rviz_shows_a_topic_of_the_right_type_and_qos(display: dict[str, Any]) -> None:
    topic = display["Topic"]
    assert PUBLISHED[topic["Value"]] == TYPES[display["Class"]]
    # A late RViz gets what is latched; a camera may be best effort.
    latched = topic["Value"] != "/image"
    assert topic["Reliability Policy"] == ("Reliable" if latched else "Best Effort")
    assert topic["Durability Policy"] == ("Transient Local" if latched else "Volatile")


def test_rviz_shows_everything_in_3d() -> None:
    shown = {display["Topic"]["Value"] for display in DISPLAYS if "Topic" in display}
    assert {"/llavaseg/target_points", "/llavaseg/scene_points", "/llavaseg/target_pose", "/viewer/markers"} <= shown
    assert "/llavaseg/overlay" in shown


def strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, with its key; keys that are topics count as well."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.startswith("/"):
                yield "topic", name
            yield from strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)
    elif isinstance(value, str):
        yield key, value


def test_foxglove_names_what_there_is() -> None:
    topics = {text for _, text in strings(LAYOUT["configById"]) if text.startswith("/")}
    assert topics <= set(PUBLISHED) | set(TAKEN) | {"/llavaseg/follow"}
    assert {"/llavaseg/overlay", "/llavaseg/target_points", "/viewer/markers", "/llavaseg/answer"} <= topics
    publish = LAYOUT["configById"]["Publish!command"]
    assert TAKEN[publish["topicName"]] == publish["datatype"]
    assert list(json.loads(publish["value"])) == ["data"]
    assert json.loads(LAYOUT["configById"]["CallService!follow"]["requestPayload"]) == {"data": True}


def test_every_foxglove_panel_has_a_place() -> None:
    placed = [text for key, text in strings(LAYOUT["layout"]) if key in ("first", "second")]
    assert sorted(placed) == sorted(LAYOUT["configById"])


def test_foxglove_selects_the_status_that_the_node_sends() -> None:
    from builtin_interfaces.msg import Time

    from llavaseg_ros.ros import diagnostics, health
    from llavaseg_ros.ros.worker import ModelState

    now = health.Snapshot(
        **{name: 0 for name in health.Snapshot.__dataclass_fields__}
        | {"lifecycle": "active", "model_state": ModelState.READY, "model": {}, "gpu": None}
        | {"model_error": "", "last_error": "", "last_overrun": "", "follow_state": "off"}
    )
    status, *_ = diagnostics.diagnostic_array(now, "/llavaseg", Time()).status
    panel = LAYOUT["configById"]["DiagnosticStatusPanel!node"]
    assert (panel["selectedName"], panel["selectedHardwareId"]) == (status.name, status.hardware_id)
