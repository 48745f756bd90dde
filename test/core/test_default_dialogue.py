# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several targets and dialogue with the released weights: on a frame of the demo bag, and on one with a second mug."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llavaseg_ros.demo.bag_reader import DEMO_BAG, read_frames
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.evaluation.metrics import overlap
from llavaseg_ros.images import read_ids
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.types import Referent, Result

MOVED = (140, 90)  # pixels, x and y, from the mug to its double


class Table:
    """The model with a frame; ids: uint8 [H, W], where each thing of `names` is; the mug's double has id 99."""

    def __init__(self) -> None:
        folder = DEMO_BAG.parent
        entry = json.loads((folder / "table_truth.json").read_text())["frames"][0]
        self.model = LLaVASeg.from_pretrained("default")
        self.rgb = np.array(next(iter(read_frames(DEMO_BAG))).rgb)
        self.ids = np.array(read_ids(folder / entry["instances"]))
        self.names = {o["id"]: o["category"] for o in entry["objects"]}
        mug = next(key for key, name in self.names.items() if name == "mug")
        rows, columns = np.nonzero(self.ids == mug)
        self.doubled, self.doubled_ids = self.rgb.copy(), self.ids.copy()
        self.doubled[rows + MOVED[1], columns + MOVED[0]] = self.rgb[rows, columns]
        self.doubled_ids[rows + MOVED[1], columns + MOVED[0]] = 99
        self.mug = mug

    def shown(self, result: Result, ids: np.ndarray) -> list[int]:
        """The ids of what the masks show; 0 for a mask that shows nothing by more than half."""
        found = []
        for segment in result.segments:
            share = {}
            for key in (*self.names, 99):
                inter, union = overlap(segment.mask, ids == key)
                share[key] = inter / union if union else 0.0
            best = max(share, key=lambda key: share[key])
            found.append(best if share[best] > 0.5 else 0)
        return found


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


def test_everything_on_the_table(table: Table) -> None:
    table.model.set_image(table.rgb)
    result = table.model.segment("mark everything")
    shown = table.shown(result, table.ids)
    assert len(set(shown) - {0}) >= 6 and shown.count(0) <= 1  # of eight things
    assert np.max(np.sum([segment.mask for segment in result.segments], axis=0)) == 1
    scores = [segment.score for segment in result.segments]
    assert scores == sorted(scores, reverse=True)
    assert len(table.model.segment("mark everything", max_targets=3).segments) == 3
    assert not table.model.segment("all the forks").found


def test_two_equal_mugs(table: Table) -> None:
    table.model.set_image(table.doubled)
    both = table.model.segment("all the mugs")
    assert sorted(table.shown(both, table.doubled_ids)) == sorted([table.mug, 99])
    assert len(table.model.segment("hand me the mug").segments) == 1


def test_a_dialogue_about_them(table: Table) -> None:
    table.model.set_image(table.doubled)
    last: Referent | None = None
    shown = []
    for command in ("all the mugs", "no, the other one", "the other one", "give it to me again", "the left one"):
        result = table.model.segment(command, last=last)
        last = Referent.of(result)
        shown.append(table.shown(result, table.doubled_ids)[0])
    first = shown[0]
    other = 99 if first == table.mug else table.mug
    assert first in (table.mug, 99) and shown == [first, other, first, first, table.mug]
    book = table.model.segment("and the book?", last=last)
    assert table.names[table.shown(book, table.doubled_ids)[0]] == "book"
    nothing = table.model.segment("the other one", last=Referent.of(book))
    assert not nothing.found and nothing.error_code == ErrorCode.NOT_FOUND


def test_a_plain_command_is_the_same_in_a_dialogue(table: Table) -> None:
    table.model.set_image(table.rgb)
    alone = table.model.segment("hand me the purple book")
    last = Referent.of(table.model.segment("hand me the red mug"))
    within = table.model.segment("hand me the purple book", last=last)
    assert within.thought == alone.thought and np.array_equal(within.segments[0].mask, alone.segments[0].mask)
