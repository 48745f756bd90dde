"""`llavaseg evaluate DATA.jsonl --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

from llavaseg_ros.cli import _args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "data", metavar="DATA.jsonl", type=_args.existing_file, help="one command a line, with its true mask or null"
    )
    parser.add_argument(
        "--out", type=_args.out_folder, required=True, help="folder for predictions, metrics.json and report.html"
    )
    parser.add_argument(
        "--predictions", type=_args.existing_file, help="evaluate this predictions.jsonl, without running a model"
    )
    parser.add_argument("--limit", type=_args.count, default=0, help="only the first so many commands; 0 = all")
    parser.add_argument("--pictures", type=_args.count, default=12, help="most pictures a section (%(default)s)")
    _args.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Predict unless predictions are given, score, print the table, write metrics.json and report.html."""
    from llavaseg_ros.cli.predict import all_failed, predict_all
    from llavaseg_ros.evaluation.dataset import read_dataset, read_predictions
    from llavaseg_ros.evaluation.report import text_table, write_metrics, write_report
    from llavaseg_ros.evaluation.scoring import score_all

    samples = read_dataset(args.data, need_truth=True, limit=args.limit)
    folder: Path = args.predictions.parent if args.predictions else args.out
    if args.predictions:
        predictions = read_predictions(args.predictions, limit=args.limit)
        made_by = f"predictions of {args.predictions}"
    else:
        predictions = predict_all(args, samples)
        made_by = f"model {args.model}, mode {args.mode}, device {args.device}"
    rows = score_all(samples, predictions, folder)
    scores = [row.score for row in rows]
    print(text_table(scores))
    metrics, report = args.out / "metrics.json", args.out / "report.html"
    write_metrics(metrics, scores)
    images = len({sample.image_path for sample in samples})
    write_report(
        report,
        rows,
        folder,
        title=f"Evaluation on {args.data.name}",
        about=f"{len(rows)} commands on {images} images; {made_by}",
        pictures=args.pictures,
    )
    print(f"{metrics}\n{report}")
    return 1 if all_failed(predictions) else 0
