# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Objects that a language model's eye lists by itself, where it does: the small default's vision tower makes one token
an object. They serve commands that speak of several things, or of one that was spoken about before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llavaseg_ros.places import location_name

Box = tuple[float, float, float, float]
_TWIN = 0.6  # overlap of two boxes of one kind from which they are one object


@dataclass(frozen=True)
class SeenObject:
    """kind: "mug". color: "red". box: x0, y0, x1, y1 in pixels of the image. score: [0, 1], how surely it is one."""

    kind: str
    color: str
    box: Box
    score: float

    @property
    def name(self) -> str:
        """ "red mug"."""
        return f"{self.color} {self.kind}"

    @property
    def middle(self) -> tuple[float, float]:
        """x and y of the box's centre in pixels."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    def location(self, size: tuple[int, int]) -> str:
        """Which of the nine places it is at. size: width and height of the image in pixels."""
        return location_name(*self.middle, *size)


@runtime_checkable
class SeesObjects(Protocol):
    """A language model that can list what it sees."""

    def seen_objects(self) -> tuple[SeenObject, ...]:
        """What is in the current image, left to right; empty where this model does not list objects."""
        ...


def lists_objects(mllm: object) -> bool:
    """Whether a language model's eye lists objects, with boxes in pixels of the image that it was given."""
    return hasattr(getattr(mllm, "vision_tower", None), "read")


def box_overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes; 0 if they do not touch.

    >>> box_overlap((0, 0, 2, 2), (0, 0, 2, 1))
    0.5
    """
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


def without_twins(seen: Iterable[SeenObject]) -> tuple[SeenObject, ...]:
    """The objects without those that a surer one of the same kind covers. The order stays."""
    seen = list(seen)
    kept: list[SeenObject] = []
    for one in sorted(seen, key=lambda o: -o.score):
        if all(o.kind != one.kind or box_overlap(o.box, one.box) < _TWIN for o in kept):
            kept.append(one)
    return tuple(o for o in seen if any(o is k for k in kept))
