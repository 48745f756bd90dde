# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a bundle outside the domain of its training: robosuite's meshes, and real photographs. Never tune on it.

    pip download robosuite==1.5.2 --no-deps --dest out
    python benchmarks/bench_out_of_domain.py --robosuite out/robosuite-*.whl --json out/out_of_domain.json

The robosuite scenes are drawn anew by each run (MuJoCo, extra `train`). The photographs and their masks lie in
benchmarks/out_of_domain/photographs. Each set gets a page with all its pictures, OUT/SET/report.html.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from llavaseg_ros.evaluation.dataset import read_dataset
from llavaseg_ros.evaluation.figures import Figure, share
from llavaseg_ros.evaluation.metrics import by_group, summarise
from llavaseg_ros.evaluation.names import same_name, without_color
from llavaseg_ros.evaluation.predict import predict
from llavaseg_ros.evaluation.report import write_report
from llavaseg_ros.evaluation.scoring import Row, score_all
from llavaseg_ros.evaluation.tables import aligned, write_json
from llavaseg_ros.pipeline import LLaVASeg

PHOTOGRAPHS = Path(__file__).parent / "out_of_domain" / "photographs" / "commands.jsonl"
ROBOSUITE, BREAD, REAL = "robosuite", "robosuite, bread", "photographs"
ABOUT = {
    ROBOSUITE: "robosuite's meshes, drawn by another camera in other light",
    BREAD: "the same scenes, asked for a thing that the model has no word for",
    REAL: "real photographs with masks drawn by hand",
}
BARS = {ROBOSUITE: ("giou", 0.50), REAL: ("right_target", 0.60)}
COLUMNS = {
    "giou": "gIoU",
    "miou": "mIoU",
    "right_target": "right target",
    "right_kind": "right kind",
    "said_in_command": "(named in command)",
    "location": "location",
    "absent_accuracy": "N-acc",
    "present_refused": "refused",
}


def right_kind(rows: Sequence[Row]) -> Figure:
    """Of the targets that are there, the share that was found and called by the true name, colors aside.

    A person may call one carton white or green: the color of a real thing is less certain than what it is. But a reply
    that repeats the command's noun is right too, without a look at the picture: read it beside `said_in_command`.
    """
    there = [row.score for row in rows if row.score.present]
    return share(
        not score.predicted_empty and bool(same_name(without_color(score.target[1]), without_color(score.target[0])))
        for score in there
    )


def said_in_command(rows: Sequence[Row]) -> Figure:
    """Of the targets that are there, the share whose name, without the color, is in the command: what repeating the
    command's noun, without a look at the picture, would make of `right_kind`, synonyms aside.
    """
    there = [row.sample for row in rows if row.score.present]
    return share(without_color(sample.target or "") in sample.command.lower() for sample in there)


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of COLUMNS, each {"value", "count", "low", "high"}, and the number of commands."""
    summary = summarise([row.score for row in rows])
    own = {"right_kind": right_kind(rows), "said_in_command": said_in_command(rows)}
    known = {key: own[key] if key in own else getattr(summary, key) for key in COLUMNS}
    return {"commands": len(rows), **{key: known[key].as_json() for key in COLUMNS}}


def by_kind(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """`figures` for each type of command."""
    kinds = by_group([row.score for row in rows], lambda score: score.kind)
    return {kind: figures([row for row in rows if row.score.kind == kind]) for kind in kinds}


def evaluate(model: LLaVASeg, name: str, data: Path, out: Path, about: str) -> list[Row]:
    """Run every command of the set and write its page."""
    samples = read_dataset(data, need_truth=True)
    with tqdm(total=len(samples), desc=name, mininterval=5) as bar:
        predictions = predict(model, samples, out, on_done=lambda _: bar.update())
    rows = score_all(samples, predictions, out)
    title = f"Out of domain: {name}"
    write_report(out / "report.html", rows, title=title, about=f"{ABOUT[name]}; {about}", most=2 * len(rows))
    return rows


def sets(args: argparse.Namespace) -> dict[str, Path]:
    """Name of each set that was asked for -> its commands; draws the robosuite scenes."""
    found: dict[str, Path] = {}
    if "robosuite" in args.sets:
        # Drawing needs the extra `train`; the photographs do not.
        from out_of_domain.robosuite_meshes import find_assets
        from out_of_domain.robosuite_scenes import write_set

        with tempfile.TemporaryDirectory() as folder:
            assets = find_assets(args.robosuite, Path(folder))
            found[ROBOSUITE], found[BREAD] = write_set(assets, args.out / "robosuite_scenes", seed=args.seed)
    if "photographs" in args.sets:
        found[REAL] = PHOTOGRAPHS
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """One line a set."""
    lines = [("", "commands", *COLUMNS.values(), "bar")]
    for name, result in results.items():
        cells = ["-" if result[key]["value"] is None else f"{result[key]['value']:.3f}" for key in COLUMNS]
        key, bar = BARS.get(name, ("", 0.0))
        lines.append((name, str(result["commands"]), *cells, f"{COLUMNS[key]} {bar:.2f}" if key else "-"))
    return aligned(lines)


def main() -> None:
    """Run, print a table for all sets and one for each, write JSON and pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=("robosuite", "photographs"), default=["robosuite", "photographs"])
    parser.add_argument("--robosuite", type=Path, help="robosuite's wheel or a folder; default: the installed one")
    parser.add_argument("--seed", type=int, default=0, help="of the robosuite scenes")
    parser.add_argument("--model", default="default")
    parser.add_argument("--mode", choices=("cot", "fast"), default="cot")
    parser.add_argument("--out", type=Path, default=Path("out/out_of_domain"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    data = sets(args)
    model = LLaVASeg.from_pretrained(args.model, mode=args.mode)
    results: dict[str, dict[str, Any]] = {}
    parts: list[str] = []
    for name, path in data.items():
        out = args.out / name.replace(", ", "_")
        rows = evaluate(model, name, path, out, f"{model.name}, mode {args.mode}")
        results[name] = figures(rows)
        kinds = by_kind(rows)
        parts.append(f"{name}, by command type; {out / 'report.html'}\n{table(kinds)}")
        results[name]["by command type"] = kinds
    print("\n\n".join([table(results), *parts]))
    if args.json:
        about = {"model": model.name, "mode": args.mode, "seed": args.seed}
        write_json(args.json, {**about, "bars": BARS, "sets": results})


if __name__ == "__main__":
    main()
