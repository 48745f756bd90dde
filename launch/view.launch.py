# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starts the node `viewer`, the page for people. `ros2 launch llavaseg_ros view.launch.py --show-args` lists the
arguments.

With a host other than loopback the page asks for a token: that in the environment variable LLAVASEG_VIEW_TOKEN, or one
that the viewer makes and prints.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "namespace": ("", "namespace of the viewer, the node and their topics"),
    "node": ("llavaseg", "name of the node to show, in the namespace; or its full name"),
    "host": ("127.0.0.1", "address to listen on; any but loopback asks browsers for a token"),
    "port": ("8088", "port to listen on; 0 = any free one"),
    "image": ("image", "color image of the camera, as for llavaseg.launch.py"),
    "depth_image": ("depth/image", "depth image of the camera, as for llavaseg.launch.py"),
    "image_transport": ("raw", "raw (sensor_msgs/Image) or compressed (CompressedImage on IMAGE/compressed)"),
    "use_sim_time": ("false", "take the time from /clock"),
}


def start(context: LaunchContext) -> list[Node]:
    """The viewer."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if not value["port"].isdecimal() or int(value["port"]) > 65535:
        raise RuntimeError(f"launch argument port: expected 0 to 65535, got {value['port']!r}")
    if value["use_sim_time"].lower() not in ("true", "false"):
        raise RuntimeError(f"launch argument use_sim_time: expected true or false, got {value['use_sim_time']!r}")
    # As strings, whatever they look like: an address may be written as a number.
    parameters = {name: ParameterValue(value[name], value_type=str) for name in ("node", "host", "image_transport")}
    return [
        Node(
            package="llavaseg_ros",
            executable="viewer",
            name="viewer",
            namespace=value["namespace"],
            parameters=[
                {**parameters, "port": int(value["port"]), "use_sim_time": value["use_sim_time"].lower() == "true"}
            ],
            remappings=[("image", value["image"]), ("depth/image", value["depth_image"])],
            output="screen",
        )
    ]


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
