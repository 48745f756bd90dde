# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How a reply is decoded, token by token and greedily: by transformers' own `generate`, or by something faster that
says the same (`lean.py`, `static.py`)."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from llavaseg_ros.errors import Cancelled
from llavaseg_ros.reasoning.base import OnToken, ShouldCancel
from llavaseg_ros.reasoning.prefix import Prefix


class Watch:
    """Told of every new token: forwards the text so far, and stops the decoding by raising when it is told to."""

    def __init__(self, tokenizer: Any, on_token: OnToken | None, should_cancel: ShouldCancel | None) -> None:
        self._tokenizer = tokenizer
        self._on_token = on_token
        self._should_cancel = should_cancel

    def see(self, new: list[int]) -> None:
        """new: the reply's tokens so far, one more than at the call before. Raises Cancelled."""
        if self._should_cancel is not None and self._should_cancel():
            raise Cancelled(f"cancelled after {len(new)} tokens")
        if self._on_token is not None:
            text = self._tokenizer.decode(new, skip_special_tokens=True)
            self._on_token(text.rstrip("\ufffd"))  # the first bytes of a character that the next token completes


class Generation(Protocol):
    """Decodes replies of one model. Everything it keeps between calls is of the current image."""

    reuses_prefix: bool
    """Keeps the key/value cache of the conversation so far, so that the image is encoded once a frame."""

    def generate(self, inputs: dict[str, torch.Tensor], *, max_new_tokens: int, watch: Watch) -> list[int]:
        """The new tokens, by greedy decoding; an end token, if one was said, is among them.

        inputs: what the model's processor made of one conversation, batch size 1. Raises what `watch` raises; the next
        call is then as good as any.
        """

    def forget(self) -> None:
        """The image is another one."""

    def describe(self) -> str:
        """A word or two for diagnostics."""


class TransformersGeneration:
    """transformers' `generate`, for any family."""

    def __init__(self, model: Any, settings: Any, prefix: Prefix | None) -> None:
        """settings: those of `greedy`, for this object alone. prefix: what is kept between replies; None: nothing."""
        self._model = model
        self._settings = settings
        self._prefix = prefix
        self.reuses_prefix = prefix is not None

    def generate(self, inputs: dict[str, torch.Tensor], *, max_new_tokens: int, watch: Watch) -> list[int]:
        """See `Generation`."""
        self._settings.max_new_tokens = max_new_tokens
        length = inputs["input_ids"].shape[1]
        watched = _Watched(watch, length)
        try:
            with torch.no_grad():
                past = self._prefix.begin(inputs, length + max_new_tokens) if self._prefix is not None else {}
                output = self._model.generate(
                    **inputs,
                    **past,
                    generation_config=self._settings,
                    stopping_criteria=StoppingCriteriaList([watched]),
                )
        except BaseException as error:
            if self._prefix is not None and error is watched.raised:  # between two tokens: what is cached is whole
                self._prefix.end(watched.ids)
            else:
                self.forget()  # it may have stopped half-way through the layers
            raise
        if self._prefix is not None:
            self._prefix.end(watched.ids)
        tokens: list[int] = output[0, length:].tolist()
        return tokens

    def forget(self) -> None:
        """See `Generation`."""
        if self._prefix is not None:
            self._prefix.clear()

    def describe(self) -> str:
        """See `Generation`."""
        return "transformers"


class _Watched(StoppingCriteria):
    """Called by `generate` after every token."""

    def __init__(self, watch: Watch, prompt: int) -> None:
        self._watch, self._prompt = watch, prompt
        self.ids: torch.Tensor | None = None
        self.raised: BaseException | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Never asks generate to stop by itself: bool [batch] of False."""
        self.ids = input_ids[0]
        try:
            self._watch.see(input_ids[0, self._prompt :].tolist())
        except BaseException as error:
            self.raised = error
            raise
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def greedy(config: Any) -> Any:
    """The model's generation settings (stop tokens and penalties stay) with sampling and beams off."""
    plain = type(config).from_dict(config.to_dict())
    plain.do_sample = False
    plain.num_beams = 1
    for name in ("temperature", "top_p", "top_k", "typical_p", "min_p", "max_length"):
        setattr(plain, name, None)
    return plain
