# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plays a recorded bag as if its camera were there now, beside the node `llavaseg`.

ros2 launch llavaseg_ros replay.launch.py bag:=my_bag command:="hand me something to drink from"
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "namespace": ("", "namespace of both nodes and of their topics"),
    "rate": ("1.0", "speed of playing; 1 = as recorded"),
    "loop": ("true", "begin again at the end of the bag"),
    "image": ("", "topic of the color image in the bag; empty: found by its type"),
    "camera_info": ("", "topic of its calibration in the bag; empty: found by its name"),
    "depth": ("", "topic of the depth image in the bag; empty: found by its type; none: without"),
    "depth_camera_info": ("", "topic of its calibration in the bag; empty: found by its name"),
    "command": ("", "a command to send once the node is ready; empty: none"),
    "model": ("", "model bundle; empty: as in the node's parameters"),
    "device": ("", "device of the model: auto, cpu, cuda, or cuda:N; empty: as in the node's parameters"),
    "mode": ("", "cot (three turns) or fast (one turn); empty: as in the node's parameters"),
}
TEXTS = ("image", "camera_info", "depth", "depth_camera_info", "command")
FOR_THE_NODE = ("namespace", "model", "device", "mode")


def without_camera(event: ProcessExited, _: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The player has failed, and said why: without a camera the rest would wait for ever."""
    return [Shutdown(reason="the bag cannot be played")] if event.returncode else []


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The player and the node, in one namespace, joined by the default topic names."""
    value = {name: LaunchConfiguration(name).perform(context) for name in (*ARGUMENTS, "bag")}
    if not Path(value["bag"]).exists():
        raise RuntimeError(f"launch argument bag: no such file or folder: {value['bag']!r}")
    if value["loop"] not in ("true", "false"):
        raise RuntimeError(f"launch argument loop: expected true or false, got {value['loop']!r}")
    try:
        rate = float(value["rate"])
    except ValueError:
        raise RuntimeError(f"launch argument rate: expected a number, got {value['rate']!r}") from None
    player = Node(
        package="llavaseg_ros",
        executable="bag_player",
        name="bag_player",
        namespace=value["namespace"],
        parameters=[
            {
                "bag": ParameterValue(str(Path(value["bag"]).resolve()), value_type=str),
                "rate": rate,
                "loop": value["loop"] == "true",
                **{name: ParameterValue(value[name], value_type=str) for name in TEXTS},
            }
        ],
        output="screen",
        on_exit=without_camera,
    )
    launch_file = Path(get_package_share_directory("llavaseg_ros")) / "launch" / "llavaseg.launch.py"
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        # By their own names, as the player gives them: the arguments of the same names are those of the bag.
        launch_arguments=[
            *((name, value[name]) for name in FOR_THE_NODE),
            ("image", "image"),
            ("camera_info", "camera_info"),
            ("depth_image", "depth/image"),
            ("depth_camera_info", "depth/camera_info"),
        ],
    )
    return [player, node]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="the recording: a rosbag2 folder, an .mcap or a .db3 file"),
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=start),
        ]
    )
