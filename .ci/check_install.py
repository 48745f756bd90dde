# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checks an install space of colcon that was sourced: messages, launch files, and a node that starts and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

# Only this machine, and a domain of its own: other ROS nodes may be running.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", "77")

import rclpy
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from lifecycle_msgs.srv import GetState
from rclpy.type_support import check_for_type_support

import llavaseg_ros
from llavaseg_ros.action import Segment
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer, Command, TargetMask, TargetMaskArray
from llavaseg_ros.srv import ExecuteGrasp, ResetSession, SegmentAtPrompt

# This file lies in the sources that were built.
SOURCES = Path(__file__).resolve().parent.parent


def check_files() -> Path:
    """Messages with type support, from the same prefix as the Python module; launch files and parameters in share/."""
    check_for_type_support(Segment)
    for interface in (Answer, Command, TargetMask, TargetMaskArray, ResetSession, SegmentAtPrompt, ExecuteGrasp):
        check_for_type_support(interface)
    assert Answer.BAD_REPLY == Segment.Result.BAD_REPLY == ErrorCode.BAD_REPLY
    prefix = Path(get_package_prefix("llavaseg_ros"))
    assert Path(llavaseg_ros.__file__).is_relative_to(prefix), f"{llavaseg_ros.__file__} is not of {prefix}"
    share = Path(get_package_share_directory("llavaseg_ros"))
    shared = [file for name in ("launch", "config") for file in (SOURCES / name).rglob("*") if file.is_file()]
    wanted = [share / file.relative_to(SOURCES) for file in shared]
    wanted += [prefix / "lib" / "llavaseg_ros" / file.name for file in (SOURCES / "scripts").iterdir()]
    for file in wanted:
        assert "__pycache__" in file.parts or file.is_file(), f"{file} is missing"
    return prefix


def check_node(executable: Path) -> None:
    """The installed executable comes up as a lifecycle node that waits for its manager, and ends on SIGINT with 0."""
    process = subprocess.Popen([executable, "--ros-args", "-p", "autostart:=false"])
    rclpy.init()
    try:
        node = rclpy.create_node("check_install")
        client = node.create_client(GetState, "/llavaseg/get_state")
        assert client.wait_for_service(60.0), "the node's get_state did not come up within 60 s"
        future = client.call_async(GetState.Request())
        rclpy.spin_until_future_complete(node, future, timeout_sec=20.0)
        assert future.done(), "get_state did not answer within 20 s"
        assert future.result().current_state.label == "unconfigured", future.result().current_state
    finally:
        rclpy.shutdown()
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 0, f"the node ended with {code} on SIGINT"


if __name__ == "__main__":
    where = check_files()
    check_node(where / "lib" / "llavaseg_ros" / "llavaseg_node")
    print(f"{sys.argv[0]}: {where.name}: messages, files and node are good")
