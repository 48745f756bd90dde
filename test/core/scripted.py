# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins of the core's tests that say or segment what a test wrote down; they only serve to test what is around
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llavaseg_ros.errors import Cancelled
from llavaseg_ros.reasoning.base import Message, OnToken, ShouldCancel
from llavaseg_ros.types import Attributes, Segment


class ScriptedMLLM:
    """Implements the MLLM protocol with replies from a list; a reply that is an exception is raised."""

    def __init__(self, *replies: str | Exception) -> None:
        self.replies = list(replies)
        self.asked: list[list[Message]] = []
        self.limits: list[int] = []
        self.image: np.ndarray | None = None

    def set_image(self, rgb: np.ndarray) -> None:
        self.image = rgb

    def reset_image(self) -> None:
        self.image = None

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        self.asked.append(list(messages))
        self.limits.append(max_new_tokens)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        said = ""
        for word in reply.split(" "):
            if should_cancel is not None and should_cancel():
                raise Cancelled("cancelled")
            said = f"{said} {word}" if said else word
            if on_token is not None:
                on_token(said)
        return reply

    def seen_size(self) -> tuple[int, int] | None:
        return None if self.image is None else (280, 140)

    def describe(self) -> dict[str, Any]:
        return {"name": "scripted"}


class ScriptedSegmenter:
    """Answers every target with the mask and presence it was given; an exception in place of a mask is raised."""

    def __init__(self, mask: np.ndarray | Exception | None, presence: float = 0.9) -> None:
        self.mask = mask
        self.presence = presence
        self.encoded: list[np.ndarray] = []
        self.asked: list[tuple[str, Attributes]] = []
        self.boxes: list[np.ndarray | None] = []
        self.prompts: list[dict[str, Any]] = []

    def encode(self, rgb: np.ndarray) -> Any:
        self.encoded.append(rgb)
        return len(self.encoded)

    def encode_smaller(self, rgb: np.ndarray) -> Any:
        return self.encode(rgb)

    def segment(
        self, encoded: Any, target: str, attributes: Attributes, box: np.ndarray | None = None
    ) -> tuple[Segment | None, float]:
        self.asked.append((target, attributes))
        self.boxes.append(box)
        if isinstance(self.mask, Exception):
            raise self.mask
        return (None if self.mask is None else Segment(self.mask, 0.8, (0, 0, 4, 4))), self.presence

    def segment_prompt(self, encoded: Any, **prompt: Any) -> Segment:
        self.prompts.append(prompt)
        return Segment(np.ones((4, 4), bool), 0.5, (0, 0, 4, 4))

    def describe(self) -> dict[str, Any]:
        return {"sam": "scripted"}
