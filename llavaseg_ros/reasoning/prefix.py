# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reuse of a conversation's beginning: the image is encoded once a frame, later turns and commands only add words."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

# Families that read from left to right, the image among the words. Others let early words see later ones (PaliGemma),
# or keep the image beside the cache (Mllama): what was computed of a beginning does not stand for another ending there.
_FAMILIES = ("llava", "llava_next", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "smolvlm")
_TEXT_INPUTS = ("input_ids", "attention_mask", "mm_token_type_ids")


class Prefix(Protocol):
    """What is kept of the last conversation, for the next one on the same image."""

    def begin(self, inputs: dict[str, torch.Tensor], room: int) -> dict[str, Any]:
        """What to pass to generate besides `inputs`; takes the pixels out of `inputs` when their tokens are cached.

        room: most tokens that the conversation takes, its reply among them.
        """

    def end(self, ids: torch.Tensor | None) -> None:
        """After generate, also a cancelled one. ids: prompt and new tokens; None if it never got to the first one."""

    def clear(self) -> None:
        """Forget everything: the image is another one, or generate stopped half-way through the layers."""


def prefix_of(model: Any, settings: Any) -> Prefix | None:
    """The way to keep this model's conversations; None where a cached beginning would change what comes next.

    settings: generation settings of the replies.
    """
    if not reads_in_order(model):
        return None
    layers = DynamicCache(config=model.config.get_text_config()).layers
    # Keys and values of every token can be cut anywhere. Windows and recurrent states have lost what came before.
    croppable = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
    return PrefixCache(model) if croppable else PrefixSnapshot(model, settings)


def reads_in_order(model: Any) -> bool:
    """True for families whose cache after a beginning is the same whatever follows."""
    return model.config.model_type in _FAMILIES


class _Kept:
    """A cache and the tokens that it holds. Subclasses bring it to the beginning of the next conversation."""

    def __init__(self, model: Any) -> None:
        self._image_token = model.config.image_token_id
        self._cache: Any = None
        self._ids: list[int] = []  # what the cache holds

    def clear(self) -> None:
        """See `Prefix`."""
        self._cache, self._ids = None, []

    def end(self, ids: torch.Tensor | None) -> None:
        """See `Prefix`."""
        if ids is None or self._cache is None:
            self.clear()
            return
        # The last token was chosen, not yet read: the cache is one shorter than the ids.
        self._ids = ids[: int(self._cache.get_seq_length())].tolist()


class PrefixCache(_Kept):
    """The keys and values of the last conversation's tokens, cut back to what the next one has in common with it."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._text = model.config.get_text_config()

    def begin(self, inputs: dict[str, torch.Tensor], room: int) -> dict[str, Any]:
        """See `Prefix`."""
        ids = inputs["input_ids"][0].tolist()
        shared = common_prefix(self._ids, ids[:-1])  # generate needs one new token at least
        if self._image_token in ids[shared:]:
            shared = 0
        self._cut(shared, room)
        if self._ids:
            _drop_pixels(inputs)
        return {"past_key_values": self._cache}

    def _cut(self, length: int, room: int) -> None:
        """Keep the first `length` tokens; with none, begin anew."""
        if length == 0:
            self._cache = DynamicCache(config=self._text)
        else:
            self._cache.crop(length - len(self._ids))
        del self._ids[length:]


class PrefixSnapshot(_Kept):
    """For caches that cannot be cut: a copy as it was after the image, from which every conversation starts that does
    not simply go on with the last one."""

    def __init__(self, model: Any, settings: Any) -> None:
        super().__init__(model)
        self._model = model
        self._settings = copy.deepcopy(settings)
        self._settings.max_new_tokens = 1
        self.clear()

    def clear(self) -> None:
        """See `Prefix`."""
        super().clear()
        self._seen: Any = None  # the cache after the image; never handed to generate itself
        self._seen_ids: list[int] = []

    def begin(self, inputs: dict[str, torch.Tensor], room: int) -> dict[str, Any]:
        """See `Prefix`. Reads the image, if it is new, with the words before it."""
        ids = inputs["input_ids"][0].tolist()
        if self._cache is None or common_prefix(self._ids, ids[:-1]) < len(self._ids):
            image = max((place + 1 for place, token in enumerate(ids) if token == self._image_token), default=0)
            if self._seen is None or self._seen_ids != ids[:image]:
                self._look(inputs, image)
            self._cache, self._ids = copy.deepcopy(self._seen), list(self._seen_ids)
        if self._ids:
            _drop_pixels(inputs)
        return {"past_key_values": self._cache}

    def _look(self, inputs: dict[str, torch.Tensor], length: int) -> None:
        """Read the first `length` tokens of a conversation, the image among them, and keep that."""
        self.clear()
        seen = DynamicCache(config=self._model.config.get_text_config())
        if length:
            start = {key: value[:, :length] if key in _TEXT_INPUTS else value for key, value in inputs.items()}
            # The one token that is chosen is not used: generate knows each family's positions, that is what it is for.
            self._model.generate(**start, past_key_values=seen, generation_config=self._settings)
        self._seen, self._seen_ids = seen, inputs["input_ids"][0, :length].tolist()


def _drop_pixels(inputs: dict[str, torch.Tensor]) -> None:
    for name in set(inputs).difference(_TEXT_INPUTS):
        del inputs[name]


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning.

    >>> common_prefix([1, 2, 3], [1, 2, 4, 5])
    2
    """
    for place, (old, new) in enumerate(zip(first, second, strict=False)):
        if old != new:
            return place
    return min(len(first), len(second))
