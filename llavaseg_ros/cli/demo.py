# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg demo`: the node and a recorded camera as real processes, commands over DDS, one page with the answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from llavaseg_ros.cli import _args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--image", type=_args.existing_file, help="run on this photograph in place of the recording")
    parser.add_argument(
        "--command",
        type=_args.command_text,
        action="append",
        help="a command; may be given several times. Without it, the commands that belong to the recording",
    )
    parser.add_argument(
        "--out",
        type=_args.out_folder,
        default=Path("out/demo"),
        help="folder for the page and the overlays (%(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=_args.seconds,
        default=180.0,
        help="most seconds for loading, and for each command (%(default)s)",
    )
    parser.add_argument("--domain", type=_args.domain_id, help="ROS domain id to use; by default one of its own")
    _args.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 only if every command got its final answer on a published frame."""
    if args.image and not args.command:
        args.command = ["What do you see?", "the cup"]
    _args.need_ros()
    from llavaseg_ros.demo.run import DemoOptions, run_demo

    return run_demo(
        DemoOptions(
            out=args.out,
            image=args.image,
            commands=tuple(args.command or ()),
            model=args.model,
            device=args.device,
            mode=args.mode,
            timeout_s=args.timeout,
            domain=args.domain,
        )
    )
