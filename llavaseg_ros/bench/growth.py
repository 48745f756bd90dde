# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How the cost grows: with the size of the image, the objects in view, the commands a frame and the targets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from llavaseg_ros.bench.material import OBJECTS, commands, frames, resized, table_with
from llavaseg_ros.bench.rounds import FIRST, OURS, QUESTION, SECOND, Log, Subject, follow, try_to
from llavaseg_ros.types import Thought

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
COMMANDS = 8
COUNTS = (1, 2, 4, 8)  # of objects in view, and of targets

Told = Callable[[str], None]
Rows = list[dict[str, Any]]


def measure(log: Log, subjects: Sequence[Subject], repeats: int, told: Told) -> dict[str, Rows]:
    """All rows: medians over repeats, in seconds. Every call also goes into the log, whose replies show how the cost
    grows with their tokens."""
    told("growth with the size of the image")
    images = _rows(log, subjects, repeats, SIZES, _sized)
    told("growth with the objects in view")
    objects = _rows(log, subjects, repeats, COUNTS, _crowded)
    told("growth with the commands a frame and with the targets")
    sums: dict[str, list[list[float]]] = {subject.name: [] for subject in subjects}
    targets: list[list[float]] = []
    for number in range(repeats):
        for subject in _in_turn(subjects, number):
            spent, thoughts = _many(log, subject, number)
            sums[subject.name].append(spent)
            if subject.name == OURS and len(thoughts) >= max(COUNTS):
                targets.append([_targets(subject, number, thoughts[:count]) for count in COUNTS])
    return {
        "image": [{"width": w, "height": h, **row} for (w, h), row in zip(SIZES, images, strict=True)],
        "objects": [{"objects": count, **row} for count, row in zip(COUNTS, objects, strict=True)],
        "commands": [
            {"commands": i + 1, **{name: median([spent[i] for spent in lists]) for name, lists in sums.items()}}
            for i in range(COMMANDS)
        ],
        "targets": [
            {"targets": count, OURS: median([spent[i] for spent in targets])}
            for i, count in enumerate(COUNTS)
            if targets
        ],
    }


def _in_turn(subjects: Sequence[Subject], number: int) -> Sequence[Subject]:
    return subjects if number % 2 else subjects[::-1]


def _rows(
    log: Log,
    subjects: Sequence[Subject],
    repeats: int,
    values: Sequence[Any],
    run: Callable[[Log, Subject, int, Any], None],
) -> Rows:
    """For each value {subject: {case: median seconds}}; variants and values take turns."""
    logs = [Log() for _ in values]
    for number in range(repeats):
        for index, value in enumerate(values):
            logs[index].round = number
            for subject in _in_turn(subjects, number):
                run(logs[index], subject, number * len(values) + index, value)
    for part in logs:
        log.shots += part.shots
        log.failed += part.failed
    return [{subject.name: part.medians(subject.name) for subject in subjects} for part in logs]


def _sized(log: Log, subject: Subject, number: int, size: tuple[int, int]) -> None:
    texts, pictures = commands(other=True), [resized(rgb, size) for rgb in frames()[7 * number % 60 :][:3]]
    place = f"frame {7 * number % 60} at {size[0]} x {size[1]}"
    found = try_to(log, subject, FIRST, place, texts[2 * number % 32], rgb=pictures[0])
    try_to(log, subject, SECOND, place, texts[2 * number % 32 + 1])
    follow(log, subject, place, pictures[1:], found)


def _crowded(log: Log, subject: Subject, number: int, count: int) -> None:
    start = number % len(OBJECTS)
    kept = (OBJECTS[start:] + OBJECTS[:start])[:count]
    place = f"table {number} with {', '.join(kept)}"
    try_to(log, subject, FIRST, place, f"Bring the {kept[-1]} here.", rgb=table_with(kept, number))
    try_to(log, subject, QUESTION, place, "What do you see on the table?")


def _many(log: Log, subject: Subject, number: int) -> tuple[list[float], list[Thought]]:
    """Seconds since the frame came, after each of its commands; and what was thought to each that found something."""
    texts, place = commands(other=True)[32 + COMMANDS * number % 32 :], f"frame {13 * number % 60}, many commands"
    spent, thoughts = [], []
    started = time.perf_counter()
    for i in range(COMMANDS):
        rgb = frames()[13 * number % 60] if i == 0 else None
        result = try_to(log, subject, SECOND if i else FIRST, place, texts[i], rgb=rgb)
        spent.append(time.perf_counter() - started)
        if result is not None and result.thought.found:
            thoughts.append(result.thought)
    return spent, thoughts


def _targets(subject: Subject, number: int, thoughts: Sequence[Thought]) -> float:
    """Seconds for a new frame and the masks of targets that are known."""
    rgb = frames()[(13 * number + 1 + len(thoughts)) % 60]
    started = time.perf_counter()
    subject.model.set_image(rgb)
    for thought in thoughts:
        subject.model.segment_thought(thought)
    return time.perf_counter() - started
