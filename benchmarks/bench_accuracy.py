# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a bundle on a generated test set: end to end, and with the true words instead of the language model's.

    llavaseg train scenes --packs test --scenes 600 --out out/test
    python -m llavaseg_ros.training.language --scenes out/test --out out/test/commands.jsonl
    python benchmarks/bench_accuracy.py --data out/test/commands.jsonl --json out/accuracy.json

Two halves of a test set can run at the same time, each with its own --out and --json. All figures are then made again
from the commands of both:

    python benchmarks/bench_accuracy.py --merge out/a.json out/b.json --json out/accuracy.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from llavaseg_ros.evaluation.dataset import DatasetError, Sample, read_dataset
from llavaseg_ros.evaluation.figures import Figure, mean
from llavaseg_ros.evaluation.metrics import Score, overlap
from llavaseg_ros.evaluation.predict import predict
from llavaseg_ros.evaluation.scoring import score_all
from llavaseg_ros.evaluation.tables import aligned, metrics, text_table, write_json
from llavaseg_ros.images import read_mask, read_rgb
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.types import Attributes, Thought

CHANGES = {
    "true attributes": lambda a: a,
    "without location": lambda a: replace(a, location=""),
    "wrong location": lambda a: replace(a, location="back right" if a.location != "back right" else "front"),
}
FORMAT = "llavaseg accuracy 1"


@dataclass(frozen=True)
class Entry:
    """One command: what it was about, its score, and, of the first command on each target, the IoU with true words by
    the names in CHANGES. image, mask: absolute paths, which tell targets of different data apart.
    """

    image: str
    mask: str | None
    command: str
    score: Score
    true_words: dict[str, float] | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        about = {"image": self.image, "mask": self.mask, "command": self.command}
        return {**about, "score": self.score.as_json(), "true_words": self.true_words}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Entry:
        """What `as_json` wrote."""
        return cls(row["image"], row["mask"], row["command"], Score.from_json(row["score"]), row["true_words"])


def true_words(model: LLaVASeg, samples: Sequence[Sample]) -> list[dict[str, float] | None]:
    """IoU of the segmentation half by itself: with every true attribute, without the place, and with a wrong place.
    None where there is nothing to segment, and for targets that had their turn.
    """
    found: list[dict[str, float] | None] = []
    seen: set[tuple[Path, Path]] = set()
    image = None
    for sample in tqdm(samples, desc="true words", mininterval=5):
        if sample.mask_path is None or sample.target is None or (sample.image_path, sample.mask_path) in seen:
            found.append(None)
            continue
        seen.add((sample.image_path, sample.mask_path))
        truth = read_mask(sample.mask_path)
        if not truth.any():  # by the evaluation's rules, an absent target
            found.append(None)
            continue
        if sample.image_path != image:
            model.set_image(read_rgb(sample.image_path))
            image = sample.image_path
        ious = {}
        for name, change in CHANGES.items():
            words: Attributes = change(sample.attributes)
            result = model.segment_thought(Thought(target=sample.target, attributes=words, found=True))
            inter, union = overlap(result.segments[0].mask if result.segments else None, truth)
            ious[name] = inter / union
        found.append(ious)
    return found


def measure(model: LLaVASeg, samples: Sequence[Sample], out: Path) -> list[Entry]:
    """Run the model over the samples, end to end and with true words. out: for masks and predictions.jsonl."""
    with tqdm(total=len(samples), desc="end to end", mininterval=5) as bar:
        predictions = predict(model, samples, out, on_done=lambda _: bar.update())
    rows = score_all(samples, predictions, out)
    return [
        Entry(
            image=str(sample.image_path.resolve()),
            mask=None if sample.mask_path is None else str(sample.mask_path.resolve()),
            command=sample.command,
            score=row.score,
            true_words=words,
        )
        for sample, row, words in zip(samples, rows, true_words(model, samples), strict=True)
    ]


