# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starts the simulated robot, the node `llavaseg` and the example planner: a table to try commands and grasps on.

Then, in another terminal:
ros2 topic pub --once command_text std_msgs/msg/String "{data: 'hand me the red mug'}"
ros2 topic echo --once grasps
ros2 param set simulated_robot table 7
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = {
    "namespace": ("", "namespace of all nodes and of their topics"),
    "split": ("test", "whose things stand on the table: test, val or train"),
    "table": ("0", "number of the table"),
    "rate_hz": ("2.0", "frames a second"),
    "min_score": ("0.5", "the planner refuses targets with a lower score"),
    "model": ("", "model bundle; empty: as in the node's parameters"),
    "device": ("", "device of the model: auto, cpu, cuda, or cuda:N; empty: as in the node's parameters"),
    "mode": ("", "cot (three turns), fast (one) or auto; empty: as in the node's parameters"),
}
FOR_THE_NODE = ("namespace", "model", "device", "mode")


def number(value: dict[str, str], name: str, kind: type) -> float | int:
    """A launch argument as a number. Raises RuntimeError that names it."""
    try:
        return kind(value[name])
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise RuntimeError(f"launch argument {name}: expected {what}, got {value[name]!r}") from None


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """All nodes in one namespace, joined by the default topic names."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    robot = Node(
        package="llavaseg_ros",
        executable="simulated_robot",
        name="simulated_robot",
        namespace=value["namespace"],
        parameters=[
            {"split": value["split"], "table": number(value, "table", int), "rate_hz": number(value, "rate_hz", float)}
        ],
        output="screen",
    )
    planner = Node(
        package="llavaseg_ros",
        executable="example_grasp_planner",
        name="example_grasp_planner",
        namespace=value["namespace"],
        parameters=[{"min_score": number(value, "min_score", float)}],
        output="screen",
    )
    launch_file = Path(get_package_share_directory("llavaseg_ros")) / "launch" / "llavaseg.launch.py"
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments=[(name, value[name]) for name in FOR_THE_NODE],
    )
    return [robot, planner, node]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=start),
        ]
    )
