# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg pick`: picks in simulation, command to lifted thing, with our masks and with true ones; one page."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from llavaseg_ros.cli import _args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--picks", type=_args.count, default=20, help="tables, one command each (%(default)s)")
    parser.add_argument("--first", type=_args.count, default=0, help="number of the first table (%(default)s)")
    parser.add_argument(
        "--split", choices=("test", "val", "train"), default="test", help="whose things to use (%(default)s)"
    )
    parser.add_argument(
        "--min-score", type=_score, help="refuse targets with a lower score; by default as the planner does"
    )
    parser.add_argument("--true-masks-only", action="store_true", help="without the model: only the simulator's masks")
    parser.add_argument("--resume", action="store_true", help="go on with the trials that are in the folder")
    parser.add_argument(
        "--out", type=_args.out_folder, default=Path("out/pick"), help="folder for page, trials, pictures (%(default)s)"
    )
    parser.add_argument(
        "--timeout", type=_args.seconds, default=180.0, help="most seconds for each step (%(default)s)"
    )
    parser.add_argument("--domain", type=_args.domain_id, help="ROS domain id to use; by default one of its own")
    _args.add_model_arguments(parser)


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 to 1")
    return value


def run(args: argparse.Namespace) -> int:
    """0 when every trial ran to its end; how many succeeded is on the last line."""
    if args.picks < 1:
        raise _args.CliError(f"--picks {args.picks}: expected 1 or more")
    _args.need_ros()
    if importlib.util.find_spec("mujoco") is None:
        raise _args.CliError("no MuJoCo here: pip install '.[train]'")
    from llavaseg_ros.pick.run import PickOptions, run_pick

    return run_pick(
        PickOptions(
            out=args.out,
            picks=args.picks,
            first=args.first,
            split=args.split,
            min_score=args.min_score,
            true_masks_only=args.true_masks_only,
            resume=args.resume,
            model=args.model,
            device=args.device,
            mode=args.mode,
            timeout_s=args.timeout,
            domain=args.domain,
        )
    )
