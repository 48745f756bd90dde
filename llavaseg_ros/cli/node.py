# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg node`: starts the ROS 2 node, with the most used parameters as options."""

from __future__ import annotations

import argparse
from pathlib import Path

from llavaseg_ros.cli import _args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Anything after --ros-args goes to ROS as it is:\n"
        "  llavaseg node --image /camera/color/image_raw --depth /camera/depth/image --ros-args -p queue.policy:=reject"
    )
    parser.add_argument("--model", help="a profile's name or file, or a bundle's folder (default)")
    parser.add_argument("--device", type=_args.device_name, help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--mode", choices=_args.MODES, help="reasoning in three turns, in one, or by the command")
    parser.add_argument("--image", metavar="TOPIC", help="the camera's image topic; camera_info beside it is used too")
    parser.add_argument("--depth", metavar="TOPIC", help="its depth topic, for 3-D; camera_info beside it is used too")
    parser.add_argument("--compressed", action="store_true", help="take TOPIC/compressed")
    parser.add_argument("--namespace", help="namespace of the node and its topics")
    parser.add_argument("--params-file", type=_args.existing_file, help="a YAML file like config/node.yaml")
    parser.add_argument("--use-sim-time", action="store_true", help="follow /clock")
    parser.add_argument("--ros-args", nargs=argparse.REMAINDER, default=[], help="arguments for ROS")


def run(args: argparse.Namespace) -> int:
    """Run the node until Ctrl-C."""
    _args.need_ros()
    from llavaseg_ros.nodes.llavaseg_node import main

    return main(ros_arguments(args))


def ros_arguments(args: argparse.Namespace) -> list[str]:
    """The options as ROS arguments, those of the parameter file first, so that single options win over it."""
    topics: dict[str, str] = {}
    for given, image, info in (
        (args.image, "image", "camera_info"),
        (args.depth, "depth/image", "depth/camera_info"),
    ):
        if given:
            topics |= {image: given, info: str(Path(given).parent / "camera_info")}
    values = {name: getattr(args, name) for name in ("model", "device", "mode")}
    first, *rest = _args.node_arguments(args, values, topics)
    return [first, *(["--params-file", str(args.params_file)] if args.params_file else []), *rest]