def merge(parts: Sequence[tuple[str, dict[str, Any]]]) -> tuple[dict[str, str], list[Entry]]:
    """Settings and commands of several files, given as (name, content). A target that has figures with true words in
    two files keeps the first. Raises DatasetError for files of another format or of other settings, and when a command
    is in two of them.
    """
    settings: dict[str, str] = {}
    entries: list[Entry] = []
    origin: dict[tuple[str, str], str] = {}
    measured: set[tuple[str, str | None]] = set()
    for name, part in parts:
        if part.get("format") != FORMAT:
            raise DatasetError(f"{name}: not written by this version of bench_accuracy.py; expected format {FORMAT!r}")
        if settings and part["settings"] != settings:
            raise DatasetError(f"{name}: settings {part['settings']}, but {parts[0][0]} has {settings}")
        settings = part["settings"]
        for entry in map(Entry.from_json, part["commands"]):
            if origin.setdefault((entry.image, entry.command), name) != name:
                other = origin[entry.image, entry.command]
                raise DatasetError(f"{name}: {entry.command!r} on {entry.image} is in {other} too")
            if entry.true_words is not None and (entry.image, entry.mask) in measured:
                entry = replace(entry, true_words=None)
            elif entry.true_words is not None:
                measured.add((entry.image, entry.mask))
            entries.append(entry)
    return settings, entries


def words_figures(entries: Sequence[Entry]) -> dict[str, dict[str, Figure]]:
    """mIoU with true words: by all targets and by what training never showed, then by the names in CHANGES."""
    known = [(e.score.novelty, e.true_words) for e in entries if e.true_words is not None]
    groups = ["all", *sorted({novelty for novelty, _ in known if novelty})]
    return {
        group: {name: mean(ious[name] for novelty, ious in known if group in ("all", novelty)) for name in CHANGES}
        for group in groups
    }


def show(settings: dict[str, str], entries: Sequence[Entry]) -> str:
    """Everything for a terminal."""
    lines = [("mIoU of the segmentation half", "value", "95 % interval", "targets")]
    for group, figures in words_figures(entries).items():
        for name, figure in figures.items():
            title = name if group == "all" else f"{name}, {group}"
            lines.append((title, figure.text(), figure.interval(), str(figure.count)))
    scores = [entry.score for entry in entries]
    images = len({entry.image for entry in entries})
    about = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{len(entries)} commands on {images} images; {about}\n\n{text_table(scores)}\n\n{aligned(lines)}"


def as_json(settings: dict[str, str], entries: Sequence[Entry]) -> dict[str, Any]:
    """All figures, the numbers of the evaluation page, and the commands that `merge` makes them from."""
    scores = [entry.score for entry in entries]
    words = {g: {name: f.as_json() for name, f in found.items()} for g, found in words_figures(entries).items()}
    return {
        "format": FORMAT,
        "settings": settings,
        **metrics(scores),
        "true_words": words,
        "commands": [entry.as_json() for entry in entries],
    }


def main() -> None:
    """Run or merge, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, nargs="+", help="one or more DATA.jsonl")
    source.add_argument("--merge", type=Path, nargs="+", help="files that --json wrote, instead of running a model")
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, default=Path("out/accuracy"), help="masks and predictions.jsonl")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="only so many commands of a file; 0 = all")
    parser.add_argument("--mode", choices=("cot", "fast"), default="cot")
    args = parser.parse_args()
    if args.merge:
        parts = [(str(path), json.loads(path.read_text(encoding="utf-8"))) for path in args.merge]
        settings, entries = merge(parts)
    else:
        settings = {"model": args.model, "mode": args.mode}
        samples = [s for path in args.data for s in read_dataset(path, need_truth=True, limit=args.limit)]
        entries = measure(LLaVASeg.from_pretrained(args.model, mode=args.mode), samples, args.out)
    print(show(settings, entries))
    if args.json:
        write_json(args.json, as_json(settings, entries))


if __name__ == "__main__":
    main()
