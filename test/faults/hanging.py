# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scripted models that hang in a stage until a test lets them go, and a shelf that makes a new one for each load."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from ros_harness import WAIT_S, wait_until
from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.ros.models import Wanted
from llavaseg_ros.ros.worker import ModelState
from llavaseg_ros.types import Result

NEVER_S = 3600.0


class Gate:
    """What a thread hangs at. inside: set while it does."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.open = threading.Event()

    def wait(self) -> None:
        self.inside.set()
        assert self.open.wait(WAIT_S), "the test never let it go"


class HangingPipeline(ScriptedPipeline):
    """Hangs in one of LOADING (its warm-up), ENCODING, REASONING, SEGMENTING and FOLLOWING, without a poll."""

    def __init__(self, stage: str, gate: Gate) -> None:
        super().__init__()
        self.stage, self.gate = stage, gate

    def _at(self, stage: str) -> None:
        if self.stage == stage:
            self.gate.wait()

    def warm_up(self) -> None:
        super().warm_up()
        self._at("LOADING")

    def set_image(self, rgb: np.ndarray, *, quick: bool = False) -> None:
        self._at("ENCODING")
        super().set_image(rgb, quick=quick)

    def segment(self, command: str, **arguments: Any) -> Result:
        self._at("REASONING")
        return super().segment(command, **arguments)

    def result(self, command: str, rgb: np.ndarray, on_progress: Any = None) -> Result:
        done = super().result(command, rgb, on_progress)
        self._at("SEGMENTING")
        return done

    def follow(self, last: Result, *, gap_s: float = 0.1) -> Result:
        found = super().follow(last, gap_s=gap_s)
        self._at("FOLLOWING")
        return found


class Shelf:
    """A loader. The first `hanging` models hang in `stage`, each at a gate of its own; the others are sound."""

    def __init__(self, stage: str = "", hanging: int = 1) -> None:
        self.stage, self.hanging = stage, hanging
        self.loads = 0
        self.gates = [Gate() for _ in range(hanging)]

    def __call__(self, wanted: Wanted) -> ScriptedPipeline:
        self.loads += 1
        if self.loads <= self.hanging:
            return HangingPipeline(self.stage, self.gates[self.loads - 1])
        return ScriptedPipeline()

    def let_go(self, stack: Any) -> None:
        """Every thread that hangs goes on, and comes to its end."""
        for gate in self.gates:
            gate.open.set()
        wait_until(lambda: stack.node.worker.overruns.stuck == 0, what="the end of the threads that were left behind")


def overrun(stack: Any, name: str = "stage_timeout_s") -> None:
    """Have the watchdog find what hangs now. Its limit is short only for this, so that a machine that is slow for a
    moment hangs nowhere else."""
    before = stack.node.worker.overruns.count
    set_limit(stack, name, 0.2)
    wait_until(lambda: stack.node.worker.overruns.count > before, what="the watchdog")
    set_limit(stack, name, NEVER_S)


def set_limit(stack: Any, name: str, seconds: float) -> None:
    assert stack.node.set_parameters([stack.parameter(f"watchdog.{name}", seconds)])[0].successful


def wait_for(stack: Any, state: ModelState) -> None:
    wait_until(lambda: stack.node.worker.state is state, what=f"the model to be {state.value}")
