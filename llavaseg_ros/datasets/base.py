# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every reader gives: referrals, and the problems that it met on the way. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from llavaseg_ros.evaluation.dataset import MAX_ERRORS_SHOWN, DatasetError

SKIP, REFUSE = "skip", "refuse"


class Region(Protocol):
    """Where a target is, not drawn yet. Both methods raise ValueError when the annotation cannot be drawn."""

    def mask(self) -> np.ndarray:
        """The target, bool [H, W]."""

    def ignored(self) -> np.ndarray | None:
        """Pixels that count neither as target nor as background, bool [H, W]; None = there are none."""


@dataclass(frozen=True)
class Referral:
    """One command about one picture, with the truth.

    dataset, split: names in the registry. id: the same at every reading, unique within the set's annotation file.
    command: as the data has it, or from a template. target: the target's name, for expressions the set's own class of
    it; "" = the set names none. kind: what sort of command within the set. absent: nothing in the picture is meant.
    """

    dataset: str
    split: str
    id: str
    image_path: Path
    command: str
    region: Region = field(repr=False)
    target: str = ""
    kind: str = ""
    absent: bool = False

    def mask(self) -> np.ndarray:
        """The target, drawn now: bool [H, W] of the picture's size, all False when absent. Raises DatasetError."""
        try:
            return self.region.mask()
        except ValueError as error:
            raise DatasetError(f"{self.dataset} {self.split} {self.id}: {error}") from error

    def ignored(self) -> np.ndarray | None:
        """Pixels that the set leaves out of its evaluation, bool [H, W]; None = there are none. Raises DatasetError."""
        try:
            return self.region.ignored()
        except ValueError as error:
            raise DatasetError(f"{self.dataset} {self.split} {self.id}: {error}") from error


class Problems:
    """What is wrong with the files of a set: all are counted, the first ten are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[str] = []

    def add(self, text: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.shown) < MAX_ERRORS_SHOWN:
            self.shown.append(text)

    def text(self) -> str:
        """The first ten, one a line, and how many more there are."""
        more = self.count - len(self.shown)
        return "\n".join(self.shown + ([f"... and {more} more problems"] if more else []))

    def refuse(self, where: str) -> None:
        """Raise DatasetError with the list if there is any problem. where: names the set."""
        if self.count:
            raise DatasetError(f"{where}: {self.count} problems; skip them with on_problem='skip'\n{self.text()}")


@dataclass(frozen=True)
class Reading:
    """A split of a set: its referrals in the order of its files, and the problems whose referrals were left out."""

    dataset: str
    split: str
    referrals: tuple[Referral, ...]
    problems: Problems = field(default_factory=Problems, compare=False)

    def __len__(self) -> int:
        return len(self.referrals)

    def __getitem__(self, index: int) -> Referral:
        return self.referrals[index]

    def __iter__(self) -> Iterator[Referral]:
        return iter(self.referrals)


def finish(dataset: str, split: str, referrals: Sequence[Referral], problems: Problems, on_problem: str) -> Reading:
    """The end of every reader. on_problem: "skip" leaves broken records out, "refuse" raises DatasetError with a list.

    Raises DatasetError also when no command is left, ValueError for another on_problem.
    """
    if on_problem not in (SKIP, REFUSE):
        raise ValueError(f"on_problem: expected {SKIP!r} or {REFUSE!r}, got {on_problem!r}")
    where = f"{dataset} {split}"
    if on_problem == REFUSE:
        problems.refuse(where)
    if not referrals:
        raise DatasetError("\n".join(filter(None, [f"{where}: no command that can be used", problems.text()])))
    return Reading(dataset, split, tuple(referrals), problems)
