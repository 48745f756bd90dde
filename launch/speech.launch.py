# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starts the node `speech_command`: `ros2 launch llavaseg_ros speech.launch.py --show-args` lists the arguments."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# Arguments that set a parameter of the node. Left empty, the node's default stands.
PARAMETER_ARGUMENTS = {
    "source": "'microphone', or an audio file to listen to once",
    "device": "microphone: a number or a part of a name, as PortAudio lists them",
    "model": "folder of a faster-whisper model",
    "language": "language that is spoken, as Whisper calls it",
    "session_id": "send commands on `command`, in this session, and not on `command_text`",
}


def start_node(context: LaunchContext) -> list[Node]:
    """The node, with only those parameters set that were given."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    # As strings, whatever they look like: a device may be called "1".
    given = {name: ParameterValue(value(name), value_type=str) for name in PARAMETER_ARGUMENTS if value(name)}
    return [
        Node(
            package="llavaseg_ros",
            executable="speech_command",
            name="speech_command",
            namespace=value("namespace"),
            parameters=[given],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    arguments = {
        "namespace": "namespace of the node and of its topics: that of the node llavaseg",
        **{name: f"{text}; empty: the node's default" for name, text in PARAMETER_ARGUMENTS.items()},
    }
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, default_value="", description=text) for name, text in arguments.items()),
            OpaqueFunction(function=start_node),
        ]
    )
