# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Compiled decoding on a GPU: transformers' static cache and its compiled step, for conversations that go on.

What a token costs on a GPU is reading the weights once, unless the launching of a thousand small kernels costs more.
A cache of fixed size makes every step the same, so that transformers compiles it and replays it as one CUDA graph.
Reading the prompt stays uncompiled: its length is another every time.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from transformers import StaticCache
from transformers.cache_utils import StaticLayer

from llavaseg_ros.errors import Cancelled
from llavaseg_ros.reasoning.generation import Generation, TransformersGeneration, Watch, greedy
from llavaseg_ros.reasoning.prefix import PrefixCache, prefix_of, reads_in_order

_log = logging.getLogger(__name__)
_ROOM = 2048  # tokens by which the cache grows: each other size compiles anew, and every step reads all of it
_STEPS = 4  # tokens after which everything is compiled: a CUDA graph runs once, is recorded, and is then replayed


class StaticGeneration:
    """transformers' `generate` on a static cache that stays for as long as the model; see `generation.Generation`.

    Where compiling fails, it says so in the log once and goes on uncompiled.
    """

    reuses_prefix = True

    def __init__(self, model: Any, compile_config: Any = None) -> None:
        """compile_config: transformers' CompileConfig; None for its own choice, which is to compile on a GPU only."""
        self._model = model
        settings = greedy(model.generation_config)
        settings.compile_config = compile_config
        self._inner: Generation = TransformersGeneration(model, settings, StaticPrefix(model))
        self._compiling = True
        self._warm = False

    @staticmethod
    def supports(model: Any) -> bool:
        """True if every layer's cache can be a static one that is cut short, and the step can be compiled."""
        quantizer = getattr(model, "hf_quantizer", None)
        return (
            reads_in_order(model)
            and getattr(model, "_can_compile_fullgraph", False)
            and (quantizer is None or bool(quantizer.is_compileable))
            and all(type(layer) is StaticLayer for layer in _static_cache(model.config.get_text_config(), 1).layers)
        )

    def generate(self, inputs: dict[str, torch.Tensor], *, max_new_tokens: int, watch: Watch) -> list[int]:
        """See `generation.Generation`. The first call, that of `LLaVASeg.warm_up`, compiles."""
        if not self._warm:
            for _ in range(2):  # a step after a new prompt and one after a kept beginning may differ
                stopping = Watch(None, None, partial(next, iter([False] * _STEPS), True))
                with suppress(Cancelled):
                    self._generate(dict(inputs), max_new_tokens, stopping)
            self._warm = True
        return self._generate(inputs, max_new_tokens, watch)

    def _generate(self, inputs: dict[str, torch.Tensor], max_new_tokens: int, watch: Watch) -> list[int]:
        """A reply whose compiled step fails is decoded again from its start."""
        if self._compiling:
            heard = _Heard(watch)
            try:
                return self._inner.generate(dict(inputs), max_new_tokens=max_new_tokens, watch=heard)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                if error is heard.raised or not heard.tokens:  # the first token comes of the prompt: not compiled
                    raise
                self._give_up(error)
        return self._inner.generate(inputs, max_new_tokens=max_new_tokens, watch=watch)

    def forget(self) -> None:
        """See `generation.Generation`."""
        self._inner.forget()

    def describe(self) -> str:
        """See `generation.Generation`."""
        return "static cache" if self._compiling else self._inner.describe()

    def _give_up(self, error: Exception) -> None:
        reason = " ".join([type(error).__name__, *str(error).split("\n")[:2]])  # the compiler's is in the second line
        _log.warning("decoding goes on uncompiled and slower, since compiling it failed: %s", reason)
        settings = greedy(self._model.generation_config)
        self._inner = TransformersGeneration(self._model, settings, prefix_of(self._model, settings))
        self._compiling = False


class _Heard(Watch):
    """A watch that remembers how far the reply came, and what it raised."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.tokens = 0
        self.raised: BaseException | None = None

    def see(self, new: list[int]) -> None:
        """See `Watch`."""
        self.tokens = len(new)
        try:
            self._watch.see(new)
        except BaseException as error:
            self.raised = error
            raise


class StaticPrefix(PrefixCache):
    """A cache of fixed size. To cut it is to say that it is shorter: masks go by its length, what lies behind is
    written over."""

    _room = 0

    def clear(self) -> None:
        """See `prefix.Prefix`. The memory stays: a compiled step knows its address."""
        self._ids = []

    def _cut(self, length: int, room: int) -> None:
        if room > self._room:
            self._room = -(-room // _ROOM) * _ROOM
            self._cache, self._ids, length = _static_cache(self._text, self._room), [], 0
        for layer in self._cache.layers:
            layer.cumulative_length.fill_(length)
        del self._ids[length:]


def _static_cache(text: Any, room: int) -> StaticCache:
    return StaticCache(config=text, max_cache_len=room)
