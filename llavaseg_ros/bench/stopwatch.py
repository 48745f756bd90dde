# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time and length of every reply of a language model, without a change to how it is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from llavaseg_ros.reasoning.base import MLLM, Message, OnToken, ShouldCancel


@dataclass(frozen=True)
class Reply:
    """One turn. first_s: seconds to the first token (image, prompt); rest_s: seconds from there to the last one.
    tokens: how many were polled for, an end token among them; 0 for models that do not poll at every token."""

    text: str
    tokens: int
    first_s: float
    rest_s: float


class Stopwatch:
    """Takes the place of a model's `reply`. The tokens are counted where the model asks whether to go on, which costs
    nothing, while the text of a partial reply would have to be decoded every time."""

    def __init__(self, mllm: MLLM) -> None:
        self.replies: list[Reply] = []
        self._reply = mllm.reply
        mllm.reply = self.reply  # type: ignore[method-assign]

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        """See `base.MLLM`."""
        polled: list[float] = []

        def poll() -> bool:
            polled.append(time.perf_counter())
            return should_cancel is not None and should_cancel()

        started = time.perf_counter()
        text = self._reply(messages, max_new_tokens=max_new_tokens, on_token=on_token, should_cancel=poll)
        done = time.perf_counter()
        # The first poll comes before anything is done.
        first = polled[1] if len(polled) > 1 else done
        self.replies.append(Reply(text, max(len(polled) - 1, 0), first - started, done - first))
        return text

    def take(self) -> list[Reply]:
        """The replies since the last call."""
        taken, self.replies = self.replies, []
        return taken
