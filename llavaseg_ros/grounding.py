# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From what is said of a target to its mask: on the frame that was spoken about, and on those that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.reasoning.objects import Box, box_overlap
from llavaseg_ros.reasoning.several import enumeration
from llavaseg_ros.segmentation.following import (
    MOMENT_S,
    SAME_PLACE,
    SAME_TARGET,
    at_size,
    grown_box,
    moved_along,
    overlap,
    within_reach,
)
from llavaseg_ros.segmentation.preprocess import roi_of
from llavaseg_ros.segmentation.segmenter import PRESENCE_THRESHOLD, Encoded, Segmenter
from llavaseg_ros.types import Result, Segment, Thought

FOLLOWED_PRESENCE = 0.05  # enough for a target that was in this very place a moment ago
LISTED_PRESENCE = 0.05  # enough for an object that the language model's eye lists by itself
IN_BOX = 0.4  # overlap of a mask's box with the box of an object from which the mask is that object's
ROUND_BOX = 0.3  # of the box's sides: how far an object may stick out of the box that it is listed with
OWN_SHARE = 0.5  # share of a target's pixels that no better target has; with less it is the same thing again


@dataclass(frozen=True)
class Grounding:
    """segment: the mask, None if there is none. presence: probability in [0, 1] that the target is in the image;
    least_presence: from which it is taken to be there."""

    thought: Thought
    segment: Segment | None
    presence: float
    least_presence: float = PRESENCE_THRESHOLD


class Grounder:
    """Prompts a segmenter with what a profile wants it to be prompted with.

    prompt_source: "adapters" (attributes in words), a "box" from the MLLM, or "both".
    """

    def __init__(self, segmenter: Segmenter, prompt_source: str) -> None:
        self.segmenter = segmenter
        self.prompt_source = prompt_source

    def ground(self, encoded: Encoded, thought: Thought) -> Grounding:
        """A thought whose target is found, on its frame."""
        box = None if thought.box is None else np.array(thought.box, dtype=np.float32)
        if self.prompt_source == "adapters" and thought.box is not None:
            return self._ground_object(encoded, thought, thought.box)
        if self.prompt_source != "box":
            return Grounding(thought, *self.segmenter.segment(encoded, thought.target, thought.attributes, box))
        if box is None:
            return Grounding(thought, None, 1.0)
        # Without adapters nobody but the language model says whether the target is there, and it did.
        return Grounding(thought, self.segmenter.segment_prompt(encoded, box=box), 1.0)

    def _ground_object(self, encoded: Encoded, thought: Thought, box: Box) -> Grounding:
        """An object that the model's eye listed, with its box. The words alone make the better mask, unless something
        else fits them as well: then its box tells which it is."""

        def ground(prompt: np.ndarray | None) -> tuple[float, Grounding]:
            segment, presence = self.segmenter.segment(encoded, thought.target, thought.attributes, prompt)
            found = Grounding(thought, segment, presence, LISTED_PRESENCE)
            return (0.0 if found.segment is None else _in_box(found.segment, box)), found

        fits, found = ground(None)
        if fits < IN_BOX:
            fits_better, steered = ground(np.array(box, dtype=np.float32))
            found = steered if fits_better > fits else found
        segment = found.segment
        return found if segment is None else replace(found, segment=_near(segment, box))

    def follow(self, encoded: Encoded, last: Result, shape: tuple[int, int], gap_s: float) -> Grounding:
        """The target of a found result on a later frame, whose shape is (height, width). gap_s: seconds between."""
        before = at_size(last.segments[0].mask, shape)
        thought = replace(moved_along(last.thought, before), others=())
        if thought.box is not None:
            thought = replace(thought, box=grown_box(before))
        now = self.ground(encoded, thought)
        if now.segment is None:
            return now
        if within_reach(before, now.segment.mask, gap_s):
            same = overlap(now.segment.mask, before) >= SAME_TARGET
            return replace(now, least_presence=FOLLOWED_PRESENCE if same else PRESENCE_THRESHOLD)
        # The words fit something that is too far away to be the target, which may still be where it was.
        if gap_s <= MOMENT_S:
            there = self.segmenter.segment_prompt(encoded, box=np.array(grown_box(before), np.float32))
            if overlap(there.mask, before) >= SAME_PLACE:
                return replace(now, segment=replace(there, score=min(there.score, now.segment.score)))
        return replace(now, segment=None, presence=0.0)


