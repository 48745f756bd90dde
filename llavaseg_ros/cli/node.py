"""`llavaseg node`: starts the ROS 2 node, with the most used parameters as options."""

from __future__ import annotations

import argparse
import json
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
    words = ["--ros-args"]
    if args.params_file:
        words += ["--params-file", str(args.params_file)]
    for name in ("model", "device", "mode"):
        value = getattr(args, name)
        if value is not None:
            # JSON text is YAML text, so that a model called "1" or a path with a colon stays a string.
            words += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]
    if args.compressed:
        words += ["-p", "image_transport:=compressed"]
    if args.use_sim_time:
        words += ["-p", "use_sim_time:=true"]
    if args.namespace:
        words += ["-r", f"__ns:=/{args.namespace.strip('/')}"]
    for given, image, info in (
        (args.image, "image", "camera_info"),
        (args.depth, "depth/image", "depth/camera_info"),
    ):
        if given:
            words += ["-r", f"{image}:={given}", "-r", f"{info}:={Path(given).parent / 'camera_info'}"]
    return words + [word for word in args.ros_args if word != "--ros-args"]
