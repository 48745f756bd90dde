"""Reuse of a conversation's key/value prefix: the image is encoded once, later turns only add what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

# Families whose positions are plain and whose cache is keys and values alone, so that cutting it short is exact.
_FAMILIES = ("llava",)
PIXEL_INPUTS = ("pixel_values", "image_sizes")


class PrefixCache:
    """The keys and values of the last conversation's tokens, cut back to what the next one has in common with it.

    Sound for one image: `clear` when it changes.
    """

    def __init__(self, model: Any) -> None:
        self._config = model.config
        self._image_token = model.config.image_token_id
        self._cache: DynamicCache | None = None
        self._ids: list[int] = []

    @staticmethod
    def supports(model: Any) -> bool:
        """True if the model's cache can be cut at any token without changing what comes next."""
        text = model.config.get_text_config()
        return model.config.model_type in _FAMILIES and not getattr(text, "sliding_window", None)

    def clear(self) -> None:
        """Forget everything."""
        self._cache, self._ids = None, []

    def begin(self, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
        """What to pass to generate besides `inputs`; takes the pixels out of `inputs` when their tokens are cached."""
        ids = inputs["input_ids"][0].tolist()
        shared = common_prefix(self._ids, ids[:-1])  # generate needs one new token at least
        if self._cache is not None and self._image_token not in ids[shared:]:
            self._cache.crop(shared - len(self._ids))
            for name in PIXEL_INPUTS:
                inputs.pop(name, None)
        else:
            self._cache = DynamicCache(config=self._config.get_text_config())
            shared = 0
        self._ids = ids[:shared]
        return {"past_key_values": self._cache}

    def end(self, ids: torch.Tensor | None) -> None:
        """After generate, also a cancelled one. ids: prompt and new tokens; None if it never got to the first one."""
        if ids is None or self._cache is None:
            self.clear()
            return
        # The last token was chosen, not yet read: the cache is one shorter than the ids.
        self._ids = ids[: self._cache.get_seq_length()].tolist()


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning.

    >>> common_prefix([1, 2, 3], [1, 2, 4, 5])
    2
    """
    for place, (old, new) in enumerate(zip(first, second, strict=False)):
        if old != new:
            return place
    return min(len(first), len(second))
