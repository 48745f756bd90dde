# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Copy a fixed part of a test set: every so many of its pictures, with all their commands. test/sample was made so.

    python benchmarks/take_sample.py --data out/test/commands.jsonl --every 40 --out test/sample
    llavaseg evaluate test/sample/commands.jsonl --out out/sample && cp out/sample/metrics.json test/sample/

`make test` asks the released weights about it and holds the answers against metrics.json; after a release, run the
second line again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from llavaseg_ros.evaluation.dataset import write_jsonl


def take(data: Path, every: int, out: Path) -> int:
    """Copy commands, pictures and masks; -> how many commands. Pictures count in the order of their names."""
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    images = set(sorted({row["image"] for row in rows})[::every])
    kept = [row for row in rows if row["image"] in images]
    for name in sorted(images | {row["mask"] for row in kept if row["mask"]}):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data.parent / name, out / name)
    write_jsonl(out / data.name, kept)
    return len(kept)


def main() -> None:
    """Copy and say how much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    print(f"{args.out}: {take(args.data, args.every, args.out)} commands")


if __name__ == "__main__":
    main()
