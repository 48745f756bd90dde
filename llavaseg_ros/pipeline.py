# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`LLaVASeg`: a command in words and a camera image in, a mask and an answer out.

`set_image` is heavy and happens once a frame; `segment` and `chat` are cheap beside it and may follow many times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from llavaseg_ros.assemble import load_parts
from llavaseg_ros.checks import check_command, check_prompt
from llavaseg_ros.device import limit_gpu_memory, memory_errors, select_device
from llavaseg_ros.errors import BadRequest, Cancelled
from llavaseg_ros.frame import CurrentImage
from llavaseg_ros.grounding import Grounder, result_of, results_of, without_target
from llavaseg_ros.profile import load_profile
from llavaseg_ros.reasoning.base import MLLM, Message, OnToken, ShouldCancel
from llavaseg_ros.reasoning.boxes import BoxAsker, BoxFormat
from llavaseg_ros.reasoning.chain import MODES, ChainOfThought
from llavaseg_ros.reasoning.dialogue import Interpreter
from llavaseg_ros.reasoning.local import LocalMLLM
from llavaseg_ros.reasoning.prompt_style import PromptStyle
from llavaseg_ros.segmentation.encoding import EncodingLane
from llavaseg_ros.segmentation.half import quick_segmenter
from llavaseg_ros.segmentation.segmenter import Encoded, Segmenter
from llavaseg_ros.types import Attributes, Referent, Result, Segment, Stage, Thought

__all__ = ["LLaVASeg", "Message"]

MAX_TARGETS = 10  # of a command that asks for several things and does not say how many

_T = TypeVar("_T")
OnProgress = Callable[[Stage, str], None]


