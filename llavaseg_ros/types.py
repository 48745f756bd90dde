# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results of the core, as plain dataclasses: what `LLaVASeg.segment` returns and what the ROS layer converts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from llavaseg_ros.errors import ErrorCode


@dataclass(frozen=True)
class Attributes:
    """Visual attributes of a target, in words. An empty string means that the model did not say."""

    color: str = ""
    shape: str = ""
    location: str = ""


@dataclass(frozen=True)
class Thought:
    """What the language model made of a command.

    target: name of the object meant ("red mug"); empty when the command asks for no object (a plain question).
    found: the target is in the image, as far as the language model can tell. Always False when target is empty.
    answer: one sentence for the person. reasoning: the free text of the first turn.
    raw: every reply as it came, in order.
    box: where the language model says that the target is, x0, y0, x1, y1 in pixels of the image; None if not asked.
    others: further targets of the same command, best first. unclear: nothing was said before that the command could
    refer to; `answer` asks back.
    """

    target: str = ""
    attributes: Attributes = field(default_factory=Attributes)
    answer: str = ""
    reasoning: str = ""
    found: bool = False
    raw: tuple[str, ...] = ()
    box: tuple[float, float, float, float] | None = None
    others: tuple[Thought, ...] = ()
    unclear: bool = False

    @property
    def is_question(self) -> bool:
        """True when nothing is to be segmented."""
        return not self.target


@dataclass(frozen=True)
class Segment:
    """One mask. mask: bool [H, W] at the image's full resolution. score: [0, 1]. roi: x, y, width, height in pixels.

    label, attributes: what this target is, where it differs from what the result's thought says, as it does when a
    command has several targets; "" and None: as the thought says (`Result.label_of`, `Result.attributes_of`).
    """

    mask: np.ndarray
    score: float
    roi: tuple[int, int, int, int]
    label: str = ""
    attributes: Attributes | None = None

    @property
    def area_px(self) -> int:
        """Number of target pixels."""
        return int(self.mask.sum())


@dataclass(frozen=True)
class Result:
    """The outcome of one command on one image.

    found: the target is there, by word of the language model and of the presence head; then `segments` has at least one
    entry, best first; no pixel is in two of them. Otherwise `segments` is empty.
    seconds: time by stage, in seconds ("encode", "reason", "segment"). "encode" is what `set_image` took; it is paid by
    the first command on an image, and 0 for later ones.
    error_code: why nothing was found: NOT_FOUND (the language model or the presence head says that it is not there),
    EMPTY_MASK (it is there, but no pixel was marked). NONE when found, and for a plain question.
    """

    command: str
    thought: Thought
    answer: str
    found: bool
    segments: tuple[Segment, ...]
    presence: float
    seconds: dict[str, float]
    error_code: ErrorCode = ErrorCode.NONE

    def label_of(self, segment: Segment) -> str:
        """Name of one of the targets."""
        return segment.label or self.thought.target

    def attributes_of(self, segment: Segment) -> Attributes:
        """Visual attributes of one of the targets."""
        return segment.attributes or self.thought.attributes


@dataclass(frozen=True)
class Referent:
    """What a conversation was last about, for commands that refer to it ("the other one", "the one left of it").

    label, attributes: of the target that was found. box: where it was, x0, y0, x1, y1 as shares of the image's width
    and height, so that it stands for any format of the image.
    """

    label: str
    attributes: Attributes
    box: tuple[float, float, float, float]

    @classmethod
    def of(cls, result: Result) -> Referent | None:
        """The best target of a result; None if it found none."""
        if not result.found or not result.segments:
            return None
        best = result.segments[0]
        height, width = best.mask.shape
        x, y, w, h = best.roi
        box = (x / width, y / height, (x + w) / width, (y + h) / height)
        return cls(result.label_of(best), result.attributes_of(best), box)


class Stage(str, Enum):
    """Where a command stands; the names are those of the action's feedback."""

    QUEUED = "QUEUED"
    ENCODING = "ENCODING"
    REASONING = "REASONING"
    SEGMENTING = "SEGMENTING"
    LIFTING = "LIFTING"
