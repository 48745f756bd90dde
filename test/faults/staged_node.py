# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The real node around a scripted model that stays in a stage when it is told to, as a process of its own.

A command "stay in STAGE" stays in that stage: reasoning polls for a cancel as a language model does at every token,
the others do not, as a library's computation does not. An image whose first pixel is blue stays in encoding. With the
parameter model:=stay the node stays in loading. "stage STAGE" on the standard output says that it is there. With
"soon" (and BLUE_SOON) in place of "stay" the stage is done a moment after the node was told to end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))

from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.errors import Cancelled
from llavaseg_ros.nodes.llavaseg_node import NODE_NAME, LLaVASegNode
from llavaseg_ros.ros.models import Wanted
from llavaseg_ros.ros.process import run_node
from llavaseg_ros.types import Result

STAY_S = 60.0
MOMENT_S = 0.1
BLUE, BLUE_SOON = (0, 0, 255), (0, 0, 254)

leaving = threading.Event()


def stay(stage: str, soon: bool, should_cancel: Callable[[], bool] = lambda: False) -> None:
    """Be in the stage for a minute, or until the command is canceled; soon: or until the node is told to end."""
    print(f"stage {stage}", flush=True)
    if soon and leaving.wait(STAY_S):
        time.sleep(MOMENT_S)
        return
    end = time.monotonic() + STAY_S
    while time.monotonic() < end:
        if should_cancel():
            raise Cancelled("canceled")
        time.sleep(0.005)


def stays(command: str, stage: str) -> bool:
    """The command is to stay in this stage."""
    return command in (f"stay in {stage}", f"soon in {stage}")


class StagedPipeline(ScriptedPipeline):
    """See the module's text."""

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        self.images.clear()
        super().set_image(rgb, quick=quick)
        if tuple(rgb[0, 0]) in (BLUE, BLUE_SOON):
            stay("encoding", tuple(rgb[0, 0]) == BLUE_SOON)

    def segment(self, command: str, *, should_cancel: Any = None, **arguments: Any) -> Result:
        for stage, poll in (("reasoning", should_cancel), ("segmenting", lambda: False)):
            if stays(command, stage):
                stay(stage, command.startswith("soon") and stage != "reasoning", poll)
        return super().segment(command, should_cancel=should_cancel, **arguments)

    def follow(self, last: Result, *, gap_s: float = 0.1) -> Result:
        if stays(last.command, "following"):
            stay("following", last.command.startswith("soon"))
        return super().follow(last, gap_s=gap_s)


def load(wanted: Wanted) -> StagedPipeline:
    """The pipeline; it does not come with the model `stay`."""
    if wanted.model in ("stay", "soon"):
        stay("loading", wanted.model == "soon")
    return StagedPipeline(tokens=1)


class StagedNode(LLaVASegNode):
    """The node; lifting stays, too."""

    def __init__(self) -> None:
        super().__init__(loader=load)
        lift = self.lifter.lift

        def staying(masks: Any, *arguments: Any, **options: Any) -> Any:
            if stays(masks.command, "lifting"):
                stay("lifting", masks.command.startswith("soon"))
            return lift(masks, *arguments, **options)

        self.lifter.lift = staying  # type: ignore[method-assign]

    def close(self) -> bool:
        """The node's end."""
        leaving.set()
        return super().close()


if __name__ == "__main__":
    raise SystemExit(run_node(StagedNode, None, name=NODE_NAME, threads=5))
