# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg data list`, `... check NAME --root DIR`, `... export NAME --root DIR --split S --out DIR`."""

from __future__ import annotations

import argparse

from llavaseg_ros.cli import _args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb: one of three actions, each with its own."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    actions.add_parser("list", parents=[debug], help="the public data sets that can be read, with their splits")
    check = actions.add_parser("check", parents=[debug], help="read a set, draw every mask, count what is wrong")
    export = actions.add_parser("export", parents=[debug], help="write a split as DATA.jsonl with masks")
    for action in (check, export):
        action.add_argument("name", metavar="NAME", help="a name of `llavaseg data list`")
        action.add_argument("--root", type=_args.existing_folder, required=True, help="the folder that holds the set")
    check.add_argument("--split", default="", help="only this split; without it all of them")
    export.add_argument("--split", required=True, help="the split to write")
    export.add_argument("--out", type=_args.out_folder, required=True, help="folder for data.jsonl and masks")
    export.add_argument("--limit", type=_args.count, default=0, help="only the first so many commands; 0 = all")
    export.add_argument(
        "--on-problem",
        choices=("skip", "refuse"),
        default="skip",
        help="leave broken records out, or end with a list of them (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Do the action. check: 0 when nothing is missing and nothing is wrong, else 1."""
    if args.action == "list":
        return _list()
    return _check(args) if args.action == "check" else _export(args)


def _list() -> int:
    from llavaseg_ros.datasets.registry import SETS

    for entry in SETS.values():
        print(f"{entry.name:16}{entry.about['title']}\n{'':16}splits: {', '.join(entry.splits)}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from llavaseg_ros.datasets.export import examine
    from llavaseg_ros.datasets.registry import describe_missing, entry, read
    from llavaseg_ros.evaluation.dataset import DatasetError

    splits = (args.split,) if args.split else entry(args.name).splits
    missing = describe_missing(args.name, args.root, args.split or None)
    if missing:
        print(missing)
        return 1
    wrong = 0
    for split in splits:
        try:
            reading = read(args.name, args.root, split)
        except DatasetError as error:
            print(f"{args.name} {split}: cannot be used\n{error}")
            wrong += 1
            continue
        drawn = examine(reading)
        pictures = len({referral.image_path for referral in reading})
        absent = sum(referral.absent for referral in reading)
        count = reading.problems.count + drawn.count
        print(f"{args.name} {split}: {len(reading)} commands ({absent} absent) on {pictures} images, {count} problems")
        for problems in (reading.problems, drawn):
            if problems.count:
                print(problems.text())
        wrong += count
    return 1 if wrong else 0


def _export(args: argparse.Namespace) -> int:
    from llavaseg_ros.datasets.export import export
    from llavaseg_ros.datasets.registry import entry, read

    reading = read(args.name, args.root, args.split, on_problem=args.on_problem)
    names = entry(args.name).names_targets
    path, problems = export(reading, args.out, names_targets=names, limit=args.limit)
    if args.on_problem == "refuse":
        problems.refuse(f"{args.name} {args.split}")
    for found in (reading.problems, problems):
        if found.count:
            _args.say(f"{found.count} problems, left out:\n{found.text()}")
    print(path)
    return 0
