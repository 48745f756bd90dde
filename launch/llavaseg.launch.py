# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starts the node `llavaseg`. `ros2 launch llavaseg_ros llavaseg.launch.py --show-args` lists the arguments."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

# Arguments that set a parameter of the node. Left empty, the value in params_file stands.
PARAMETER_ARGUMENTS = {
    "model": "model profile: a name ('default' comes with the package), a .yaml file, or the folder of a bundle",
    "device": "device of the model: auto, cpu, cuda, or cuda:N",
    "mode": "cot (three turns: reason, name, describe) or fast (one turn)",
    "autostart": "configure and activate the node at once (true), or leave that to a lifecycle manager (false)",
    "image_transport": "raw (sensor_msgs/Image on the image topic) or compressed (CompressedImage on IMAGE/compressed)",
}
# Topics that the node reads, by the name it has for them, and the argument that says what the camera calls them.
TOPIC_ARGUMENTS = {
    "image": "color image of the camera, e.g. /camera/color/image_raw",
    "camera_info": "calibration of the color camera, e.g. /camera/color/camera_info",
    "depth/image": "depth image (32FC1 in m or 16UC1 in mm), of any size and lens",
    "depth/camera_info": "calibration of the depth image",
}


def argument_of(topic: str) -> str:
    """Name of the launch argument for an input topic: `depth/image` -> `depth_image`."""
    return topic.replace("/", "_")


def start_node(context: LaunchContext) -> list[LifecycleNode]:
    """The node, with only those parameters overridden that were given."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    # As strings, whatever they look like: a model may be called "1".
    overrides: dict[str, bool | ParameterValue] = {
        name: ParameterValue(value(name), value_type=str) for name in PARAMETER_ARGUMENTS if value(name)
    }
    for name in ("autostart", "use_sim_time"):
        text = value(name).lower()
        if text in ("true", "false"):
            overrides[name] = text == "true"
        elif text:
            raise RuntimeError(f"launch argument {name}: expected true or false, got {text!r}")
    remappings = [(topic, value(argument_of(topic))) for topic in TOPIC_ARGUMENTS]
    # As image_transport names it: the compressed stream lies below the topic of the raw one.
    remappings.append(("image/compressed", value("image").rstrip("/") + "/compressed"))
    return [
        LifecycleNode(
            package="llavaseg_ros",
            executable="llavaseg_node",
            name="llavaseg",
            namespace=value("namespace"),
            parameters=[value("params_file"), overrides],
            remappings=remappings,
            arguments=["--ros-args", "--log-level", value("log_level")],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    params_file = str(Path(get_package_share_directory("llavaseg_ros")) / "config" / "node.yaml")
    arguments = {
        "namespace": ("", "namespace of the node and of its topics"),
        "params_file": (params_file, "YAML file with the node's parameters"),
        **{argument_of(topic): (topic, f"topic to read: {what}") for topic, what in TOPIC_ARGUMENTS.items()},
        **{name: ("", f"{what}; empty: as in params_file") for name, what in PARAMETER_ARGUMENTS.items()},
        "use_sim_time": ("false", "take the time from /clock (simulation, or a bag played with --clock)"),
        "log_level": ("info", "debug, info, warn, error or fatal"),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in arguments.items()
            ),
            OpaqueFunction(function=start_node),
        ]
    )
