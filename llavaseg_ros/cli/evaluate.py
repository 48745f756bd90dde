"""`llavaseg evaluate DATA.jsonl --out DIR`."""

from __future__ import annotations

import argparse

from llavaseg_ros.cli import _args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "data",
        metavar="DATA.jsonl",
        type=_args.existing_file,
        nargs="+",
        help="one command a line, with its true mask or null",
    )
    parser.add_argument(
        "--out", type=_args.out_folder, required=True, help="folder for predictions, metrics.json and report.html"
    )
    parser.add_argument(
        "--predictions",
        metavar="PREDICTIONS.jsonl",
        type=_args.existing_file,
        nargs="+",
        help="evaluate these, one file for each DATA.jsonl, without running a model",
    )
    parser.add_argument(
        "--limit", type=_args.count, default=0, help="only the first so many commands of a file; 0 = all"
    )
    parser.add_argument("--pictures", type=_args.count, default=12, help="most pictures a section (%(default)s)")
    _args.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Predict unless predictions are given, score, print the table, write metrics.json and report.html."""
    from llavaseg_ros.cli.predict import all_failed, predict_all
    from llavaseg_ros.evaluation.dataset import read_dataset, read_predictions
    from llavaseg_ros.evaluation.report import write_report
    from llavaseg_ros.evaluation.scoring import Row, score_all
    from llavaseg_ros.evaluation.tables import metrics, text_table, write_json

    if args.predictions and len(args.predictions) != len(args.data):
        raise _args.CliError(
            f"{len(args.predictions)} files of predictions for {len(args.data)} of data; expected as many"
        )
    parts = [read_dataset(path, need_truth=True, limit=args.limit) for path in args.data]
    rows: list[Row] = []
    if args.predictions:
        for samples, path in zip(parts, args.predictions, strict=True):
            rows += score_all(samples, read_predictions(path, limit=args.limit), path.parent)
        made_by = f"predictions of {', '.join(map(str, args.predictions))}"
    else:
        samples = [sample for part in parts for sample in part]
        rows = score_all(samples, predict_all(args, samples), args.out)
        made_by = f"model {args.model}, mode {args.mode}, device {args.device}"
    scores = [row.score for row in rows]
    print(text_table(scores))
    figures, report = args.out / "metrics.json", args.out / "report.html"
    write_json(figures, metrics(scores))
    images = len({row.sample.image_path for row in rows})
    write_report(
        report,
        rows,
        title=f"Evaluation on {', '.join(path.name for path in args.data)}",
        about=f"{len(rows)} commands on {images} images; {made_by}",
        most=args.pictures,
    )
    print(f"{figures}\n{report}")
    return 1 if all_failed([row.prediction for row in rows]) else 0
