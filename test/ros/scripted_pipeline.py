# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A pipeline that follows a script, for tests of protocol and timing: what the node does with what the model does.

It lives in the tests only. Its mask is computed from the image (the reddish pixels), so that a test notices when the
node works on another frame than it should.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llavaseg_ros.errors import Cancelled, ErrorCode, NoImage
from llavaseg_ros.ros.models import Wanted
from llavaseg_ros.types import Attributes, Result, Segment, Stage, Thought


def red_mask(rgb: np.ndarray) -> np.ndarray:
    """bool [H, W]: the reddish pixels of uint8 [H, W, 3] RGB."""
    return (rgb[:, :, 0] > 150) & (rgb[:, :, 1] < 100) & (rgb[:, :, 2] < 100)


def make_segment(mask: np.ndarray, score: float = 0.9) -> Segment:
    """A Segment with the tight box of its mask."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Segment(mask, score, (0, 0, 0, 0))
    x, y = int(cols[0]), int(rows[0])
    return Segment(mask, score, (x, y, int(cols[-1]) - x + 1, int(rows[-1]) - y + 1))


class CountingLoader:
    """A loader that notes with what it was called."""

    def __init__(self, pipeline: ScriptedPipeline) -> None:
        self.pipeline = pipeline
        self.calls: list[Wanted] = []

    def __call__(self, wanted: Wanted) -> ScriptedPipeline:
        self.calls.append(wanted)
        return self.pipeline


class Gate:
    """An `on_segment` or `on_image` that holds the model until `open` is set. reached: set once the model is there."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, *_: Any) -> None:
        self.reached.set()
        assert self.open.wait(120.0), "nobody opened the gate"


@dataclass
class ScriptedPipeline:
    """The methods of `LLaVASeg`, with a script.

    A command that holds "banana" is not found, one that ends with "?" is a question, any other finds the red pixels.
    follow finds the red pixels, too, and takes follow_s.
    tokens, token_s: length and pace of the reasoning. encode_s: time of `set_image`.
    on_segment: called first with the command; may raise, block, or return another Result.
    polls: whether should_cancel is asked (False: a model that hangs until `token_s * tokens` is over).
    """

    tokens: int = 3
    token_s: float = 0.0
    encode_s: float = 0.0
    polls: bool = True
    on_segment: Callable[[str, np.ndarray], Result | None] | None = None
    follow_s: float = 0.0
    on_image: Callable[[np.ndarray], None] | None = None
    followed: list[tuple[Result, float]] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    quick: list[bool] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    histories: list[list[Any]] = field(default_factory=list)
    lasts: list[Any] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    warmed: int = 0
    cancelled: int = 0
    cancelled_at: float = 0.0
    started: threading.Event = field(default_factory=threading.Event)
    image_shape: tuple[int, int] | None = None

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        self.quick.append(quick)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.encode_s)
        if self.on_image is not None:
            self.on_image(rgb)
        self.images.append(rgb.copy())
        self.image_shape = (rgb.shape[0], rgb.shape[1])

    def reset_image(self) -> None:
        self.image_shape = None

    def warm_up(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.warmed += 1

    def segment(
        self,
        command: str,
        *,
        history: Any = (),
        last: Any = None,
        max_targets: int = 10,
        on_progress: Callable[[Stage, str], None] | None = None,
        should_cancel: Callable[[], bool] | None = None,
    ) -> Result:
        self.threads.add(threading.current_thread().name)
        if self.image_shape is None:
            raise NoImage("set_image was not called")
        self.commands.append(command)
        self.histories.append(list(history))
        self.lasts.append(last)
        self.limits.append(max_targets)
        rgb = self.images[-1]
        if self.on_segment is not None:
            result = self.on_segment(command, rgb)
            if result is not None:
                return result
        words = []
        for number in range(self.tokens):
            self.started.set()
            if self.polls and should_cancel is not None and should_cancel():
                self.cancelled += 1
                self.cancelled_at = time.monotonic()
                raise Cancelled("cancelled")
            words.append(f"word{number}")
            if on_progress is not None:
                on_progress(Stage.REASONING, " ".join(words))
            time.sleep(self.token_s)
        return self.result(command, rgb, on_progress)

    def result(self, command: str, rgb: np.ndarray, on_progress: Any = None) -> Result:
        seconds = {"encode": 0.0, "reason": 0.0, "segment": 0.0}
        if command.endswith("?"):
            return Result(command, Thought(answer="There is one mug."), "There is one mug.", False, (), 0.0, seconds)
        if "banana" in command:
            thought = Thought(target="banana", answer="I do not see a banana.", reasoning="I see a mug.")
            return Result(command, thought, thought.answer, False, (), 0.1, seconds, ErrorCode.NOT_FOUND)
        if on_progress is not None:
            on_progress(Stage.SEGMENTING, "")
            time.sleep(self.token_s)
        attributes = Attributes("red", "cylinder with a handle", "front left")
        thought = Thought("red mug", attributes, "The red mug.", "I see a red mug.", True)
        return Result(command, thought, thought.answer, True, (make_segment(red_mask(rgb)),), 0.97, seconds)

    def follow(self, last: Result, *, gap_s: float = 0.1) -> Result:
        self.threads.add(threading.current_thread().name)
        assert last.found and self.image_shape is not None
        self.followed.append((last, gap_s))
        time.sleep(self.follow_s)
        segment = make_segment(red_mask(self.images[-1]))
        seconds = {"encode": 0.0, "reason": 0.0, "segment": 0.0}
        if not segment.mask.any():
            return Result(last.command, last.thought, last.answer, False, (), 0.1, seconds, ErrorCode.NOT_FOUND)
        return Result(last.command, last.thought, last.answer, True, (segment,), 0.97, seconds)

    def segment_prompt(self, *, points: Any = None, labels: Any = None, box: Any = None) -> Segment:
        from llavaseg_ros.pipeline import check_prompt

        self.threads.add(threading.current_thread().name)
        assert self.image_shape is not None
        points, labels, box = check_prompt(points, labels, box, self.image_shape)
        mask = np.zeros(self.image_shape, np.bool_)
        if box is not None:
            x0, y0, x1, y1 = box.astype(int)
            mask[y0:y1, x0:x1] = True
        else:
            x, y = points[0].astype(int)
            mask[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = True
        return make_segment(mask)

    def describe(self) -> dict[str, Any]:
        return {"name": "scripted"}
