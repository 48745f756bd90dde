# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether the score of a mask means what it says: of masks with score 0.8, eight in ten should be right.

Measured over every command whose prediction has a mask, whatever the command asked for: a mask that was drawn for an
absent target or for a plain question is a wrong one. Commands without a mask are left out, for they have no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llavaseg_ros.evaluation.figures import Figure, share

BINS = 10
RIGHT_IOU = 0.5


@dataclass(frozen=True)
class Bin:
    """Masks with a score from `low` to `high` (the last bin holds 1.0 too). score: their mean score, None when there
    are none. right: the share with an IoU of at least RIGHT_IOU.
    """

    low: float
    high: float
    score: float | None
    right: Figure

    def as_json(self) -> dict[str, object]:
        """Plain numbers."""
        score = None if self.score is None else round(self.score, 5)
        return {"from": round(self.low, 5), "to": round(self.high, 5), "score": score, "right": self.right.as_json()}


def reliability(masks: Sequence[tuple[float, float]], bins: int = BINS) -> list[Bin]:
    """Equal-width bins of masks given as (score, IoU), each from 0 to 1."""
    inside: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for score, iou in masks:
        inside[min(bins - 1, int(score * bins))].append((score, iou))
    return [
        Bin(
            low=index / bins,
            high=(index + 1) / bins,
            score=sum(score for score, _ in held) / len(held) if held else None,
            right=share(iou >= RIGHT_IOU for _, iou in held),
        )
        for index, held in enumerate(inside)
    ]


def calibration_error(bins: Sequence[Bin]) -> Figure:
    """Expected calibration error: the mean of |mean score - share right| over the bins, weighted by their masks."""
    count = sum(b.right.count for b in bins)
    if not count:
        return Figure(None, 0)
    gaps = (
        b.right.count * abs(b.score - b.right.value) for b in bins if b.score is not None and b.right.value is not None
    )
    return Figure(sum(gaps) / count, count)
