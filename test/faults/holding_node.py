# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The real node around a scripted model that stays in C: with the interpreter's lock for a while, or without it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))

from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.nodes.llavaseg_node import NODE_NAME, LLaVASegNode
from llavaseg_ros.ros.process import run_node

HOLD_US = 2_000_000
LONG_S = 600


def stay(command: str, _: Any) -> None:
    """A PyDLL keeps the interpreter's lock while it is in C, a CDLL lets it go, as torch does."""
    if command == "hold the interpreter":
        ctypes.PyDLL(None).usleep(HOLD_US)
    elif command.startswith("hang"):
        print(f"in C: {command}", flush=True)
        ctypes.CDLL(None).sleep(LONG_S)


class HoldingNode(LLaVASegNode):
    """A new model for each load."""

    def __init__(self) -> None:
        super().__init__(loader=lambda _: ScriptedPipeline(tokens=1, on_segment=stay))


if __name__ == "__main__":
    raise SystemExit(run_node(HoldingNode, None, name=NODE_NAME, threads=5))
