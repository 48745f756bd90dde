# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg view`: the page for people, as a process of its own beside the node."""

from __future__ import annotations

import argparse

from llavaseg_ros.cli import _args


def port(text: str) -> int:
    """0 to 65535."""
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a port from 0 to 65535")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "From another machine, rather than opening the page to the network:\n"
        "  ssh -L 8088:127.0.0.1:8088 robot        # and then http://127.0.0.1:8088/ here\n"
        "A token on the command line is seen in the list of processes; LLAVASEG_VIEW_TOKEN in the environment is not.\n"
        "Anything after --ros-args goes to ROS as it is."
    )
    parser.add_argument("--host", help="address to listen on (127.0.0.1); any but loopback asks browsers for a token")
    parser.add_argument("--port", type=port, help="port to listen on; 0 = any free one (8088)")
    parser.add_argument("--token", default="", help="the token; by default none on loopback, a new one elsewhere")
    parser.add_argument("--host-name", action="append", default=[], help="a further name of this machine in browsers")
    parser.add_argument("--node", help="the node to show, in --namespace, or its full name (llavaseg)")
    parser.add_argument("--namespace", help="namespace of the node and its topics")
    parser.add_argument("--image", metavar="TOPIC", help="the camera's image topic, as given to `llavaseg node`")
    parser.add_argument("--depth", metavar="TOPIC", help="the camera's depth topic")
    parser.add_argument("--compressed", action="store_true", help="take TOPIC/compressed")
    parser.add_argument("--use-sim-time", action="store_true", help="follow /clock")
    parser.add_argument("--ros-args", nargs=argparse.REMAINDER, default=[], help="arguments for ROS")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    _args.need_ros()
    from llavaseg_ros.nodes.viewer import main

    return main(ros_arguments(args), token=args.token)


def ros_arguments(args: argparse.Namespace) -> list[str]:
    """The options as ROS arguments; the token is none of them."""
    values = {"host": args.host, "port": args.port, "node": args.node, "host_names": ",".join(args.host_name) or None}
    return _args.node_arguments(args, values, {"image": args.image, "depth/image": args.depth})