class LLaVASeg:
    """A frozen MLLM that reasons, and a frozen SAM with adapters that segments what it found.

    One user at a time: calls on one object must not overlap. `should_cancel` and `on_progress` are called from the
    thread that called `segment` or `chat`; they may read flags that other threads set.
    """

    def __init__(
        self,
        mllm: MLLM,
        segmenter: Segmenter,
        style: PromptStyle,
        *,
        mode: str = "cot",
        prompt_source: str = "adapters",
        form: BoxFormat | None = None,
        overlap: bool = False,
        device: torch.device | None = None,
        name: str = "",
        path: Path | None = None,
    ) -> None:
        """Put loaded parts together; `from_pretrained` is the usual way to get here.

        prompt_source: what SAM is prompted with: "adapters", a "box" from the MLLM, or "both". form: how the MLLM
        writes boxes; needed unless prompt_source is "adapters". overlap: SAM's encoder runs beside the MLLM.
        """
        self.mllm = mllm
        self.segmenter = segmenter
        self.device = device or torch.device("cpu")
        self.name = name
        self.path = path
        self._full = self._quick = self._grounder = Grounder(segmenter, prompt_source)
        self._chain = ChainOfThought(mllm, style, mode)
        self._interpreter = Interpreter(mllm, style)
        self._boxes = None if prompt_source == "adapters" or form is None else BoxAsker(mllm, form)
        self._image = CurrentImage(mllm, EncodingLane(self.device, beside=overlap))

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "default",
        *,
        device: str = "auto",
        mode: str = "cot",
        gpu_memory_limit_gb: float = 0.0,
    ) -> LLaVASeg:
        """Load a profile by name ("default" is the embedded one) or file, or a bundle by its folder. No network, unless
        the profile allows downloads.

        device: auto (CUDA if there is any), cpu, cuda or cuda:N. mode: cot (three turns), fast (one) or auto (as the
        command needs).
        gpu_memory_limit_gb: most GiB that torch may take of that GPU in this process, for as long as it runs; 0: all.
        Raises BundleError if anything is missing, truncated or does not fit together, BadRequest for another device
        or mode, OutOfMemory if the device is too small.
        """
        target = select_device(device)
        if mode not in MODES:
            raise BadRequest(f"mode: got {mode!r}, expected one of {', '.join(MODES)}")
        limit_gpu_memory(target, gpu_memory_limit_gb)
        profile = load_profile(name_or_path)
        with memory_errors("loading the models"):
            parts = load_parts(profile, target)
        return cls(
            parts.mllm,
            parts.segmenter,
            parts.style,
            mode=mode,
            prompt_source=parts.prompt_source,
            form=parts.form,
            overlap=target.type == "cuda" or not isinstance(parts.mllm, LocalMLLM),
            device=target,
            name=parts.name,
            path=profile.bundle or profile.folder,
        )

    @property
    def mode(self) -> str:
        """How the MLLM is asked: "cot", "fast" or "auto". Setting it takes effect with the next command."""
        return self._chain.mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._chain = ChainOfThought(self.mllm, self._chain.style, mode)

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the current image in pixels; None without one."""
        return self._image.shape

    def warm_up(self) -> None:
        """Run a blank image through every part once, so that the first command does not pay for what is made lazily.

        Forgets the current image. A model that cannot run on this machine fails here, with its own error.
        """
        self.set_image(np.zeros((480, 640, 3), dtype=np.uint8))
        tokens = 0

        def count(_: Stage, text: str) -> None:
            nonlocal tokens
            tokens += bool(text)

        with suppress(Cancelled):
            self.chat("What do you see?", on_progress=count, should_cancel=lambda: tokens >= 2)
        self.segment_thought(Thought(target="cup", attributes=Attributes("red"), found=True))
        self._quick = Grounder(quick_segmenter(self.segmenter), self._full.prompt_source)
        self.reset_image()

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        """Take a new image: uint8 [H, W, 3], RGB, each side 16 to 8192 px. It is copied, unless nobody can change it.

        quick: for a frame that is only followed, in half precision if `warm_up` found that faster here; masks differ by
        a few pixels of their edges.

        SAM's encoder runs now, or begins to and goes on beside the MLLM, which encodes the image at the first command.
        An image that is refused leaves the old one. Raises BadRequest, OutOfMemory (then there is no image); what goes
        wrong beside the MLLM comes out of the first call that needs the encoding.

        Whenever memory runs out, here or in a command, the caches are freed and the same is tried once more with the
        image at three quarters of its size; masks keep the image's size, with coarser edges. OutOfMemory if that is too
        much, too.
        """
        grounder = self._quick if quick else self._full
        self._image.take(rgb, grounder.segmenter)
        self._grounder = grounder

    def reset_image(self) -> None:
        """Forget the image and everything computed from it."""
        self._image.forget()

    def segment(
        self,
        command: str,
        *,
        history: Sequence[Message] = (),
        last: Referent | None = None,
        max_targets: int = MAX_TARGETS,
        on_progress: OnProgress | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> Result:
        """Do what a command says on the current image.

        command: text of 1 to 2000 characters. history: earlier turns, user and assistant in alternation. last: the
        target that was found last (`Referent.of(result)`), for "the other one" and the like; a model that understands
        the history goes by that. max_targets: most targets of a command that asks for several things ("all the cups");
        any other has one.
        on_progress(stage, partial_text) is called at every token while REASONING and once when SEGMENTING starts;
        should_cancel() is polled at every token and between stages.

        Raises NoImage, BadRequest, BadReply (the MLLM's reply could not be read, twice), Cancelled, OutOfMemory.
        """
        self._image.encoding()
        text = check_command(command)
        if max_targets < 1:
            raise BadRequest(f"max_targets: got {max_targets}, expected at least 1")
        _report(on_progress, Stage.REASONING, "")
        started = time.perf_counter()
        on_token = _reasoning(on_progress)
        thought = self._image.sparing(
            "reasoning", lambda: self._think(text, history, last, max_targets, on_token, should_cancel)
        )
        reasoned = time.perf_counter() - started
        if thought.found:
            if should_cancel is not None and should_cancel():
                raise Cancelled("cancelled before segmenting")
            _report(on_progress, Stage.SEGMENTING, thought.answer)
        return self._ground(thought, text, reasoned, max_targets)

    def _think(
        self,
        command: str,
        history: Sequence[Message],
        last: Referent | None,
        max_targets: int,
        on_token: OnToken | None,
        should_cancel: ShouldCancel | None,
    ) -> Thought:
        """The targets of a command: by the language model, by the rules that stand in for it, or by both."""
        assert self.image_shape is not None
        size = (self.image_shape[1], self.image_shape[0])
        reading = self._interpreter.read(command, last, size, max_targets)
        if reading.thought is not None:
            return reading.thought
        thought = self._chain.think(
            reading.command, history=history, max_targets=max_targets, on_token=on_token, should_cancel=should_cancel
        )
        if reading.note:
            thought = replace(thought, reasoning=f"{reading.note} {thought.reasoning}".strip())
        if reading.several is not None:
            thought = self._interpreter.enumerate(thought, reading.several, size, max_targets)
        if thought.found and self._boxes is not None:
            boxes = [self._with_box(one, size, should_cancel) for one in (thought, *thought.others)]
            thought = replace(boxes[0], others=tuple(boxes[1:]))
        return thought

    def _with_box(self, thought: Thought, size: tuple[int, int], should_cancel: ShouldCancel | None) -> Thought:
        assert self._boxes is not None
        box = self._boxes.ask(thought, size, should_cancel=should_cancel)
        return replace(thought, box=box, raw=(*thought.raw, self._boxes.last_reply))

    def segment_thought(self, thought: Thought, *, command: str = "") -> Result:
        """Segment what an earlier thought describes on the current image, without the MLLM.

        The second half of `segment`: for a new frame of the same scene, or for attributes that are known.
        Raises NoImage, OutOfMemory.
        """
        return self._ground(thought, command)

    def follow(self, last: Result, *, gap_s: float = 0.1) -> Result:
        """Segment the target of an earlier result on the current image, without the MLLM, as the same object.

        last: a found result of `segment` or `follow` on an earlier frame; where its mask was tells the target from
        others like it. gap_s: seconds between that frame and this one, which bound how far it can have moved.
        found is False, with NOT_FOUND or EMPTY_MASK, when the target is lost; go on with the last result that was
        found. Raises NoImage, BadRequest (`last` was not found), OutOfMemory.
        """
        self._image.encoding()
        if not last.found:
            raise BadRequest("follow: expected a result that was found; the last one that was is where to go on from")
        assert self.image_shape is not None
        follow = partial(self._grounder.follow, last=last, shape=self.image_shape, gap_s=gap_s)
        seconds = {"encode": 0.0, "reason": 0.0}
        return result_of(last.command, self._segmented(seconds, follow), seconds)

    def chat(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        on_progress: OnProgress | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        """Ask the MLLM about the current image; returns its reply exactly as it says it.

        Arguments and errors as in `segment`.
        """
        self._image.encoding()
        text = check_command(question)
        _report(on_progress, Stage.REASONING, "")
        on_token = _reasoning(on_progress)
        return self._image.sparing(
            "reasoning",
            lambda: self._chain.chat(text, history=history, on_token=on_token, should_cancel=should_cancel),
        )

    def segment_prompt(
        self, *, points: np.ndarray | None = None, labels: np.ndarray | None = None, box: np.ndarray | None = None
    ) -> Segment:
        """Segment at points or in a box on the current image, as plain SAM does.

        points: float [N, 2], x and y in pixels. labels: int [N], 1 foreground, 0 background; all 1 if not given.
        box: float [4], x0, y0, x1, y1 in pixels. Raises NoImage, BadRequest, OutOfMemory.
        """
        self._image.encoding()
        assert self.image_shape is not None
        points, labels, box = check_prompt(points, labels, box, self.image_shape)
        prompt = partial(self._grounder.segmenter.segment_prompt, points=points, labels=labels, box=box)
        return self._segmented({"encode": 0.0}, prompt)

    def describe(self) -> dict[str, Any]:
        """Names, sizes and devices of the parts, as plain JSON values, for `doctor` and diagnostics."""
        return {
            "name": self.name,
            "path": str(self.path or ""),
            "mode": self.mode,
            "prompt_source": self._grounder.prompt_source,
            "device": str(self.device),
            "images_made_smaller": self._image.made_smaller,
            "mllm": self.mllm.describe(),
            "segmenter": self.segmenter.describe(),
        }

    def _ground(
        self,
        thought: Thought,
        command: str,
        reasoned_s: float = 0.0,
        max_targets: int = MAX_TARGETS,
    ) -> Result:
        """From a thought to a result: no mask for a question or an absent target, else the segmenter decides."""
        seconds = {"encode": self._image.encoding().spent(), "reason": reasoned_s, "segment": 0.0}
        if not thought.found:
            return without_target(command, thought, seconds)
        every = (thought, *thought.others)
        found = self._segmented(seconds, lambda encoded: [self._grounder.ground(encoded, t) for t in every])
        if thought.others:
            return results_of(command, found, seconds, max_targets)
        return result_of(command, found[0], seconds)

    def _segmented(self, seconds: dict[str, float], ground: Callable[[Encoded], _T]) -> _T:
        """What `ground` makes of the encoded image; notes the time in `seconds`."""

        def segmented() -> _T:
            encoded = self._image.encoded()
            seconds["encode"] += self._image.encoding().spent()
            started = time.perf_counter()
            with torch.inference_mode():
                grounded = ground(encoded)
            seconds["segment"] = time.perf_counter() - started
            return grounded

        return self._image.sparing("segmenting", segmented)


def _report(on_progress: OnProgress | None, stage: Stage, text: str) -> None:
    if on_progress is not None:
        on_progress(stage, text)


def _reasoning(on_progress: OnProgress | None) -> OnToken | None:
    return None if on_progress is None else partial(on_progress, Stage.REASONING)
