# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starts the node `llavaseg` beside a camera made of a recorded bag, or of one photograph.

Then, in another terminal:
ros2 topic pub --once command_text std_msgs/msg/String "{data: 'hand me something to drink from'}"
ros2 topic echo llavaseg/answer_text
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
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "namespace": ("", "namespace of both nodes and of their topics"),
    "bag": ("", "folder of the bag to play; empty: the one that comes with the package"),
    "photo": ("", "a photograph to show in place of a bag"),
    "rate_hz": ("10.0", "frames a second"),
    "loop": ("true", "begin again at the end of the bag"),
    "model": ("", "model bundle; empty: as in the node's parameters"),
    "device": ("", "device of the model: auto, cpu, cuda, or cuda:N; empty: as in the node's parameters"),
    "mode": ("", "cot (three turns) or fast (one turn); empty: as in the node's parameters"),
}
FOR_THE_NODE = ("namespace", "model", "device", "mode")


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The player and the node, in one namespace, joined by the default topic names."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if value["loop"] not in ("true", "false"):
        raise RuntimeError(f"launch argument loop: expected true or false, got {value['loop']!r}")
    try:
        rate_hz = float(value["rate_hz"])
    except ValueError:
        raise RuntimeError(f"launch argument rate_hz: expected a number, got {value['rate_hz']!r}") from None
    player = Node(
        package="llavaseg_ros",
        executable="demo_player",
        name="demo_player",
        namespace=value["namespace"],
        parameters=[
            {
                "bag": ParameterValue(value["bag"], value_type=str),
                "image": ParameterValue(value["photo"], value_type=str),
                "rate_hz": rate_hz,
                "loop": value["loop"] == "true",
            }
        ],
        output="screen",
    )
    launch_file = Path(get_package_share_directory("llavaseg_ros")) / "launch" / "llavaseg.launch.py"
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments=[(name, value[name]) for name in FOR_THE_NODE],
    )
    return [player, node]


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
