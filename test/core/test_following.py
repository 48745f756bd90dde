# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Following a target: the rules on masks, and the embedded default on the demo's moving camera."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from llavaseg_ros.demo.bag_reader import DEMO_BAG, read_frames
from llavaseg_ros.errors import BadRequest, ErrorCode, NoImage
from llavaseg_ros.grounding import Grounder, result_of
from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.segmentation import following
from llavaseg_ros.segmentation.segmenter import PRESENCE_THRESHOLD
from llavaseg_ros.types import Attributes, Result, Segment, Thought

SHAPE = (120, 200)


def disc(x: float, y: float, radius: float = 12.0) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def test_overlap() -> None:
    assert following.overlap(disc(50, 50), disc(50, 50)) == 1.0
    assert following.overlap(disc(50, 50), disc(100, 50)) == 0.0
    assert following.overlap(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)) == 0.0
    assert 0.3 < following.overlap(disc(50, 50), disc(58, 50)) < 0.6


def test_middle_and_reach() -> None:
    assert following.middle(disc(70, 40)) == pytest.approx((70, 40), abs=0.01)
    assert following.within_reach(disc(50, 50), disc(70, 50), 0.0)
    assert not following.within_reach(disc(50, 50), disc(150, 50), 0.1)
    assert following.within_reach(disc(50, 50), disc(150, 50), 1.0)


def test_the_place_moves_along_but_other_words_stay() -> None:
    thought = Thought("red mug", Attributes("red", "round", "left"), found=True)
    assert following.moved_along(thought, disc(180, 110)).attributes == Attributes("red", "round", "front right")
    beside = replace(thought, attributes=Attributes("red", "round", "beside the bowl"))
    assert following.moved_along(beside, disc(180, 110)) == beside


def test_a_box_grows_but_stays_in_the_image() -> None:
    assert following.grown_box(disc(100, 60, 10)) == pytest.approx((87.9, 47.9, 113.1, 73.1), abs=0.2)
    x0, y0, x1, y1 = following.grown_box(disc(0, 0, 20))
    assert (x0, y0) == (0, 0)
    assert x1 > 20
    assert following.grown_box(np.ones(SHAPE, bool)) == (0, 0, SHAPE[1], SHAPE[0])


def test_a_mask_of_another_image_size() -> None:
    large = following.at_size(disc(50, 50), (240, 400))
    assert large.shape == (240, 400)
    assert large.dtype == np.bool_
    assert following.middle(large) == pytest.approx((100.5, 100.5), abs=1.5)


class Scripted:
    """A segmenter whose answers are given: what the words lead to, and what is in the target's old place."""

    def __init__(self, words: np.ndarray, presence: float, box: np.ndarray) -> None:
        self.words, self.presence, self.box = words, presence, box

    def segment(self, *_: object) -> tuple[Segment | None, float]:
        return Segment(self.words, 0.9, (0, 0, 1, 1)) if self.words.any() else None, self.presence

    def segment_prompt(self, *_: object, **__: object) -> Segment:
        return Segment(self.box, 0.8, (0, 0, 1, 1))


LAST = Result("the mug", Thought("mug", found=True), "", True, (Segment(disc(50, 50), 0.9, (38, 38, 25, 25)),), 0.9, {})
NOTHING = np.zeros(SHAPE, bool)


def follow(words: np.ndarray, presence: float, box: np.ndarray, gap_s: float = 0.1) -> Result:
    grounder = Grounder(Scripted(words, presence, box), "adapters")  # type: ignore[arg-type]
    return result_of("the mug", grounder.follow(None, LAST, SHAPE, gap_s), {})  # type: ignore[arg-type]


def test_near_is_the_same_target() -> None:
    found = follow(disc(56, 50), 0.9, NOTHING)
    assert found.found
    assert following.middle(found.segments[0].mask)[0] == pytest.approx(56)


def test_a_twin_elsewhere_is_not_taken_for_the_target_that_stayed() -> None:
    found = follow(disc(150, 50), 0.9, disc(51, 50))
    assert found.found
    assert following.middle(found.segments[0].mask)[0] == pytest.approx(51)


def test_a_twin_elsewhere_is_not_taken_for_the_target_that_left() -> None:
    lost = follow(disc(150, 50), 0.9, disc(50, 50, 40))
    assert not lost.found
    assert lost.error_code is ErrorCode.NOT_FOUND
    # After a second without it, it may have come back there; and what lies in its old place may be anything.
    again = follow(disc(150, 50), 0.9, disc(51, 50), gap_s=1.0)
    assert again.found
    assert following.middle(again.segments[0].mask)[0] == pytest.approx(150)


def test_presence_is_judged_more_mildly_in_the_very_place() -> None:
    doubtful = 0.5 * PRESENCE_THRESHOLD
    assert follow(disc(52, 50), doubtful, NOTHING).found
    assert not follow(disc(70, 50), doubtful, NOTHING).found
    assert not follow(disc(52, 50), 0.01, NOTHING).found


def test_no_pixel_is_an_empty_mask() -> None:
    assert follow(NOTHING, 0.9, NOTHING).error_code is ErrorCode.EMPTY_MASK


@pytest.fixture(scope="module")
def model() -> LLaVASeg:
    return LLaVASeg.from_pretrained("default")


def test_errors(model: LLaVASeg) -> None:
    model.reset_image()
    with pytest.raises(NoImage):
        model.follow(LAST)
    model.set_image(np.zeros((*SHAPE, 3), np.uint8))
    with pytest.raises(BadRequest, match="expected a result that was found"):
        model.follow(replace(LAST, found=False, segments=()))


@pytest.mark.parametrize(("command", "category"), [("Hand me the red mug.", "mug"), ("the purple book", "book")])
def test_the_default_keeps_its_target_while_the_camera_moves(model: LLaVASeg, command: str, category: str) -> None:
    frames = list(read_frames())
    truth = json.loads(DEMO_BAG.with_name(DEMO_BAG.name + "_truth.json").read_text(encoding="utf-8"))
    masks = {}
    for entry in truth["frames"]:
        ids = cv2.imread(str(DEMO_BAG.parent / entry["instances"]), cv2.IMREAD_UNCHANGED)
        number = next(o["id"] for o in truth["objects"] if o["category"] == category)
        masks[entry["frame"]] = ids == number
    model.set_image(frames[0].rgb)
    last = model.segment(command)
    assert last.found
    replies = model.mllm.reply
    model.mllm.reply = None  # type: ignore[assignment,method-assign]  # nobody asks the language model
    try:
        ious = []
        for i in range(5, len(frames), 5):
            model.set_image(frames[i].rgb)
            last = model.follow(last, gap_s=0.5)
            assert last.found
            assert last.command == command
            if i in masks:
                ious.append(following.overlap(last.segments[0].mask, masks[i]))
    finally:
        model.mllm.reply = replies  # type: ignore[method-assign]
    assert len(ious) >= 5
    assert min(ious) > 0.5
    model.set_image(np.full_like(frames[0].rgb, 120))
    assert not model.follow(last).found
