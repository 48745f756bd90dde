"""Seconds from a command to its mask, by stage, for the first and for later commands on a frame; and resident memory.

    python benchmarks/bench_pipeline.py --json out/bench_pipeline.json

The frames are those of the demo's recording. `encode` is paid once a frame; the language model encodes the image within
the first `reason`, and later commands on the frame use what it kept.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from llavaseg_ros.cli import _args
from llavaseg_ros.demo.bag_reader import read_frames

COMMANDS = ("Hand me the red mug.", "Give me the yellow banana.", "I need something to cut paper with.")
STAGES = ("encode", "reason", "segment", "total")


def resident_mb() -> float:
    """Resident memory of this process, MB (10^6 bytes)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def frames(count: int) -> list[np.ndarray]:
    """Frames spread over the recording, uint8 [H, W, 3] RGB."""
    every = [frame.rgb for frame in read_frames()]
    return [every[i * len(every) // count] for i in range(min(count, len(every)))]


def measure(model: Any, images: Sequence[np.ndarray]) -> dict[str, list[dict[str, float]]]:
    """Seconds by stage: "first" command on every frame and "later" ones. Only commands that drew a mask count."""
    found: dict[str, list[dict[str, float]]] = {"first": [], "later": []}
    for number, image in enumerate(images):
        started = time.perf_counter()
        model.set_image(image)
        for turn in range(len(COMMANDS)):
            result = model.segment(COMMANDS[(number + turn) % len(COMMANDS)])
            total = time.perf_counter() - started
            if result.found:
                found["later" if turn else "first"].append({**result.seconds, "total": total})
            started = time.perf_counter()
    return found


def summary(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Median and 90th percentile of every stage."""
    figures: dict[str, Any] = {"commands": len(rows)}
    for stage in STAGES:
        values = [row[stage] for row in rows]
        if values:
            figures[stage] = {"median": median(values), "p90": float(np.percentile(values, 90))}
    return figures


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=_args.count, default=20, help="frames a mode (%(default)s)")
    parser.add_argument("--threads", type=_args.count, default=0, help="torch threads; 0 = as torch chooses")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--model", default="default", help="a bundle's folder")
    parser.add_argument("--device", type=_args.device_name, default="auto")
    args = parser.parse_args()

    images = frames(args.frames)
    before = resident_mb()
    started = time.perf_counter()
    import torch

    from llavaseg_ros.pipeline import LLaVASeg

    imported = time.perf_counter() - started
    if args.threads:
        torch.set_num_threads(args.threads)
    started = time.perf_counter()
    model = LLaVASeg.from_pretrained(args.model, device=args.device)
    loaded = time.perf_counter() - started
    started = time.perf_counter()
    model.warm_up()
    warm = time.perf_counter() - started

    report: dict[str, Any] = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": str(model.device),
        },
        "model": model.name,
        "image": list(images[0].shape),
        "seconds": {"import": imported, "load": loaded, "warm_up": warm},
        "modes": {},
    }
    height, width = images[0].shape[:2]
    print(f"{model.name} on {model.device}, {torch.get_num_threads()} threads, images {width}x{height}")
    print(f"import {imported:.1f} s, load {loaded:.1f} s, warm-up {warm:.1f} s\n")
    print("seconds, median (90th percentile)" + " " * 3 + "".join(f"{stage:>18}" for stage in STAGES))
    for mode in ("cot", "fast"):
        model.mode = mode
        figures = {turn: summary(rows) for turn, rows in measure(model, images).items()}
        report["modes"][mode] = figures
        for turn, row in figures.items():
            name = f"{mode}, {turn} on a frame ({row['commands']} commands)"
            cells = (f"{row[s]['median']:.3f} ({row[s]['p90']:.3f})" if s in row else "-" for s in STAGES)
            print(f"{name:36}" + "".join(f"{cell:>18}" for cell in cells))
    report["resident_mb"] = {"before_torch": before, "after_use": resident_mb()}
    print(f"\nresident memory {report['resident_mb']['after_use']:.0f} MB ({before:.0f} MB before torch was imported)")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(args.json)


if __name__ == "__main__":
    main()
