# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The real pipeline around a scripted language model and a scripted or faulty SAM, for faults below the pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scripted import ScriptedMLLM, ScriptedSegmenter

from llavaseg_ros.pipeline import LLaVASeg
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.types import Attributes, Segment

REASON = "I see a red mug."
NAME = "target: red mug; found: yes; answer: The red mug can be used to drink."
DESCRIBE = "color: red; shape: cylinder with a handle; location: front left"
REPLIES = (REASON, NAME, DESCRIBE)
MASK = np.zeros((48, 64), bool)
MASK[8:20, 10:30] = True
TOO_MUCH = 2**60  # bytes, of which no machine has as many


class TalkativeMLLM(ScriptedMLLM):
    """Says the same three replies for ever, after those that it was given."""

    def reply(self, *arguments: Any, **options: Any) -> str:
        if not self.replies:
            self.replies = list(REPLIES)
        return super().reply(*arguments, **options)


class HungrySegmenter(ScriptedSegmenter):
    """Takes more memory than there is: in `where` ("encode" or "segment"), while `hungry` says so ("full": at the
    image's full size, "always", "never")."""

    def __init__(self, where: str, hungry: str) -> None:
        super().__init__(MASK)
        self.where, self.hungry = where, hungry
        self._small = False

    def encode(self, rgb: np.ndarray) -> Any:
        self._small = False
        self._eat("encode")
        return super().encode(rgb)

    def encode_smaller(self, rgb: np.ndarray) -> Any:
        self._small = True
        self._eat("encode")
        return super().encode(rgb)

    def segment(
        self, encoded: Any, target: str, attributes: Attributes, box: np.ndarray | None = None
    ) -> tuple[Segment | None, float]:
        self._eat("segment")
        return super().segment(encoded, target, attributes, box)

    def _eat(self, where: str) -> None:
        if where == self.where and (self.hungry == "always" or (self.hungry == "full" and not self._small)):
            torch.empty(TOO_MUCH, dtype=torch.uint8)


def real_pipeline(mllm: Any = None, segmenter: Any = None) -> Any:
    """The pipeline; scripted parts where none are given."""
    return LLaVASeg(
        mllm if mllm is not None else TalkativeMLLM(),
        segmenter if segmenter is not None else ScriptedSegmenter(MASK),
        load_style("embedded"),
        name="scripted",
    )
