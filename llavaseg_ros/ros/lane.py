# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A thread that works for the model worker, its signs of life, and what it means to be left behind. Free of rclpy.

A thread that hangs inside a model cannot be ended. It can be left behind: it is a daemon, nobody waits for it, and what
it still brings back is thrown away. Another lane, with a model of its own, takes over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llavaseg_ros.errors import ErrorCode, LLaVASegError

LOADING, FOLLOWING = "LOADING", "FOLLOWING"  # the other stages are those of `types.Stage`


class StageTimeout(LLaVASegError):
    """A stage gave no sign of life for longer than it may, and was abandoned."""

    code = ErrorCode.TIMEOUT


@dataclass(frozen=True)
class WatchLimits:
    """How long a stage may go on without a sign of life, in seconds; 0 = for ever. load_s: of LOADING, stage_s: of the
    others."""

    stage_s: float = 0.0
    load_s: float = 0.0

    def of(self, stage: str) -> float:
        """The limit of a stage."""
        return self.load_s if stage == LOADING else self.stage_s


class Pulse:
    """What a thread is at, and its signs of life. Written by that thread only; the watchdog looks at it."""

    def __init__(self) -> None:
        self.stage = ""
        """"" while the thread waits for work."""
        self.beats = 0

    def enter(self, stage: str) -> None:
        """A stage begins, or goes on; "" = nothing is to be done."""
        self.beats += 1  # first, so that whoever sees the stage sees its beginning, too
        self.stage = stage

    def beat(self) -> None:
        """A sign of life: a token has come, or somebody was asked whether to go on."""
        self.beats += 1


class Lane:
    """One thread. model, running: what it has in its hands. left: it was left behind, and must touch nothing."""

    def __init__(self, name: str, work: Callable[[Lane], None]) -> None:
        self.pulse = Pulse()
        self.model: Any = None
        self.running: Any = None
        self.load_done: Callable[[], None] | None = None
        self.left = False
        self._silent_s = 0.0
        self._beats = 0
        self._thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """The thread has not ended."""
        return self._thread.is_alive()

    def silent_s(self, step_s: float) -> float:
        """Seconds without a sign of life, 0 while there is nothing to do. step_s: seconds since the last call.

        Adds up the watchdog's own steps and reads no clock, so that a time in which the whole process stood still (a
        debugger, SIGSTOP, a machine that slept) is not taken for a silence of this thread.
        """
        beats = self.pulse.beats
        if beats != self._beats or not self.pulse.stage:
            self._beats, self._silent_s = beats, 0.0
        else:
            self._silent_s += step_s
        return self._silent_s

    def came_back(self) -> bool:
        """There was a sign of life since the last `silent_s`, or there is nothing to do."""
        return self.pulse.beats != self._beats or not self.pulse.stage
