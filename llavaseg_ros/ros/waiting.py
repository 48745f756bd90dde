# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The jobs that wait for the model, and what a new one does to those before it. Free of rclpy; not thread-safe."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from llavaseg_ros.errors import ModelNotReady
from llavaseg_ros.ros.jobs import Busy, Job, Preempted

REPLACED = "a newer command replaced this one (queue.policy is replace)"


class Policy(str, Enum):
    """What happens to a new command while another one runs."""

    REPLACE = "replace"  # the new one wins; running and waiting ones end as preempted
    REJECT = "reject"  # the new one is refused
    QUEUE = "queue"  # the new one waits in line


class Line:
    """First come, first served. policy, depth: as the parameters queue.policy and queue.depth. closed: takes nobody.
    stopped_at: when the newest stop came (monotonic, s); takes nobody who came before it.
    """

    def __init__(self) -> None:
        self.policy = Policy.REPLACE
        self.depth = 8
        self.closed = False
        self.stopped_at = -math.inf
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job, running: Job | None, arrived: float = math.inf) -> list[Job]:
        """Put a job at the end. running: the one that the model works on; it is told to stop when it is replaced.
        arrived: when the job's command came (monotonic, s).

        One that has ended keeps nobody out: whoever has its answer may send the next command at once, though the
        model's thread is still at the end of it.
        Returns those that lost their place, for the caller to end. Raises ModelNotReady, Preempted or Busy when the
        job is not taken.
        """
        if self.closed:
            raise ModelNotReady("the node is not active any more")
        if arrived <= self.stopped_at:
            raise Preempted("stopped: a stop came after this command")
        if self.policy is Policy.REJECT and (self._jobs or (running is not None and not running.ended)):
            raise Busy("the model is busy with another command (queue.policy is reject)")
        if self.policy is Policy.QUEUE and len(self._jobs) >= self.depth:
            raise Busy(f"{len(self._jobs)} commands are waiting already (queue.depth is {self.depth})")
        replaced: list[Job] = []
        if self.policy is Policy.REPLACE:
            replaced = self.clear()
            if running is not None:
                running.cancel(Preempted(REPLACED))
        self._jobs.append(job)
        return replaced

    def take(self) -> Job | None:
        """The next one, None if nobody waits."""
        return self._jobs.popleft() if self._jobs else None

    def remove(self, job: Job) -> bool:
        """Take one out. False if it does not wait."""
        waits = job in self._jobs
        if waits:
            self._jobs.remove(job)
        return waits

    def clear(self) -> list[Job]:
        """Take all of them out."""
        jobs = list(self._jobs)
        self._jobs.clear()
        return jobs

    def late(self) -> list[Job]:
        """Take those out that have a reason to end, as one whose time is over has."""
        late = [job for job in self._jobs if job.reason is not None]
        for job in late:
            self._jobs.remove(job)
        return late
