# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""python -m llavaseg_ros.training.scenes: renders a folder of scenes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from llavaseg_ros.training.scenes.catalog import PACK_RANGES
from llavaseg_ros.training.scenes.dataset import SCENES_PER_PACK, contact_sheet, render_dataset


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the generator. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m llavaseg_ros.training.scenes", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write; an unfinished one is continued")
    parser.add_argument("--scenes", type=int, required=True, help="number of images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--packs", choices=tuple(PACK_RANGES), default="train", help="which objects may appear")
    parser.add_argument("--first-pack", type=int, default=None, help="first pack number; default: start of the range")
    parser.add_argument("--scenes-per-pack", type=int, default=SCENES_PER_PACK)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sheet", type=Path, default=None, help="also write a contact sheet (PNG) of the first images")
    args = parser.parse_args(argv)
    try:
        render_dataset(args.out, args.scenes, args.seed, args.first_pack, packs=args.packs, workers=args.workers,
                       scenes_per_pack=args.scenes_per_pack)
    except ValueError as error:
        parser.error(str(error))
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.sheet is not None:
        contact_sheet(args.out, args.sheet)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
