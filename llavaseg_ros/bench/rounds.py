# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The timed calls. The variants take turns in every round, so that whatever else the machine does hits them alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from llavaseg_ros.bench.material import QUESTIONS, commands, frames
from llavaseg_ros.bench.stopwatch import Reply, Stopwatch
from llavaseg_ros.errors import BadReply
from llavaseg_ros.evaluation.metrics import overlap
from llavaseg_ros.types import Result

PLAIN, OURS = "plain", "ours"
FIRST, SECOND, QUESTION, FAST_FIRST, FAST_SECOND, FOLLOW = (
    *("first", "second", "question", "fast_first", "fast_second", "follow"),
)
FOLLOWED = 6  # frames a round


@dataclass
class Subject:
    """A pipeline under test: `LLaVASeg` or `plain.Plain`."""

    name: str
    model: Any
    watch: Stopwatch


@dataclass(frozen=True)
class Shot:
    """One timed call. seconds: all of it, from the image (where the call began with one) to mask or reply. place: which
    picture it was about. stages: parts of it in seconds; they may overlap. mask: bool [H, W], None without one.
    round: the round that it belongs to."""

    subject: str
    case: str
    place: str
    asked: str
    seconds: float
    stages: dict[str, float]
    replies: tuple[Reply, ...]
    mask: np.ndarray | None = None
    round: int = 0


@dataclass
class Log:
    """All that was measured. failed: commands that got no readable reply, and why. round: the one in progress."""

    shots: list[Shot] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    round: int = 0

    def by_round(self, subject: str, case: str) -> dict[int, float]:
        """Round -> median seconds of one case in it, of the rounds that have it."""
        times: dict[int, list[float]] = {}
        for shot in self.shots:
            if (shot.subject, shot.case) == (subject, case):
                times.setdefault(shot.round, []).append(shot.seconds)
        return {number: median(seconds) for number, seconds in times.items()}

    def medians(self, subject: str) -> dict[str, float]:
        """Case -> median seconds, of the cases that there are."""
        cases = dict.fromkeys(shot.case for shot in self.shots if shot.subject == subject)
        return {case: median(self.by_round(subject, case).values()) for case in cases}


def shoot(
    subject: Subject, case: str, place: str, asked: str, *, rgb: np.ndarray | None = None, last: Result | None = None
) -> tuple[Shot, Result | None]:
    """Time one call, which begins with a new image where `rgb` is given. Raises BadReply."""
    model = subject.model
    subject.watch.take()
    started = time.perf_counter()
    if rgb is not None:
        model.set_image(rgb, quick=last is not None)
    result = None
    if case == QUESTION:
        model.chat(asked)
    else:
        result = model.segment(asked) if last is None else model.follow(last)
    seconds = time.perf_counter() - started
    replies = tuple(subject.watch.take())
    stages = {
        "read image and prompt": sum(reply.first_s for reply in replies),
        "decode": sum(reply.rest_s for reply in replies),
        "SAM encoder": result.seconds["encode"] if result else 0.0,
        "mask": result.seconds["segment"] if result else 0.0,
    }
    mask = result.segments[0].mask if result and result.segments else None
    return Shot(subject.name, case, place, asked, seconds, stages, replies, mask), result


def try_to(log: Log, subject: Subject, case: str, place: str, asked: str, **how: Any) -> Result | None:
    """As `shoot`, into the log; a reply that cannot be read is noted there."""
    try:
        shot, result = shoot(subject, case, place, asked, **how)
    except BadReply as error:
        log.failed.append(f"{subject.name}, {case}, {asked!r}: {error}")
        return None
    log.shots.append(replace(shot, round=log.round))
    return result


def run_round(log: Log, subjects: Sequence[Subject], number: int) -> None:
    """A command, another one and a question on a frame; following; two commands in `fast` mode on a frame. Every round
    asks something new, because decoding may learn from what was said before."""
    pictures, texts = frames(), commands()
    log.round = number
    first = number * 11 % (len(pictures) - FOLLOWED)
    rgb, place = pictures[first], f"frame {first}"
    asked = [texts[(4 * number + i) % len(texts)] for i in range(4)]
    for subject in subjects if number % 2 else reversed(subjects):
        subject.model.mode = "cot"
        found = try_to(log, subject, FIRST, place, asked[0], rgb=rgb)
        try_to(log, subject, SECOND, place, asked[1])
        try_to(log, subject, QUESTION, place, QUESTIONS[number % len(QUESTIONS)])
        follow(log, subject, place, pictures[first + 1 : first + 1 + FOLLOWED], found)
        subject.model.mode = "fast"
        # Another frame, or what is kept of the same pixels would be taken for speed.
        try_to(log, subject, FAST_FIRST, f"{place} + 1", asked[2], rgb=pictures[first + 1])
        try_to(log, subject, FAST_SECOND, f"{place} + 1", asked[3])
        subject.model.mode = "cot"


def follow(log: Log, subject: Subject, place: str, pictures: Sequence[np.ndarray], found: Result | None) -> None:
    """Follow a target through the next frames, each from its image to its mask. The plain way has none of that."""
    if subject.name == PLAIN or found is None or not found.found:
        return
    for number, rgb in enumerate(pictures, 1):
        result = try_to(log, subject, FOLLOW, f"{place} + {number}", found.command, rgb=rgb, last=found)
        if result is not None and result.found:
            found = result


@dataclass(frozen=True)
class Sameness:
    """How far two variants gave the same. replies: pairs of commands or questions; equal: of them with all turns equal.
    masks: pairs of masks; lowest_iou: 1 where there are none. different: the pairs that differ, in words."""

    replies: int
    equal: int
    masks: int
    lowest_iou: float
    different: tuple[str, ...]


def compare(log: Log) -> Sameness:
    """What `plain` and `ours` said and drew for the same command on the same frame."""
    sides: dict[str, dict[tuple[str, str, str], Shot]] = {PLAIN: {}, OURS: {}}
    for shot in log.shots:
        sides[shot.subject][shot.case, shot.place, shot.asked] = shot
    pairs = [(sides[PLAIN][key], sides[OURS][key]) for key in sides[PLAIN] if key in sides[OURS]]
    equal, ious, different = 0, [], []
    for plain, ours in pairs:
        said = [[reply.text for reply in shot.replies] for shot in (plain, ours)]
        equal += said[0] == said[1]
        if said[0] != said[1]:
            different.append(f"{plain.asked} plain {said[0]}, ours {said[1]}")
        if plain.mask is not None or ours.mask is not None:
            shared, union = overlap(ours.mask, plain.mask)
            ious.append(shared / union)
    return Sameness(len(pairs), equal, len(ious), min(ious, default=1.0), tuple(different))
