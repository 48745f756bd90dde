# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A figure of merit with its count and its 95 % interval. Commands are taken as independent of each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

Z = 1.959964  # the 97.5th percentile of the normal distribution


@dataclass(frozen=True)
class Figure:
    """A figure over `count` commands; value is None when there is none to measure it on. low, high: its 95 % interval,
    None where the figure has none.
    """

    value: float | None
    count: int
    low: float | None = None
    high: float | None = None

    def text(self, digits: int = 3) -> str:
        """The value, or a dash."""
        return "-" if self.value is None else f"{self.value:.{digits}f}"

    def interval(self, digits: int = 3) -> str:
        """The interval as "0.68 to 0.79", or a dash."""
        return "-" if self.low is None or self.high is None else f"{self.low:.{digits}f} to {self.high:.{digits}f}"

    def as_json(self) -> dict[str, float | int | None]:
        """{"value", "count", "low", "high"}, rounded to five digits."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        rounded = {key: None if x is None else round(x, 5) for key, x in numbers.items()}
        return {"value": rounded["value"], "count": self.count, "low": rounded["low"], "high": rounded["high"]}


def share(values: Iterable[bool | None]) -> Figure:
    """The share of True, with Wilson's interval; None is left out.

    >>> share([True, False, None]).value
    0.5
    """
    known = [bool(v) for v in values if v is not None]
    if not known:
        return Figure(None, 0)
    return Figure(sum(known) / len(known), len(known), *wilson(sum(known), len(known)))


def mean(values: Iterable[float]) -> Figure:
    """The mean of numbers from 0 to 1, with the interval of the normal approximation; none for a single number."""
    numbers = list(values)
    count = len(numbers)
    if not count:
        return Figure(None, 0)
    value = sum(numbers) / count
    if count == 1:
        return Figure(value, 1)
    half = Z * sqrt(sum((x - value) ** 2 for x in numbers) / (count - 1) / count)
    return Figure(value, count, max(0.0, value - half), min(1.0, value + half))


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share; it stays within 0 to 1 and has a width at 0 and 1 too. count: above 0.

    >>> [round(x, 3) for x in wilson(9, 10)]
    [0.596, 0.982]
    """
    p, square = successes / count, Z * Z / count
    center = (p + square / 2) / (1 + square)
    half = Z * sqrt(p * (1 - p) / count + square / (4 * count)) / (1 + square)
    return max(0.0, center - half), min(1.0, center + half)


def difference(first: Figure, second: Figure) -> Figure:
    """first - second of two shares of different commands, in percentage points, with Newcombe's interval from
    Wilson's.
    """
    count = first.count + second.count
    if first.value is None or second.value is None:
        return Figure(None, 0)
    value = first.value - second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Figure(100 * value, count)
    down = sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    up = sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Figure(100 * value, count, 100 * (value - down), 100 * (value + up))
