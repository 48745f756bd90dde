# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `calibrate`: make the scores of a bundle mean how often its masks are right, measured on validation scenes."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from llavaseg_ros.bundle import default_bundle, read_bundle, write_bundle
from llavaseg_ros.evaluation.calibration import RIGHT_IOU
from llavaseg_ros.evaluation.dataset import read_dataset
from llavaseg_ros.evaluation.metrics import with_mask
from llavaseg_ros.evaluation.predict import predict
from llavaseg_ros.evaluation.scoring import score_all
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.segmentation.score import ScoreScale, fit_scale
from llavaseg_ros.segmentation.segmenter import set_scale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train calibrate`."""
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="bundle folder; its scores are rewritten")
    parser.add_argument("--data", type=Path, required=True, help="commands.jsonl of validation scenes")
    parser.add_argument("--limit", type=int, default=0, help="so many commands of it; 0: all")


def calibrate(folder: Path, data: Path, limit: int = 0) -> ScoreScale:
    """Answer the commands with the whole pipeline, fit the scale of the scores to the masks that come out, and write it
    into the bundle. ValueError unless some of the masks are right and some wrong."""
    bundle = read_bundle(folder)

    def write(scale: ScoreScale) -> None:
        set_scale(bundle.segmenter, scale)
        inside = {
            part: path.relative_to(bundle.folder).as_posix() if path.is_relative_to(bundle.folder) else str(path)
            for part, path in (("mllm", bundle.mllm), ("segmenter", bundle.segmenter))
        }
        write_bundle(folder, bundle.name, bundle.prompts, licence=bundle.licence, **inside)

    write(ScoreScale())
    samples = read_dataset(data, need_truth=True, limit=limit)
    with tempfile.TemporaryDirectory() as out:
        predictions = predict(LLaVASeg.from_pretrained(folder), samples, Path(out))
        masks = with_mask([row.score for row in score_all(samples, predictions, Path(out))])
    scale = fit_scale([raw for raw, _ in masks], [iou >= RIGHT_IOU for _, iou in masks])
    write(scale)
    return scale


def run(args: argparse.Namespace) -> None:
    """Calibrate args.bundle and say how."""
    scale = calibrate(args.bundle, args.data, args.limit)
    print(f"scores of {args.bundle}: sigmoid({scale.offset:.3f} + {scale.gain:.3f} logit(raw))")
