# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`python -m llavaseg_ros.training.language --scenes DIR --out DATA.jsonl`: write a test set."""

from __future__ import annotations

import argparse
from pathlib import Path

from llavaseg_ros.training.language.testset import write_test_set


def main() -> None:
    """Parses the arguments and writes the file."""
    parser = argparse.ArgumentParser(prog="python -m llavaseg_ros.training.language", description=main.__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder with scenes.jsonl, images and instance maps")
    parser.add_argument(
        "--out", type=Path, required=True, help="the DATA.jsonl to write; masks go to a folder beside it"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-scene", "--commands-per-scene", type=int, default=3, help="commands a scene")
    parser.add_argument("--phrasing", choices=("known", "held_out", "both"), default="both")
    parser.add_argument("--limit", type=int, default=None, help="use only the first scenes")
    args = parser.parse_args()
    count = write_test_set(
        args.scenes, args.out, seed=args.seed, per_scene=args.per_scene, phrasing=args.phrasing, limit=args.limit
    )
    print(f"{args.out}: {count} commands")


if __name__ == "__main__":
    main()
