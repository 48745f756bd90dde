# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stages that were abandoned, the threads that hang in them, and when to give up. Free of rclpy."""

from __future__ import annotations

from llavaseg_ros.ros.lane import LOADING, Lane

# So many overruns with no command that worked between them, or so many threads that hang at once: no further model is
# loaded beside those that hang.
MAX_OVERRUNS = 3
HELPS = "deactivate and activate the node to try again, or restart it, which frees what hung threads hold"


class Overruns:
    """count: so far. last: what the last one was, "" if there was none."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self._in_a_row = 0
        self._left: list[Lane] = []

    @property
    def stuck(self) -> int:
        """Threads that were left behind and have not come back. Each may hold a model in memory, and a core."""
        return sum(lane.alive for lane in self._left)

    def note(self, lane: Lane, what: str) -> None:
        """A lane was left behind."""
        self.count += 1
        self._in_a_row += 1
        self.last = what
        self._left = [one for one in self._left if one.alive] + [lane]

    def forgive(self) -> None:
        """A command has worked, or somebody looks after the node: a row of overruns is over."""
        self._in_a_row = 0

    def hopeless(self, stage: str) -> str:
        """Why the model should not be loaded once more after the last one, which was in this stage; "" if it should."""
        if stage == LOADING:
            return f"{self.last}: {HELPS}"
        if self._in_a_row >= MAX_OVERRUNS:
            return f"{self.last}, the last of {self._in_a_row} overruns in a row: {HELPS}"
        if self.stuck >= MAX_OVERRUNS:
            return f"{self.last}, and {self.stuck} threads hang: {HELPS}"
        return ""
