# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `scenes`: render a folder of scenes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from llavaseg_ros.training.scenes.catalog import PACK_RANGES
from llavaseg_ros.training.scenes.dataset import SCENES_PER_PACK, render_dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train scenes`."""
    parser.add_argument("--out", type=Path, required=True, help="scene folder; an unfinished one is continued")
    parser.add_argument("--scenes", type=int, default=12000, help="number of images")
    parser.add_argument("--scenes-per-pack", type=int, default=SCENES_PER_PACK, help="images of the same objects")
    parser.add_argument("--packs", choices=tuple(PACK_RANGES), default="train", help="which objects may appear")
    parser.add_argument("--first-pack", type=int, help="where to begin, to go on where another folder ends")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)


def run(args: argparse.Namespace) -> None:
    """Render args.scenes scenes into args.out; resumes where an earlier call was stopped."""
    render_dataset(
        args.out,
        args.scenes,
        args.seed,
        args.first_pack,
        packs=args.packs,
        workers=args.workers,
        scenes_per_pack=args.scenes_per_pack,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    run(parser.parse_args())
