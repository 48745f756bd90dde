# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Boxes that a language model writes: how it is asked for one, how its reply is read, where that is in the image.

With a box SAM needs no trained adapters, so that a full-size model is useful before anybody has trained any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from llavaseg_ros.errors import BadReply, BundleError
from llavaseg_ros.reasoning.base import MLLM, Message, OnToken, ShouldCancel
from llavaseg_ros.types import Thought

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the image, x0 < x1 and y0 < y1."""

_FILE = Path(__file__).parent / "prompts" / "boxes.yaml"
_UNITS = ("padded_square", "seen_pixels", "per_mille")
_NUMBER = r"(-?\d{1,6}(?:\.\d{1,12})?)"
# Four numbers in brackets; a reply may hold more than one box, best first.
_BOX = re.compile(rf"[\[(]\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*[\])]")
_RETRY = "That could not be read. Reply with only the four numbers: [x1, y1, x2, y2]"
_SLACK = 0.02  # of the image: a box may stick out of it by so much, because models round


@dataclass(frozen=True)
class BoxFormat:
    """How one family writes boxes; see `prompts/boxes.yaml`."""

    name: str
    unit: str
    ask: str
    max_new_tokens: int


@lru_cache(maxsize=1)
def _formats() -> dict[str, BoxFormat]:
    data = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: BoxFormat(name, **entry) for name, entry in data.items()}


def box_format(name: str) -> BoxFormat:
    """A format by its name. BundleError lists those that there are."""
    if name not in _formats():
        raise BundleError(f"box_format: got {name!r}, expected one of {', '.join(_formats())}")
    return _formats()[name]


def parse_box(text: str) -> tuple[float, float, float, float]:
    """The first four numbers in brackets, as the model wrote them. BadReply if there are none."""
    match = _BOX.search(text)
    if match is None:
        raise BadReply(f"no box of four numbers in the reply {text[:200]!r}", text)
    x0, y0, x1, y1 = (float(value) for value in match.groups())
    return x0, y0, x1, y1


def to_image(
    values: Sequence[float], unit: str, size: tuple[int, int], seen: tuple[int, int] | None, raw: str = ""
) -> Box:
    """Four numbers of a reply as a box in the image.

    unit: one of the file's. size, seen: width and height in pixels of the image, and of what the model's processor
    made of it. BadReply, with the raw text, if the numbers are no box inside the image: then the unit is wrong, or the
    model's reply is.
    """
    width, height = size
    if unit == "padded_square":
        side = max(size)
        across, down = (side - width) / 2, (side - height) / 2
        x0, y0, x1, y1 = (v * side for v in values)
        box = (x0 - across, y0 - down, x1 - across, y1 - down)
    elif unit == "per_mille":
        x0, y0, x1, y1 = values
        box = (x0 * width / 1000, y0 * height / 1000, x1 * width / 1000, y1 * height / 1000)
    elif unit == "seen_pixels":
        if seen is None:
            raise BundleError("the model does not say at which size it sees the image, which its boxes refer to")
        x0, y0, x1, y1 = values
        box = (x0 * width / seen[0], y0 * height / seen[1], x1 * width / seen[0], y1 * height / seen[1])
    else:
        raise BundleError(f"unit of a box: got {unit!r}, expected one of {', '.join(_UNITS)}")
    clipped = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
    sticks_out = max(abs(a - b) / s for a, b, s in zip(box, clipped, (width, height) * 2, strict=True))
    if sticks_out > _SLACK or clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        got = ", ".join(f"{v:g}" for v in values)
        raise BadReply(f"[{got}] is no box in {unit} of an image of {width} x {height} px", raw)
    return clipped


class BoxAsker:
    """Asks a language model for the box of a target that it has named."""

    def __init__(self, mllm: MLLM, form: BoxFormat) -> None:
        self._mllm = mllm
        self.form = form
        self.last_reply = ""
        """The reply that the last box was read from, as it came."""

    def ask(
        self,
        thought: Thought,
        size: tuple[int, int],
        *,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> Box:
        """The box of `thought.target` in the model's image, of width and height `size`.

        In a conversation of its own, as these models were trained to be asked. BadReply if two replies hold no box.
        """
        where = f", {thought.attributes.location}" if thought.attributes.location else ""
        messages = [Message("user", self.form.ask.replace("{target}", f"{thought.target}{where}"))]
        problem: BadReply | None = None
        for _ in range(2):
            reply = self._mllm.reply(
                messages, max_new_tokens=self.form.max_new_tokens, on_token=on_token, should_cancel=should_cancel
            )
            self.last_reply = reply
            try:
                return to_image(parse_box(reply), self.form.unit, size, self._mllm.seen_size(), reply)
            except BadReply as error:
                problem = error
            messages += [Message("assistant", reply), Message("user", _RETRY)]
        assert problem is not None
        raise BadReply(f"the model's box could not be read, twice: {problem}", problem.raw)
