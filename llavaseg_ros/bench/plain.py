# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The baseline: the same models used the plain way.

Every turn is a fresh `generate` of transformers with the image through the processor and the vision tower again, SAM
encodes the image after the language model's last turn, and nothing is kept from one command to the next.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llavaseg_ros.assemble import Parts, load_parts
from llavaseg_ros.device import memory_errors
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.grounding import Grounder, result_of, without_target
from llavaseg_ros.profile import load_profile
from llavaseg_ros.reasoning.base import MLLM, Message, OnToken, ShouldCancel
from llavaseg_ros.reasoning.boxes import BoxAsker
from llavaseg_ros.reasoning.chain import ChainOfThought
from llavaseg_ros.types import Result


class PlainMLLM:
    """A language model that is given its image anew at every turn; implements the protocol of `base.MLLM`."""

    def __init__(self, mllm: MLLM) -> None:
        self._mllm = mllm
        self._image: np.ndarray | None = None

    def set_image(self, rgb: np.ndarray) -> None:
        """See `base.MLLM`."""
        self._image = rgb

    def reset_image(self) -> None:
        """See `base.MLLM`."""
        self._image = None
        self._mllm.reset_image()

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        """See `base.MLLM`."""
        if self._image is not None:
            self._mllm.set_image(self._image)  # drops all that was computed from it
        return self._mllm.reply(messages, max_new_tokens=max_new_tokens, on_token=on_token, should_cancel=should_cancel)

    def seen_size(self) -> tuple[int, int] | None:
        """See `base.MLLM`."""
        return self._mllm.seen_size()

    def describe(self) -> dict[str, Any]:
        """See `base.MLLM`."""
        return self._mllm.describe()


class Plain:
    """The part of `LLaVASeg` that the benchmark uses, the plain way."""

    def __init__(self, parts: Parts, *, mode: str = "cot") -> None:
        """parts: loaded with `load_parts(..., plain=True)`, and nobody else's."""
        self.mllm = PlainMLLM(parts.mllm)
        self._chain = ChainOfThought(self.mllm, parts.style, mode)
        self._boxes = None if parts.form is None else BoxAsker(self.mllm, parts.form)
        self._grounder = Grounder(parts.segmenter, parts.prompt_source)
        self._rgb: np.ndarray | None = None

    @classmethod
    def load(cls, name_or_path: str | Path, device: torch.device) -> Plain:
        """A profile's models in copies of their own. Errors as of `LLaVASeg.from_pretrained`; BadRequest for a profile
        whose language model is served: how that is run is not ours to choose."""
        profile = load_profile(name_or_path)
        if profile.mllm.kind == "served":
            raise BadRequest(f"{profile.name}: its language model runs on a server, which has no plain way to compare")
        with memory_errors("loading the models a second time"):
            return cls(load_parts(profile, device, plain=True))

    @property
    def mode(self) -> str:
        """As in `LLaVASeg`."""
        return self._chain.mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._chain = ChainOfThought(self.mllm, self._chain.style, mode)

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        """Take a new image, uint8 [H, W, 3], RGB. Nothing is computed yet. quick: of no effect here."""
        self._rgb = rgb
        self.mllm.set_image(rgb)

    def segment(self, command: str) -> Result:
        """As `LLaVASeg.segment`; "encode" of its seconds is SAM's encoder, paid by every command."""
        assert self._rgb is not None
        started = time.perf_counter()
        with memory_errors("reasoning"):
            thought = self._chain.think(command)
            if thought.found and self._boxes is not None:
                height, width = self._rgb.shape[:2]
                thought = replace(thought, box=self._boxes.ask(thought, (width, height)))
        seconds = {"encode": 0.0, "reason": time.perf_counter() - started, "segment": 0.0}
        if not thought.found:
            return without_target(command, thought, seconds)
        segmenter = self._grounder.segmenter
        with memory_errors("segmenting"), torch.inference_mode():
            started = time.perf_counter()
            encoded = segmenter.encode(self._rgb)
            ready = time.perf_counter()
            grounding = self._grounder.ground(encoded, thought)
        seconds |= {"encode": ready - started, "segment": time.perf_counter() - ready}
        if segmenter.text is not None:
            segmenter.text.forget()
        return result_of(command, grounding, seconds)

    def chat(self, question: str) -> str:
        """As `LLaVASeg.chat`."""
        return self._chain.chat(question)
