# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Figures of merit. The conventions for targets that are not there are those of generalized referring segmentation
(gRefCOCO):

- IoU of one command: intersection / union of predicted and true pixels; 1 when both are empty, 0 when one is.
- gIoU: mean IoU over commands, absent targets included.
- cIoU: sum of intersections / sum of unions, over the same commands.
- Pixels that a set marks to be ignored count in no intersection and in no union, as in ReasonSeg; whether a mask was
  drawn at all does not depend on them.
- mIoU: mean IoU over the commands whose target is there.
- N-acc: of the absent targets, the share with an empty prediction. T-acc: of the present ones, the share with a mask.

Plain questions (kind "question") ask for no mask, so they count in none of these; their own figures are the share that
was answered right and the share that drew no mask. In data that does not name its kinds, a line without a mask counts
as an absent target. A command that failed counts against the model everywhere: its IoU is 0, a target that is there was
refused, an absent one was not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from llavaseg_ros.evaluation.calibration import calibration_error, reliability
from llavaseg_ros.evaluation.figures import Figure, difference, mean, share
from llavaseg_ros.evaluation.names import Pair, same_name

QUESTION = "question"
KNOWN, HELD_OUT = "known", "held_out"
TRAINED = "trained"


@dataclass(frozen=True)
class Score:
    """One command, scored. All that the figures need, as plain values, so that it can be written and read back.

    intersection, union: pixels. present: the target is there. failed: there is no result. held_out_pair: training never
    showed the target's color on such a thing; held_out_category: nor anything of a kind that the command is about; None
    = not given.
    asks: sort of a plain question ("count", ...), "" = not given. target, color, location: the true and the said word.
    right_answer: of a question whose right answer the data gives, else None. confidence: the mask's score.
    """

    intersection: int
    union: int
    present: bool
    predicted_empty: bool
    failed: bool = False
    kind: str = ""
    phrasing: str = ""
    held_out_pair: bool | None = None
    held_out_category: bool | None = None
    asks: str = ""
    target: Pair = ("", "")
    color: Pair = ("", "")
    location: Pair = ("", "")
    right_answer: bool | None = None
    confidence: float = 0.0
    seconds: float = 0.0

    @property
    def iou(self) -> float:
        """Intersection over union; 1 when prediction and truth are both empty, 0 for a command that failed."""
        if self.failed:
            return 0.0
        return self.intersection / self.union if self.union else 1.0

    @property
    def is_question(self) -> bool:
        """The command asks for an answer and no mask."""
        return self.kind == QUESTION

    @property
    def right_target(self) -> bool | None:
        """Whether the target was called by its true name and got a mask; None where the data gives no name.

        "I do not see a red mug" names the red mug, and points at nothing.
        """
        right = same_name(self.target[1], self.target[0])
        return right and not self.predicted_empty if self.present else right

    @property
    def right_location(self) -> bool | None:
        """Whether the target was said to be where it is; None where the data does not say."""
        return same_name(self.location[1], self.location[0])

    @property
    def novelty(self) -> str:
        """What training never showed of what the command is about; "" where the data does not say."""
        if self.held_out_pair is None and self.held_out_category is None:
            return ""
        if self.held_out_category:
            return "held-out category"
        return "held-out color of category" if self.held_out_pair else TRAINED

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Score:
        """What `as_json` wrote. Raises ValueError for other keys."""
        if set(row) != {f.name for f in fields(cls)}:
            raise ValueError(f"expected the fields of a score, got {sorted(row)}")
        pairs = {key: (str(row[key][0]), str(row[key][1])) for key in ("target", "color", "location")}
        return cls(**{**row, **pairs})


@dataclass(frozen=True)
class Summary:
    """All figures of a set of commands."""

    commands: int
    right_target: Figure
    location: Figure
    giou: Figure
    ciou: Figure
    miou: Figure
    absent_accuracy: Figure
    present_refused: Figure
    target_accuracy: Figure
    phrasing_drop: Figure
    right_answer: Figure
    questions_without_mask: Figure
    calibration_error: Figure
    failed: Figure
    median_seconds: Figure

    def as_json(self) -> dict[str, object]:
        """Plain numbers: {"commands": n, "giou": {"value", "count", "low", "high", "title"}, ...}."""
        out: dict[str, object] = {"commands": self.commands}
        for key, title in TITLES.items():
            figure: Figure = getattr(self, key)
            out[key] = {**figure.as_json(), "title": title}
        return out


