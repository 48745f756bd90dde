# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Dialogues of ten turns on rendered tables of unseen packs: is the right thing marked, turn by turn?

    python benchmarks/bench_dialogue.py --scenes out/several --dialogues 100 --json out/dialogue.json

A simulated person begins with a plain command. Later turns are half plain commands, half references ("now the one left
of it", "no, the other one"), where the scene permits one that has one meaning. `it` is what the robot marked last, as
the person sees it; where that is no thing at all, the person says a plain command. Two dialogues at a time take turns
on one image, in two sessions. A turn is right when the best mask overlaps the thing that is meant by more than half
(IoU), or when there is no mask and nothing is meant. With --scripted, `it` is what should have been marked instead: a
wrong turn then makes the next reference wrong, too.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_several import LEAST_IOU, SEED, scenes_of
from tqdm import tqdm

from llavaseg_ros.cli import _args
from llavaseg_ros.evaluation.tables import aligned
from llavaseg_ros.images import read_ids, read_rgb
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.ros.sessions import Sessions
from llavaseg_ros.segmentation.following import overlap
from llavaseg_ros.training.language.generate import make_dialogues
from llavaseg_ros.training.language.lexicon import load_lexicon
from llavaseg_ros.training.language.places import at_place, clearly, nearest_in_relation, of_size
from llavaseg_ros.training.language.world import Head, Thing, World
from llavaseg_ros.types import Referent, Result

TURNS = 10
HISTORY = 10  # turns that a session remembers: the node's default
PLAIN_KINDS = ("name", "color", "use", "place", "relation", "size")
REFERENCES = 0.5  # share of the later turns
SAYINGS = {
    "other": ("no, the other one", "Not that one, the other one.", "now the other {kind}", "I meant the other one"),
    "no other": ("no, the other one", "another one, please", "I meant the other one"),
    "left of": ("now the one left of it", "the thing to the left of it", "and the one on its left"),
    "right of": ("now the one right of it", "the thing to the right of it", "give me the one on its right"),
    "in front of": ("now the one in front of it", "the thing in front of that"),
    "behind": ("now the one behind it", "hand me the thing behind it"),
    "next to": ("now the one next to it", "the thing beside it, please"),
    "color": ("no, the {color} one", "the {color} one instead", "I want the {color} one"),
    "biggest": ("the bigger one", "no, the bigger one please"),
    "smallest": ("the smaller one", "no, the smaller one"),
    "leftmost": ("the left one", "I mean the one on the left"),
    "rightmost": ("no, the right one", "the one on the right"),
    "again": ("give it to me again", "that one again, please", "Show it once more."),
    "new": ("and the {kind}?", "what about the {kind}?", "now the {kind}"),
}


@dataclass(frozen=True)
class Turn:
    """sort: "plain", or a key of SAYINGS. target: id of the thing that is meant, None if there is none."""

    sort: str
    command: str
    target: int | None


def references(world: World, it: Thing) -> Iterator[tuple[str, Thing | None, dict[str, str]]]:
    """What can be said with reference to a thing and has one meaning: (sort, the thing meant, words)."""
    kin = [t for t in world.shown if t.category == it.category]
    others = [t for t in kin if t.id != it.id]
    if len(others) == 1:
        yield "other", others[0], {"kind": it.category}
    if sum(t.category == it.category for t in world.present) == 1:
        yield "no other", None, {}
    for relation in ("left of", "right of", "in front of", "behind", "next to"):
        beside = nearest_in_relation(world.shown, relation, it)
        # "One" may be said of things like it: none of them may stand there, but for the one that is meant.
        rivals = [t for t in others if t is not beside and (relation == "next to" or clearly(t, relation, it))]
        if beside is not None and not rivals:
            yield relation, beside, {}
    for other in others:
        if other.color != it.color and sum(t.color == other.color for t in kin) == 1:
            yield "color", other, {"color": other.color}
    if len(kin) == 2:
        for size in ("biggest", "smallest"):
            yield size, of_size(kin, size), {}
        for place in ("leftmost", "rightmost"):
            yield place, at_place(kin, place, world.aspect), {}
    yield "again", it, {}
    for thing in world.listed:
        if thing.category != it.category and world.only(Head(category=thing.category)) is thing:
            yield "new", thing, {"kind": thing.category}


class Person:
    """One simulated person, who looks at one scene and speaks in one session."""

    def __init__(self, scene: dict[str, Any], rng: random.Random) -> None:
        self.world = World(scene, load_lexicon())
        self._rng = rng
        shares = dict.fromkeys(PLAIN_KINDS, 1.0)
        sides = [make_dialogues(scene, rng, phrasing=side, count=12, shares=shares) for side in ("known", "held_out")]
        self._plain = [d for side in sides for d in side]
        rng.shuffle(self._plain)

    def says(self, it: Thing | None) -> Turn:
        """The next turn. it: what was marked last, None at the beginning or when that was nothing."""
        if it is not None and self._rng.random() < REFERENCES:
            options = defaultdict(list)
            for sort, thing, words in references(self.world, it):
                meant = thing is None and sort == "no other"
                if meant or (thing is not None and thing.listed and (thing is not it or sort == "again")):
                    options[sort].append((thing, words))
            sort = self._rng.choice(sorted(options))
            thing, words = self._rng.choice(options[sort])
            return Turn(sort, self._rng.choice(SAYINGS[sort]).format(**words), thing.id if thing else None)
        plain = self._plain.pop() if self._plain else None
        if plain is None:
            thing = self._rng.choice([t for t in self.world.listed if self.world.only(Head(t.category, t.color)) is t])
            return Turn("plain", f"the {thing.name}", thing.id)
        return Turn("plain", plain.command, plain.target_id)


def marked(result: Result, ids: np.ndarray, world: World) -> Thing | None:
    """The thing that the best mask of a result shows."""
    if not result.found:
        return None
    mask = result.segments[0].mask
    best = max(world.shown, key=lambda t: overlap(mask, ids == t.id))
    return best if overlap(mask, ids == best.id) > LEAST_IOU else None


def talk(
    model: LLaVASeg, people: list[Person], ids: np.ndarray, sessions: Sessions, *, scripted: bool
) -> Iterator[dict[str, Any]]:
    """The turns of the dialogues of some people on the model's image, who speak in turn."""
    its: list[Thing | None] = [None] * len(people)
    for number in range(1, TURNS + 1):
        for who, person in enumerate(people):
            turn = person.says(its[who])
            history, last = sessions.recall(str(who), HISTORY)
            result = model.segment(turn.command, history=history, last=last)
            sessions.add(str(who), turn.command, result.answer, Referent.of(result))
            thing = marked(result, ids, person.world)
            right = not result.found if turn.target is None else thing is not None and thing.id == turn.target
            if scripted:
                meant = next((t for t in person.world.shown if t.id == turn.target), its[who])
                its[who] = meant
            elif result.found:
                its[who] = thing
            row = {"turn": number, "sort": turn.sort, "command": turn.command, "right": right, "answer": result.answer}
            yield row | {"reasoning": result.thought.reasoning}


def share(rows: list[dict[str, Any]]) -> float:
    """Of turns that were right."""
    return sum(row["right"] for row in rows) / max(1, len(rows))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares of right turns, and what later turns lose against the first, in points."""
    first, later = [r for r in rows if r["turn"] == 1], [r for r in rows if r["turn"] > 1]
    plain = [r for r in later if r["sort"] == "plain"]
    refer = [r for r in later if r["sort"] != "plain"]
    tenth = [r for r in rows if r["turn"] == TURNS]
    figures = {"first": first, "later": later, "later_plain": plain, "later_references": refer, "tenth": tenth}
    out: dict[str, Any] = {name: {"turns": len(some), "right": share(some)} for name, some in figures.items()}
    out["points_lost"] = {name: 100 * (share(first) - share(some)) for name, some in figures.items() if some != first}
    out["by_turn"] = [share([r for r in rows if r["turn"] == n]) for n in range(1, TURNS + 1)]
    sorts = sorted({r["sort"] for r in rows})
    out["by_sort"] = {s: [len(some := [r for r in later if r["sort"] == s]), share(some)] for s in sorts}
    return out


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=Path("out/several"), help="folder of scenes (%(default)s)")
    parser.add_argument("--dialogues", type=_args.count, default=100, help="an even number (%(default)s)")
    parser.add_argument("--model", default="default", help="a profile's name or file, or a bundle's folder")
    parser.add_argument("--scripted", action="store_true", help="`it` is what should have been marked")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--turns", type=Path, help="write every turn there, a line of JSON each")
    args = parser.parse_args()
    model = LLaVASeg.from_pretrained(args.model)
    rows = []
    for number, scene in enumerate(tqdm(scenes_of(args.scenes, -(-args.dialogues // 2)), unit="scene")):
        people = [Person(scene, random.Random(f"{SEED}/{number}/{who}")) for who in range(2)]
        model.set_image(read_rgb(args.scenes / scene["image"]))
        ids = read_ids(args.scenes / scene["instances"])
        spoken = list(talk(model, people, ids, Sessions(), scripted=args.scripted))
        rows += spoken
        if args.turns:
            with args.turns.open("a" if number else "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in spoken)
    total = summary(rows)
    print(aligned([("turn", "right"), *((str(n), f"{v:.3f}") for n, v in enumerate(total["by_turn"], 1))]))
    print()
    sorts = ((s, str(n), f"{v:.3f}") for s, (n, v) in total["by_sort"].items())
    print(aligned([("turns 2 to 10", "turns", "right"), *sorts]))
    lost = ", ".join(f"{name} {value:.1f}" for name, value in total["points_lost"].items())
    print(f"\nfirst turn {total['first']['right']:.3f}; points lost against it (bar 5): {lost}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(total, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
