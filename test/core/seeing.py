# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A stand-in model for tests of several targets and of dialogue: it lists what a test says it sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from scripted import ScriptedMLLM

from llavaseg_ros.reasoning.objects import Box, SeenObject
from llavaseg_ros.segmentation.preprocess import roi_of
from llavaseg_ros.types import Attributes, Segment

SHAPE = (48, 64)


class SeeingMLLM(ScriptedMLLM):
    """A scripted model that sees objects."""

    def __init__(self, *replies: str | Exception, seen: tuple[SeenObject, ...] = ()) -> None:
        super().__init__(*replies)
        self.seen = seen

    def seen_objects(self) -> tuple[SeenObject, ...]:
        return self.seen


class BoxSegmenter:
    """Segments the box of the named object; `masks` has other masks, and `scores` the scores, by name and place."""

    def __init__(self, seen: tuple[SeenObject, ...], scores: dict[str, float] | None = None) -> None:
        self.seen = seen
        self.scores = scores or {}
        self.absent: set[str] = set()
        self.asked: list[tuple[str, Attributes, bool]] = []

    def encode(self, rgb: np.ndarray) -> Any:
        return len(rgb)

    def segment(
        self, encoded: Any, target: str, attributes: Attributes, box: np.ndarray | None = None
    ) -> tuple[Segment | None, float]:
        self.asked.append((target, attributes, box is not None))
        if box is None:  # words alone: the first that they fit
            fits = [o.box for o in self.seen if (o.name, o.location(SHAPE[::-1])) == (target, attributes.location)]
            if not fits:
                return None, 0.01
            box = np.array(fits[0])
        mask = mask_of(tuple(float(v) for v in box))
        score = self.scores.get(f"{target} {attributes.location}", 0.5)
        return Segment(mask, score, roi_of(mask)), 0.02 if target in self.absent else 0.9

    def describe(self) -> dict[str, Any]:
        return {"sam": "boxes"}


def mask_of(box: Box | tuple[float, ...]) -> np.ndarray:
    """bool [48, 64]: True in the box."""
    mask = np.zeros(SHAPE, bool)
    x0, y0, x1, y1 = (round(v) for v in box)
    mask[y0:y1, x0:x1] = True
    return mask
