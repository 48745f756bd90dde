# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The real node around a scripted model, as a module that the demo can start: it finds a box in the middle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from llavaseg_ros.errors import BadReply
from llavaseg_ros.nodes.llavaseg_node import NODE_NAME, LLaVASegNode
from llavaseg_ros.ros.process import run_node
from llavaseg_ros.types import Attributes, Result, Segment, Stage, Thought


class MiddleModel:
    """Finds the middle of the image; knows no candle; answers questions; cannot reply to the word "mumble"."""

    def __init__(self) -> None:
        self.image_shape = (0, 0)

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        self.image_shape = rgb.shape[:2]

    def reset_image(self) -> None:
        self.image_shape = (0, 0)

    def warm_up(self) -> None:
        """Nothing is made lazily here."""

    def describe(self) -> dict[str, Any]:
        return {"name": "scripted"}

    def segment(self, command: str, *, on_progress: Callable[[Stage, str], None] | None = None, **_: Any) -> Result:
        if on_progress is not None:
            on_progress(Stage.REASONING, "I look")
            on_progress(Stage.SEGMENTING, "I see")
        if "mumble" in command:
            raise BadReply("the reply could not be read", raw="hmpf")
        if command.endswith("?"):
            return Result(command, Thought(answer="There are eight."), "There are eight.", False, (), 0.0, {})
        found = "candle" not in command
        words = Attributes("red", "box", "middle")
        thought = Thought("red box", words, "Here it is." if found else "I see no candle.", found=found)
        mask = np.zeros(self.image_shape, bool)
        height, width = self.image_shape
        mask[height // 4 : height // 2, width // 4 : width // 2] = True
        segments = (Segment(mask, 0.9, (0, 0, 1, 1)),) if found else ()
        return Result(command, thought, thought.answer, found, segments, 0.9, {})


if __name__ == "__main__":
    make = partial(LLaVASegNode, loader=lambda wanted: MiddleModel())
    raise SystemExit(run_node(make, None, name=NODE_NAME, threads=4))
