# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `llavaseg bench` measures, as often as you like, and over as many commands and frames.

    python benchmarks/bench_speed.py --json benchmarks/results/speed_cpu.json
    python benchmarks/plot_speed.py benchmarks/results/speed_cpu.json --out docs/images --page docs/performance.md

The figures of docs/performance.md. Everything is a ratio within one run, but a quiet machine makes for steadier ones.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext

from llavaseg_ros.bench.machine import resident_mb
from llavaseg_ros.cli import _args
from llavaseg_ros.cli.bench import json_file, whole_file


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default", help="a profile, by name or file, or a bundle's folder")
    parser.add_argument("--device", type=_args.device_name, default="auto")
    parser.add_argument("--threads", type=_args.count, default=0, help="torch threads; 0 = as torch chooses")
    parser.add_argument("--rounds", type=_args.count, default=16, help="of the table (%(default)s)")
    parser.add_argument("--growth", type=_args.count, default=4, help="repeats of how cost grows (%(default)s)")
    parser.add_argument("--commands", type=_args.count, default=1000, help="to watch memory over (%(default)s)")
    parser.add_argument("--frames", type=_args.count, default=10_000, help="likewise (%(default)s)")
    parser.add_argument("--json", type=json_file, help="write everything that was measured there")
    args = parser.parse_args()
    if not args.rounds:
        parser.error("--rounds: expected at least 1")
    with whole_file(args.json) if args.json else nullcontext() as file:
        started = time.perf_counter()
        before = resident_mb()
        import torch

        from llavaseg_ros.bench.figures import text
        from llavaseg_ros.bench.run import Plan, run
        from llavaseg_ros.pipeline import LLaVASeg

        imported = time.perf_counter()
        if args.threads:
            torch.set_num_threads(args.threads)
        model = LLaVASeg.from_pretrained(args.model, device=args.device)
        loaded = time.perf_counter()
        model.warm_up()
        warm = time.perf_counter()
        report = {
            "start": {
                "import_s": imported - started, "load_s": loaded - imported, "warm_up_s": warm - loaded,
                "resident_mb_before_torch": before, "resident_mb_warm": resident_mb(),
            },
            **run(
                model, args.model, Plan(args.rounds, args.growth, args.commands, args.frames),
                lambda step: _args.say(f"[{time.perf_counter() - started:6.1f} s] {step}"),
            ),
        }  # fmt: skip
        if file is not None:
            json.dump(report, file, indent=1)
            file.write("\n")
    start = report["start"]
    print(text(report))
    print(f"import {start['import_s']:.1f} s, load {start['load_s']:.1f} s, warm-up {start['warm_up_s']:.1f} s")


if __name__ == "__main__":
    main()
