# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the chain of thought needs of a multimodal language model (MLLM), whoever runs it.

A local transformers model implements it (`local.py`), and so does a model on a server (`served.py`), since nothing here
speaks of token ids, tensors or devices. An implementation is free to keep the image, its features and its key/value
prefix between calls, as long as greedy decoding gives the same reply with and without that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from llavaseg_ros.errors import BadRequest

Role = Literal["system", "user", "assistant"]

OnToken = Callable[[str], None]
"""Called at every new token with the reply so far."""

ShouldCancel = Callable[[], bool]
"""Polled at every token; returning true stops the work. May be called from the worker's thread."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation, as text. The image is not part of it: it goes with the first user turn."""

    role: Role
    text: str


class ConversationTooLong(BadRequest):
    """The conversation does not fit the model's context; dropping earlier turns may help."""


class MLLM(Protocol):
    """A frozen multimodal language model. One user at a time: calls must not overlap."""

    def set_image(self, rgb: np.ndarray) -> None:
        """Take the image of the conversations to come: uint8 [H, W, 3], RGB. What was kept of another is dropped.

        The array belongs to the model from here on: the caller does not change it.
        """

    def reset_image(self) -> None:
        """Forget the image and all that was computed from it."""

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        """Continue a conversation by one assistant turn, decoded greedily, and return it exactly as decoded.

        messages: an optional system turn, then user and assistant turns in alternation, a user turn last.
        The image, if one is set, goes in the first user turn. No text in `messages` may change the conversation's
        structure, whatever it contains: implementations neutralise control tokens and role markers (`guard.py`).

        Raises Cancelled when `should_cancel` returned true, ConversationTooLong when the context is too small.
        """

    def seen_size(self) -> tuple[int, int] | None:
        """Width and height in pixels at which the model sees the current image, after its processor resized it; None if
        it does not say, or before the first reply about the image."""

    def describe(self) -> dict[str, Any]:
        """Family, size, device and the like, for `doctor` and diagnostics; plain JSON values."""