TITLES = {
    "right_target": "right target",
    "location": "location",
    "giou": "gIoU",
    "ciou": "cIoU",
    "miou": "mIoU, target there",
    "absent_accuracy": "N-acc (absent, refused)",
    "present_refused": "there, but refused",
    "target_accuracy": "T-acc (there, drew a mask)",
    "phrasing_drop": "right target, known less held-out phrasings, points",
    "right_answer": "questions answered right",
    "questions_without_mask": "questions without mask",
    "calibration_error": "calibration error of the score",
    "failed": "commands that failed",
    "median_seconds": "median seconds",
}


def overlap(predicted: np.ndarray | None, truth: np.ndarray | None) -> tuple[int, int]:
    """Intersection and union in pixels of two masks (bool or uint8 [H, W]; None = empty).

    Raises ValueError when the sizes differ.

    >>> overlap(np.array([[1, 1, 0]]), np.array([[0, 1, 1]]))
    (1, 3)
    >>> overlap(None, np.array([[0, 1, 1]]))
    (0, 2)
    """
    if predicted is None or truth is None:
        both = truth if predicted is None else predicted
        return 0, 0 if both is None else int(np.count_nonzero(both))
    if predicted.shape != truth.shape:
        raise ValueError(f"mask sizes differ: predicted {list(predicted.shape)}, truth {list(truth.shape)}")
    a, b = predicted != 0, truth != 0
    return int(np.count_nonzero(a & b)), int(np.count_nonzero(a | b))


def score_masks(
    predicted: np.ndarray | None, truth: np.ndarray | None, ignored: np.ndarray | None = None, **rest: Any
) -> Score:
    """Score one command from its masks ([H, W]; None or all zeros = no target). ignored: pixels that do not count
    ([H, W]). rest: the other fields of `Score`.

    Raises ValueError when sizes differ.
    """
    intersection, union = overlap(_without(predicted, ignored), _without(truth, ignored))
    return Score(
        intersection=intersection,
        union=union,
        present=truth is not None and bool(np.any(truth)),
        predicted_empty=predicted is None or not np.any(predicted),
        **rest,
    )


def _without(mask: np.ndarray | None, ignored: np.ndarray | None) -> np.ndarray | None:
    if mask is None or ignored is None:
        return mask
    if mask.shape != ignored.shape:
        raise ValueError(f"mask sizes differ: {list(mask.shape)}, of the pixels to ignore {list(ignored.shape)}")
    return (mask != 0) & (ignored == 0)


def with_mask(scores: Sequence[Score]) -> list[tuple[float, float]]:
    """(score, IoU) of every command that drew a mask: what the calibration is measured over."""
    return [(s.confidence, s.iou) for s in scores if not s.predicted_empty]


def summarise(scores: Sequence[Score]) -> Summary:
    """All figures over these commands."""
    masks = [s for s in scores if not s.is_question]
    present = [s for s in masks if s.present]
    absent = [s for s in masks if not s.present]
    questions = [s for s in scores if s.is_question]
    union = sum(s.union for s in masks)
    # No union at all means that every target was absent and none was drawn: all right.
    ratio = sum(s.intersection for s in masks) / union if union else 1.0
    seconds = [s.seconds for s in scores]
    known, held_out = (share(s.right_target for s in present if s.phrasing == p) for p in (KNOWN, HELD_OUT))
    return Summary(
        commands=len(scores),
        right_target=share(s.right_target for s in present),
        location=share(s.right_location for s in present),
        giou=mean(s.iou for s in masks),
        ciou=Figure(ratio if masks else None, len(masks)),
        miou=mean(s.iou for s in present),
        absent_accuracy=share(s.predicted_empty and not s.failed for s in absent),
        present_refused=share(s.predicted_empty for s in present),
        target_accuracy=share(not s.predicted_empty for s in present),
        phrasing_drop=difference(known, held_out),
        right_answer=share(s.right_answer for s in scores),
        questions_without_mask=share(s.predicted_empty and not s.failed for s in questions),
        calibration_error=calibration_error(reliability(with_mask(scores))),
        failed=share(s.failed for s in scores),
        median_seconds=Figure(float(np.median(seconds)), len(seconds)) if seconds else Figure(None, 0),
    )


def by_group(scores: Sequence[Score], key: Callable[[Score], str]) -> dict[str, Summary]:
    """A summary for each value of `key` ("" left out), in alphabetical order. Empty when the data names none."""
    names = sorted({key(s) for s in scores})
    return {name: summarise([s for s in scores if key(s) == name]) for name in names if name}
