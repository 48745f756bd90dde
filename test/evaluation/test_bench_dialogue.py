# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of several targets and of dialogue: what they count, on models that know the scene."""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

pytest.importorskip("mujoco")

import bench_dialogue  # noqa: E402
import bench_several  # noqa: E402

from llavaseg_ros.images import write_rgb  # noqa: E402
from llavaseg_ros.ros.sessions import Sessions  # noqa: E402
from llavaseg_ros.training.language.lexicon import load_lexicon  # noqa: E402
from llavaseg_ros.training.language.world import World  # noqa: E402
from llavaseg_ros.types import Result, Segment, Thought  # noqa: E402

THINGS = (("mug", "red", 60, 200), ("mug", "blue", 420, 200), ("fork", "green", 200, 200), ("bowl", "white", 60, 340))


def scene() -> dict[str, Any]:
    objects = [
        {"id": n, "category": kind, "color": color, "bbox": [x, y, x + 60, y + 60], "area": 3600, "visible": 1.0}
        for n, (kind, color, x, y) in enumerate(THINGS, 1)
    ]
    return {"image": "a.png", "instances": "a_ids.png", "width": 640, "height": 480, "objects": objects}


def ids() -> np.ndarray:
    out = np.zeros((480, 640), np.uint8)
    for n, (_, _, x, y) in enumerate(THINGS, 1):
        out[y : y + 60, x : x + 60] = n
    return out


def result(targets: list[int]) -> Result:
    segments = tuple(Segment(ids() == n, 0.9, (0, 0, 60, 60), str(n)) for n in targets)
    seconds = {"reason": 0.1, "segment": 0.1}
    return Result("", Thought("thing", found=bool(targets)), "", bool(targets), segments, 0.9, seconds)


class Oracle:
    """Does what the person of the dialogue means, which it is told by the person, but for the turns `wrong`."""

    def __init__(self, people: list[bench_dialogue.Person], wrong: set[int]) -> None:
        self.turn, self.wrong, self.meant = 0, wrong, 0
        for person in people:
            self.listen(person)

    def listen(self, person: bench_dialogue.Person) -> None:
        says = person.says

        def told(it: Any) -> bench_dialogue.Turn:
            turn = says(it)
            self.meant = turn.target or 0
            return turn

        person.says = told  # type: ignore[method-assign]

    def segment(self, command: str, *, history: Any, last: Any) -> Result:
        self.turn += 1
        targets = [self.meant] if self.meant else []
        if self.turn in self.wrong:
            targets = [] if targets else [1]
        return result(targets)


def talk(wrong: set[int]) -> list[dict[str, Any]]:
    people = [bench_dialogue.Person(scene(), random.Random(seed)) for seed in (1, 2)]
    model: Any = Oracle(people, wrong)
    return list(bench_dialogue.talk(model, people, ids(), Sessions(), scripted=False))


def test_turns_and_points() -> None:
    rows = talk(set())
    assert [row["turn"] for row in rows] == [n for n in range(1, 11) for _ in range(2)]
    assert all(row["right"] for row in rows) and all(row["sort"] == "plain" for row in rows[:2])
    assert {"plain"} < {row["sort"] for row in rows} <= {"plain", *bench_dialogue.SAYINGS}
    figures = bench_dialogue.summary(talk({3, 20}))
    assert figures["first"] == {"turns": 2, "right": 1.0} and figures["tenth"]["right"] == 0.5
    assert figures["points_lost"]["tenth"] == 50 and figures["later"]["right"] == pytest.approx(16 / 18)
    assert figures["by_turn"][1] == 0.5 and figures["by_turn"][2] == 1.0


def test_references_have_one_meaning() -> None:
    world = World(scene(), load_lexicon())
    mug = next(t for t in world.shown if t.color == "red")
    said = defaultdict(list)
    for sort, thing, _ in bench_dialogue.references(world, mug):
        said[sort].append(None if thing is None else thing.id)
    assert said["other"] == [2] and said["color"] == [2] and said["again"] == [1]
    assert "no other" not in said and said["in front of"] == [4]
    assert "right of" not in said  # the fork is nearer, but "one" may be the mug behind it
    fork = next(t for t in world.shown if t.category == "fork")
    assert ("no other", None, {}) in list(bench_dialogue.references(world, fork))


class Lister:
    """Finds both mugs for a plural of mugs, a mug for one of forks, and everything else rightly."""

    def set_image(self, rgb: np.ndarray) -> None:
        assert rgb.shape == (480, 640, 3)

    def segment(self, command: str) -> Result:
        wanted = {"mug": [1, 2], "fork": [3, 1], "bowl": []}
        for kind, found in wanted.items():
            if kind in command:
                return result(found)
        return result([n for n, (_, color, _, _) in enumerate(THINGS, 1) if color in command])


def test_precision_and_recall(tmp_path: Path) -> None:
    import cv2

    write_rgb(tmp_path / "a.png", np.zeros((480, 640, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "a_ids.png"), ids())
    rows: dict[str, bench_several.Tally] = defaultdict(bench_several.Tally)
    model: Any = Lister()
    bench_several.measure(model, tmp_path, scene(), random.Random(0), rows)
    two, one = rows["2 of a kind"], rows["1 of a kind"]
    assert (two.commands, two.found, two.wrong, two.there, two.right) == (1, 2, 0, 2, 1)
    assert (one.commands, one.found, one.wrong, one.there, one.right) == (2, 1, 1, 2, 0)
    assert rows["none there"].right == 1 and rows["of a color"].right == 1
    assert one.row("1")[3:] == ("0.500", "0.500", "0.000")
