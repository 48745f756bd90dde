# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg bench`."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path

from llavaseg_ros.cli import _args
from llavaseg_ros.files import whole_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--model", default="default", help="a profile, by name or file, or a bundle's folder")
    parser.add_argument(
        "--device", type=_args.device_name, default="auto", help="auto, cpu, cuda or cuda:N (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="under a minute: few rounds, only the table")
    parser.add_argument("--json", type=json_file, metavar="FILE", help="write everything that was measured there")
    parser.set_defaults(mode="cot")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the JSON file."""
    with whole_file(args.json) if args.json else nullcontext() as file:
        started = time.perf_counter()
        model = _args.load_model(args)
        from llavaseg_ros.bench.figures import text
        from llavaseg_ros.bench.run import QUICK, Plan
        from llavaseg_ros.bench.run import run as measure

        def told(step: str) -> None:
            _args.say(f"[{time.perf_counter() - started:5.1f} s] {step}")

        report = measure(model, args.model, QUICK if args.quick else Plan(), told)
        if file is not None:
            json.dump(report, file, indent=1)
            file.write("\n")
    if args.json:
        _args.say(f"written: {args.json}")
    print(text(report))
    return 0


def json_file(text: str) -> Path:
    """A file to write to: it may be missing, but it must not be a folder."""
    path = Path(text)
    if not text.strip() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file")
    return path
