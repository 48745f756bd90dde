# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg predict DATA.jsonl --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llavaseg_ros.cli import _args

if TYPE_CHECKING:
    from llavaseg_ros.evaluation.dataset import Prediction, Sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("data", metavar="DATA.jsonl", type=_args.existing_file, help="one command a line")
    parser.add_argument("--out", type=_args.out_folder, required=True, help="folder for predictions.jsonl and masks")
    parser.add_argument("--limit", type=_args.count, default=0, help="only the first so many commands; 0 = all")
    _args.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Predict; 1 when every command failed."""
    from llavaseg_ros.evaluation.dataset import read_dataset

    samples = read_dataset(args.data, limit=args.limit)
    return 1 if all_failed(predict_all(args, samples)) else 0


def predict_all(args: argparse.Namespace, samples: list[Sample]) -> list[Prediction]:
    """Run the model over the samples with a progress bar; says where the results are and how many commands failed."""
    from tqdm import tqdm

    from llavaseg_ros.evaluation.predict import PREDICTIONS, predict

    model = _args.load_model(args)
    with tqdm(total=len(samples), unit="command", mininterval=0.5, dynamic_ncols=True) as bar:
        predictions = predict(model, samples, args.out, on_done=lambda _: bar.update())
    found = sum(p.found for p in predictions)
    print(f"{Path(args.out) / PREDICTIONS}: {len(predictions)} commands, {found} with a mask")
    failed = [p for p in predictions if p.error]
    if failed:
        _args.say(f"{len(failed)} commands failed; the first: {failed[0].command!r}: {failed[0].error}")
    return predictions


def all_failed(predictions: list[Prediction]) -> bool:
    """Not one command got a result: that is a fault of the set-up and not of the model's understanding."""
    return all(p.error for p in predictions)
