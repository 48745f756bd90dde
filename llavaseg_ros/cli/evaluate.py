# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg evaluate DATA.jsonl --out DIR`, and `llavaseg evaluate --set NAME/SPLIT --root DIR --out DIR`."""

from __future__ import annotations

import argparse

from llavaseg_ros.cli import _args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "data",
        metavar="DATA.jsonl",
        type=_args.existing_file,
        nargs="*",
        help="one command a line, with its true mask or null",
    )
    parser.add_argument(
        "--set",
        metavar="NAME/SPLIT",
        help="instead of DATA.jsonl a public set, such as refcoco/val",
    )
    parser.add_argument("--root", type=_args.existing_folder, help="the folder that holds the set")
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
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Predict unless predictions are given, score, print the table, write metrics.json and report.html."""
    from llavaseg_ros.cli.predict import all_failed, predict_all
    from llavaseg_ros.evaluation.dataset import read_dataset, read_predictions
    from llavaseg_ros.evaluation.metrics import summarise
    from llavaseg_ros.evaluation.published import published_table
    from llavaseg_ros.evaluation.report import write_report
    from llavaseg_ros.evaluation.scoring import Row, score_all
    from llavaseg_ros.evaluation.tables import metrics, text_table, write_json

    if bool(args.set) == bool(args.data):
        args.usage_error("expected either files DATA.jsonl or --set NAME/SPLIT with --root DIR")
    if bool(args.set) != bool(args.root):
        args.usage_error("--set NAME/SPLIT needs --root DIR, the folder that holds the set, and --root needs --set")
    name, split = _public(args) if args.set else ("", "")
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
    if args.set:
        print(f"\n{published_table(name, split, summarise(scores), f'ours ({args.model})')}")
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


def _public(args: argparse.Namespace) -> tuple[str, str]:
    """Write the set that --set names as DATA.jsonl below --out, and go on as if that had been given."""
    from llavaseg_ros.datasets.export import export
    from llavaseg_ros.datasets.registry import entry, read

    name, _, split = args.set.partition("/")
    found = entry(name, split)
    reading = read(name, args.root, split)
    path, problems = export(
        reading, args.out / "data" / name / split, names_targets=found.names_targets, limit=args.limit
    )
    for wrong in (reading.problems, problems):
        if wrong.count:
            _args.say(f"{name} {split}: {wrong.count} problems; their commands are left out:\n{wrong.text()}")
    args.data = [path]
    return name, split
