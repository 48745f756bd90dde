# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands for several things on rendered tables of unseen packs: how many instances are found, and how much else.

    python benchmarks/bench_several.py --scenes out/several --count 100 --json out/several.json

The folder gets scenes rendered when it holds none. Of every scene, each kind in view is asked for in the plural ("all
the mugs"), also those with one thing; one color is ("everything red"); and one kind that is not there. An instance is
found when a mask overlaps it by more than half (IoU). Instances that are hardly in view may be found or not.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from llavaseg_ros.cli import _args
from llavaseg_ros.evaluation.tables import aligned
from llavaseg_ros.images import read_ids, read_rgb
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.segmentation.following import overlap
from llavaseg_ros.training.language.lexicon import load_lexicon
from llavaseg_ros.training.language.testset import read_scenes
from llavaseg_ros.training.language.world import Thing, World
from llavaseg_ros.training.scenes.dataset import render_dataset

SEED = 7
LEAST_IOU = 0.5
KIND_PHRASES = (
    "all the {plural}",
    "Give me all {plural}, please.",
    "Show me the {plural}.",
    "mark every {one}",
    "I need all of the {plural}",
    "where are the {plural}?",
)
COLOR_PHRASES = ("everything {color}", "all the {color} things", "Show me all {color} objects.")


@dataclass
class Tally:
    """Counts of one row of the table."""

    commands: int = 0
    right: int = 0
    found: int = 0
    wrong: int = 0
    there: int = 0
    seconds: list[float] = field(default_factory=list)

    def row(self, name: str) -> tuple[str, ...]:
        """Cells of a table."""
        precision = self.found / max(1, self.found + self.wrong)
        recall = f"{self.found / self.there:.3f}" if self.there else "-"
        exact = f"{self.right / max(1, self.commands):.3f}"
        return name, str(self.commands), str(self.there), f"{precision:.3f}" if self.there else "-", recall, exact


def scenes_of(folder: Path, count: int) -> list[dict[str, Any]]:
    """Scenes of a folder that say all that is in view; rendered first when there are none."""
    if not (folder / "scenes.jsonl").is_file():
        render_dataset(folder, 2 * count, packs="test")  # about half of them say all that is in view
    return [scene for scene in read_scenes(folder) if scene.get("complete", True)][:count]


def questions(world: World, rng: random.Random) -> list[tuple[str, str, list[Thing]]]:
    """(row of the table, command, the things that are meant)."""
    nouns = world.lexicon.nouns
    asked = []
    for kind in sorted({t.category for t in world.listed}):
        if nouns[kind].plural_only:
            continue
        things = [t for t in world.shown if t.category == kind]
        phrase = rng.choice(KIND_PHRASES).format(plural=nouns[kind].plural, one=kind)
        number = sum(t.listed for t in things)
        asked.append((f"{number} of a kind" if number < 4 else "4 or more of a kind", phrase, things))
    colors = sorted({t.color for t in world.listed})
    color = rng.choice(colors)
    asked.append(("of a color", rng.choice(COLOR_PHRASES).format(color=color), _of_color(world, color)))
    absent = [k for k in world.absent_kinds() if k not in {t.category for t in world.present}]
    absent = [k for k in absent if not nouns[k].plural_only]
    kind = rng.choice(sorted(absent))
    asked.append(("none there", rng.choice(KIND_PHRASES).format(plural=nouns[kind].plural, one=kind), []))
    return asked


def _of_color(world: World, color: str) -> list[Thing]:
    return [t for t in world.shown if t.color == color]


def measure(model: LLaVASeg, folder: Path, scene: dict[str, Any], rng: random.Random, rows: dict[str, Tally]) -> None:
    """Ask about one scene, and count."""
    ids = read_ids(folder / scene["instances"])
    model.set_image(read_rgb(folder / scene["image"]))
    for name, command, things in questions(World(scene, load_lexicon()), rng):
        result = model.segment(command)
        masks = [segment.mask for segment in result.segments]
        assert not masks or np.max(np.sum(masks, axis=0)) <= 1, "two targets share a pixel"
        hit, wrong = set(), 0
        for mask in masks:
            best = max(things, key=lambda t, m=mask: overlap(m, ids == t.id), default=None)
            if best is None or overlap(mask, ids == best.id) <= LEAST_IOU or best.id in hit:
                wrong += 1
            else:
                hit.add(best.id)
        wanted = {t.id for t in things if t.listed}
        tally = rows[name]
        tally.commands += 1
        tally.there += len(wanted)
        tally.found += len(wanted & hit)
        tally.wrong += wrong
        tally.right += wanted <= hit and not wrong
        tally.seconds.append(result.seconds["reason"] + result.seconds["segment"])


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=Path("out/several"), help="folder of scenes (%(default)s)")
    parser.add_argument("--count", type=_args.count, default=100, help="scenes (%(default)s)")
    parser.add_argument("--model", default="default", help="a profile's name or file, or a bundle's folder")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    model = LLaVASeg.from_pretrained(args.model)
    rng = random.Random(SEED)
    rows: dict[str, Tally] = defaultdict(Tally)
    for scene in tqdm(scenes_of(args.scenes, args.count), unit="scene"):
        measure(model, args.scenes, scene, rng, rows)
    head = ("asked for", "commands", "instances", "precision", "recall", "exactly right")
    print(aligned([head, *(rows[name].row(name) for name in sorted(rows))]))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        figures = {
            name: {k: getattr(t, k) for k in ("commands", "there", "found", "wrong", "right")}
            | {"median_seconds": round(float(np.median(t.seconds)), 3)}
            for name, t in sorted(rows.items())
        }
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
