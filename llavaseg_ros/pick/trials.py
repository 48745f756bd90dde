# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One pick, what came of it, and why it failed; trials in a file that a later run goes on with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from llavaseg_ros.files import write_whole

FILE = "trials.jsonl"


@dataclass(frozen=True)
class Arm:
    """What one mask led to. lifted: names of what was lifted. refused: why no grasp was tried, "" if one was."""

    lifted: tuple[str, ...] = ()
    refused: str = ""

    @classmethod
    def from_json(cls, row: dict[str, Any] | None) -> Arm | None:
        """The other way of `dataclasses.asdict`."""
        return None if row is None else cls(tuple(row["lifted"]), row["refused"])


@dataclass(frozen=True)
class Trial:
    """One command on one table, with our mask and with the true one, on the same camera frame.

    target: the right thing's name. said: what the model called it. found, score: what the node said. on: the thing that
    most of our mask lies on, "" without one. iou: of our mask with the true one. ours: None when only true masks
    were tried. agreed: the second look was of the same thing. agreed_at_last: the second or the third was; where
    neither was, `ours` tells what the grasp would have come to, for it costs nothing in a simulation.
    """

    number: int
    kind: str
    phrasing: str
    command: str
    target: str
    truth: Arm
    ours: Arm | None = None
    said: str = ""
    answer: str = ""
    found: bool = False
    error: str = ""
    score: float = 0.0
    on: str = ""
    iou: float = 0.0
    agreed: bool = True
    agreed_at_last: bool = True
    seconds: float = 0.0
    things: tuple[str, ...] = field(default=())

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Trial:
        """The other way of `dataclasses.asdict`."""
        arms = {name: Arm.from_json(row[name]) for name in ("ours", "truth")}
        return cls(**{**row, **arms, "things": tuple(row["things"])})

    @property
    def acted(self) -> Arm | None:
        """What a robot comes to with our mask that asks twice, and a third time where the two differ."""
        return self._after(self.agreed_at_last)

    @property
    def acted_on_two(self) -> Arm | None:
        """What it comes to without the third look."""
        return self._after(self.agreed)

    def _after(self, agreed: bool) -> Arm | None:
        if self.ours is None or self.ours.refused or agreed:
            return self.ours
        return Arm(refused="the other looks were of other things")

    def success(self, arm: Arm) -> bool:
        """The right thing was lifted, and nothing else."""
        return arm.lifted == (self.target,)

    def wrong(self, arm: Arm) -> bool:
        """Something else was lifted."""
        return any(name != self.target for name in arm.lifted)

    @property
    def cause(self) -> str:
        """Why our mask did not lead to the right thing, in a few words; "" when it did."""
        acted = self.acted
        if acted is None or self.success(acted):
            return ""
        if not self.found:
            return "refused: the model says it is not there" if not self.error else f"refused: {self.error}"
        aimed = "the right thing" if self.on == self.target else "another thing" if self.on else "the table"
        if acted.refused:
            return f"refused: {acted.refused}, on {aimed}"
        if self.wrong(acted):
            return "the wrong thing lifted"
        return f"nothing lifted: the mask was on {aimed}"


def masked_thing(mask: np.ndarray, instances: np.ndarray, names: Sequence[str]) -> str:
    """Name of the thing that most of a mask lies on, "" when that is the table.

    mask: bool [H, W]. instances: uint8 [H, W], 0 = none of them, else place in names + 1.
    """
    counts = np.bincount(instances[mask], minlength=len(names) + 1)
    best = int(np.argmax(counts))
    return names[best - 1] if best else ""


def read_trials(folder: Path) -> list[Trial]:
    """The trials in a folder; a last line that a kill cut short is left out."""
    path = folder / FILE
    trials: list[Trial] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            trials.append(Trial.from_json(json.loads(line)))
        except json.JSONDecodeError:
            break
    return trials


def write_trials(folder: Path, trials: Sequence[Trial]) -> None:
    """All of them, in place of what is there; a kill leaves the old file or the new one."""
    write_whole(folder / FILE, "".join(json.dumps(asdict(trial)) + "\n" for trial in trials))
