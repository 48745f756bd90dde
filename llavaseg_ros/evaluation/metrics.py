"""Figures of merit. The conventions for targets that are not there are those of generalized referring segmentation
(gRefCOCO):

- IoU of one command: intersection / union of predicted and true pixels; 1 when both are empty, 0 when one is.
- gIoU: mean IoU over commands, absent targets included.
- cIoU: sum of intersections / sum of unions, over the same commands.
- mIoU: mean IoU over the commands whose target is there.
- N-acc: of the absent targets, the share with an empty prediction. T-acc: of the present ones, the share with a mask.

Plain questions (kind "question") ask for no mask, so they count in none of these; their own figure is the share that
drew no mask. In data that does not name its kinds, a line without a mask counts as an absent target.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

QUESTION = "question"
_ARTICLES = {"a", "an", "the"}


@dataclass(frozen=True)
class Score:
    """One command, scored. right_target and right_location are None where the data names no truth to compare with."""

    intersection: int
    union: int
    present: bool
    predicted_empty: bool
    kind: str = ""
    phrasing: str = ""
    right_target: bool | None = None
    right_location: bool | None = None
    seconds: float = 0.0

    @property
    def iou(self) -> float:
        """Intersection over union; 1 when prediction and truth are both empty."""
        return self.intersection / self.union if self.union else 1.0

    @property
    def is_question(self) -> bool:
        """The command asks for an answer and no mask."""
        return self.kind == QUESTION


@dataclass(frozen=True)
class Figure:
    """A figure over `count` commands; value is None when there is none to measure it on."""

    value: float | None
    count: int

    def text(self, digits: int = 3) -> str:
        """The value, or a dash."""
        return "-" if self.value is None else f"{self.value:.{digits}f}"


@dataclass(frozen=True)
class Summary:
    """All figures of a set of commands."""

    commands: int
    giou: Figure
    ciou: Figure
    miou: Figure
    absent_accuracy: Figure
    target_accuracy: Figure
    right_target: Figure
    location: Figure
    questions_without_mask: Figure
    median_seconds: Figure

    def as_json(self) -> dict[str, object]:
        """Plain numbers: {"commands": n, "giou": {"value": ..., "count": ...}, ...}."""
        out: dict[str, object] = {"commands": self.commands}
        for key, title in TITLES.items():
            figure: Figure = getattr(self, key)
            value = None if figure.value is None else round(figure.value, 5)
            out[key] = {"value": value, "count": figure.count, "title": title}
        return out


TITLES = {
    "giou": "gIoU",
    "ciou": "cIoU",
    "miou": "mIoU, target there",
    "right_target": "right target",
    "location": "location",
    "target_accuracy": "T-acc (drew a mask)",
    "absent_accuracy": "N-acc (absent)",
    "questions_without_mask": "questions without mask",
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
    predicted: np.ndarray | None,
    truth: np.ndarray | None,
    *,
    kind: str = "",
    phrasing: str = "",
    right_target: bool | None = None,
    right_location: bool | None = None,
    seconds: float = 0.0,
) -> Score:
    """Score one command from its masks ([H, W]; None or all zeros = no target). Raises ValueError when sizes differ."""
    intersection, union = overlap(predicted, truth)
    return Score(
        intersection=intersection,
        union=union,
        present=truth is not None and bool(np.any(truth)),
        predicted_empty=predicted is None or not np.any(predicted),
        kind=kind,
        phrasing=phrasing,
        right_target=right_target,
        right_location=right_location,
        seconds=seconds,
    )


def normalise_name(name: str | None) -> str:
    """A name for comparing: lower case, single spaces, articles and the punctuation around words dropped.

    >>> normalise_name(" The  Red mug. ")
    'red mug'
    """
    words = (word.strip(string.punctuation) for word in (name or "").lower().split())
    return " ".join(word for word in words if word and word not in _ARTICLES)


def same_name(predicted: str | None, truth: str | None) -> bool | None:
    """Whether two names agree after `normalise_name`; None when the truth names nothing."""
    expected = normalise_name(truth)
    return normalise_name(predicted) == expected if expected else None


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
    return Summary(
        commands=len(scores),
        giou=_mean(s.iou for s in masks),
        ciou=Figure(ratio if masks else None, len(masks)),
        miou=_mean(s.iou for s in present),
        absent_accuracy=_mean(s.predicted_empty for s in absent),
        target_accuracy=_mean(not s.predicted_empty for s in present),
        right_target=_mean(s.right_target for s in present if s.right_target is not None),
        location=_mean(s.right_location for s in present if s.right_location is not None),
        questions_without_mask=_mean(s.predicted_empty for s in questions),
        median_seconds=Figure(float(np.median(seconds)), len(seconds)) if seconds else Figure(None, 0),
    )


def by_group(scores: Sequence[Score], key: Callable[[Score], str]) -> dict[str, Summary]:
    """A summary for each value of `key` ("" left out), in alphabetical order. Empty when the data names none."""
    names = sorted({key(s) for s in scores})
    return {name: summarise([s for s in scores if key(s) == name]) for name in names if name}


def confusion(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """Pairs (truth, predicted) that differ after `normalise_name`, most frequent first: (truth, predicted, times)."""
    counts = Counter((normalise_name(t), normalise_name(p)) for t, p in pairs)
    wrong = [(t, p, n) for (t, p), n in counts.items() if t != p]
    return sorted(wrong, key=lambda row: (-row[2], row[0], row[1]))


def _mean(values: Iterable[float | bool | None]) -> Figure:
    numbers = [float(v) for v in values if v is not None]
    return Figure(sum(numbers) / len(numbers) if numbers else None, len(numbers))