def _in_box(segment: Segment, box: Box) -> float:
    x, y, width, height = segment.roi
    return box_overlap((x, y, x + width, y + height), box)


def _near(segment: Segment, box: Box) -> Segment:
    """The mask without what is far from the box: words that fit two things mark some of both."""
    x0, y0, x1, y1 = box
    dx, dy = ROUND_BOX * (x1 - x0), ROUND_BOX * (y1 - y0)
    rows, columns = slice(max(0, int(y0 - dy)), int(y1 + dy) + 1), slice(max(0, int(x0 - dx)), int(x1 + dx) + 1)
    mask = np.zeros_like(segment.mask)
    mask[rows, columns] = segment.mask[rows, columns]
    return replace(segment, mask=mask, roi=roi_of(mask))


def without_target(command: str, thought: Thought, seconds: dict[str, float]) -> Result:
    """What is told of a thought that found nothing to segment: a plain question, or a target that is not in view."""
    code = ErrorCode.NONE if thought.is_question else ErrorCode.NOT_FOUND
    return Result(command, thought, thought.answer, False, (), 0.0, seconds, code)


def result_of(command: str, grounding: Grounding, seconds: dict[str, float]) -> Result:
    """What is told of a grounding: the mask, or in words why there is none."""
    thought, segment, presence = grounding.thought, grounding.segment, grounding.presence
    if presence < grounding.least_presence:
        answer = f"I looked for the {thought.target}, but I am not sure that it is in view."
        return Result(command, thought, answer, False, (), presence, seconds, ErrorCode.NOT_FOUND)
    if segment is None or segment.area_px == 0:
        answer = f"I think that the {thought.target} is in view, but I cannot make out its outline."
        return Result(command, thought, answer, False, (), presence, seconds, ErrorCode.EMPTY_MASK)
    return Result(command, thought, thought.answer, True, (segment,), presence, seconds)


def results_of(
    command: str, groundings: Sequence[Grounding], seconds: dict[str, float], max_targets: int
) -> Result:
    """What is told of the groundings of a command's targets: those that there are, best first, no pixel in two of them.

    None there: what `result_of` says of the first.
    """
    there = [g for g in groundings if g.presence >= g.least_presence and g.segment is not None and g.segment.area_px]
    there.sort(key=lambda g: -(g.segment.score if g.segment is not None else 0.0))
    kept: list[tuple[Grounding, Segment]] = []
    taken: np.ndarray | None = None
    for grounding in there:
        if len(kept) == max_targets:
            break
        own = _own_part(grounding, taken)
        if own is not None:
            taken = own.mask if taken is None else taken | own.mask
            kept.append((grounding, own))
    if not kept:
        return result_of(command, groundings[0], seconds)
    best = kept[0][0]
    answer = _answer(kept)
    thought = replace(best.thought, answer=answer, others=tuple(g.thought for g, _ in kept[1:]))
    return Result(command, thought, answer, True, tuple(s for _, s in kept), best.presence, seconds)


def _own_part(grounding: Grounding, taken: np.ndarray | None) -> Segment | None:
    """The target without the pixels that better ones have, with its words; None if it has too few of its own."""
    segment, thought = grounding.segment, grounding.thought
    assert segment is not None
    named = replace(segment, label=thought.target, attributes=thought.attributes)
    if taken is None:
        return named
    own = segment.mask & ~taken
    area = int(np.count_nonzero(own))
    if area < OWN_SHARE * segment.area_px:
        return None
    return named if area == segment.area_px else replace(named, mask=own, roi=roi_of(own))


def _answer(kept: Sequence[tuple[Grounding, Segment]]) -> str:
    places = [(g.thought.target, g.thought.attributes.location) for g, _ in kept]
    words = [f"the {name} ({place})" if place else f"the {name}" for name, place in places]
    return f"I see one: {words[0]}." if len(words) == 1 else f"Here are {len(words)}: {enumeration(words)}."
