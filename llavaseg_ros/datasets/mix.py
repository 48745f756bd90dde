# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several readings as one endless stream: which referral comes k-th depends on the seed and on k alone."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from math import isfinite
from pathlib import Path

from llavaseg_ros.datasets.base import Reading, Referral


class Mix:
    """Readings with weights. A reading is drawn by weight, then one of its referrals, all equally likely.

    >>> Mix([a, b], [9, 3], seed=0).draw(0)  # doctest: +SKIP
    """

    def __init__(self, readings: Sequence[Reading], weights: Sequence[float], seed: int = 0) -> None:
        """Raises ValueError for another number of weights, for a weight below 0 and when all are 0."""
        if len(readings) != len(weights) or not readings:
            raise ValueError(
                f"{len(weights)} weights for {len(readings)} readings; expected one each, and one at least"
            )
        if any(not isfinite(w) or w < 0 for w in weights) or not sum(weights):
            raise ValueError(f"weights {list(weights)}: expected numbers from 0 on, not all of them 0")
        if any(w and not len(reading) for reading, w in zip(readings, weights, strict=True)):
            raise ValueError("a reading without referrals has a weight")
        self.readings = tuple(readings)
        self.sums = list(accumulate(weights))
        self.seed = seed

    def draw(self, k: int) -> Referral:
        """The k-th referral."""
        # A text as seed: Python hashes it in the same way in every version and process.
        rng = random.Random(f"{self.seed}/{k}")
        (reading,) = rng.choices(self.readings, cum_weights=self.sums)
        return reading[rng.randrange(len(reading))]


def coco_number(path: Path) -> int | None:
    """Number of a COCO picture, the same in its 2014 and 2017 names; None for another name.

    >>> coco_number(Path("COCO_train2014_000000581857.jpg")) == coco_number(Path("train2017/000000581857.jpg"))
    True
    """
    match = re.fullmatch(r"(?:COCO_(?:train|val)2014_)?(\d{12})", path.stem)
    return int(match[1]) if match else None


def without_pictures(reading: Reading, others: Iterable[Reading]) -> Reading:
    """The reading without COCO pictures that `others` show: sets that share COCO's pictures split them differently, so
    training on one would show pictures of another's test.
    """
    shown = {coco_number(referral.image_path) for other in others for referral in other} - {None}
    kept = tuple(referral for referral in reading if coco_number(referral.image_path) not in shown)
    return replace(reading, referrals=kept)
