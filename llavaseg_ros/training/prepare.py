"""Stage `scenes`: render a folder of scenes and compute the frozen backbone's features for it."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from pathlib import Path

import torch

from llavaseg_ros.segmentation.small_sam import SmallSamConfig
from llavaseg_ros.training.features import extract
from llavaseg_ros.training.scenes.catalog import PACK_RANGES
from llavaseg_ros.training.scenes.dataset import render_dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train scenes`."""
    parser.add_argument("--out", type=Path, required=True, help="scene folder; an unfinished one is continued")
    parser.add_argument("--scenes", type=int, default=12000, help="number of images")
    parser.add_argument("--packs", choices=tuple(PACK_RANGES), default="train", help="which objects may appear")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)


def _extract_part(folder: Path, index: int, count: int) -> None:
    torch.set_num_threads(1)  # the processes are the parallelism
    extract(folder, SmallSamConfig(), workers=(index, count))


def prepare(out: Path, scenes: int, *, packs: str, seed: int, workers: int) -> None:
    """Render, then extract features, both in `workers` processes; resumes where an earlier call was stopped."""
    render_dataset(out, scenes, seed, packs=packs, workers=workers)
    if workers <= 1:
        extract(out, SmallSamConfig())
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(_extract_part, [(out, i, workers) for i in range(workers)])


def run(args: argparse.Namespace) -> None:
    """Render args.scenes scenes and their features into args.out."""
    prepare(args.out, args.scenes, packs=args.packs, seed=args.seed, workers=args.workers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    run(parser.parse_args())
