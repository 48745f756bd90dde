# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The fault suite's observer for hours: it settles its account now and then, and forgets what is settled."""

from __future__ import annotations

import time
from typing import Any

from action_msgs.msg import GoalStatusArray
from invariants import Record, Said, problems
from observer import Observer

SENT_KEPT = 1000  # frames: 33 s of them, more than any answer may be late
VIOLATIONS_KEPT = 100
LOOKS = 4
# Nobody but the visitors listens to these, so that the node starts and stops to make them.
LEFT_TO_VISITORS = ("overlay", "scene_points")


class Account(Observer):
    """An observer whose memory is bounded. violations: what was wrong so far. checked: messages of the node."""

    def __init__(self, namespace: str, domain: int) -> None:
        self.violations: list[str] = []
        self.checked = 0
        self._goals_settled: set[str] = set()
        self._looks = 0
        self._since = 0  # of the newest settlement, ns
        # Sent reliably and before its image: a frame that was lost on the way to us was sent all the same.
        super().__init__(namespace, domain, camera_info="camera_info")

    def settle(self) -> None:
        """Check what came since the last time, and forget it. To be called when no command waits for its answer.

        What looks wrong may still be on its way to us: it is looked at again the next times, and then it counts.
        """
        with self._lock:
            self._leave_out_the_rest()
            found = list(dict.fromkeys(problems(self.record)))
            if self.record.lost["answer"]:  # what did not reach us cannot be counted
                found = [text for text in found if "final answer" not in text]
            if found and self._looks < LOOKS:
                self._looks += 1
                return
            record, self.record, self._looks, self._since = self.record, Record(), 0, time.time_ns()
            self.record.sent.update(list(record.sent.items())[-SENT_KEPT:])
            self.record.transitions.extend(record.transitions)
            self._goals_settled.update(record.goals)
            self.answers.clear()
        self.checked += len(record.outputs)
        self.violations += found[: max(0, VIOLATIONS_KEPT - len(self.violations))]

    def _leave_out_the_rest(self) -> None:
        """Followed frames go on all the time: of one that went out during the last settlement a part was settled then,
        and the rest came later. What is whole begins with the first points of a frame that were written since."""
        outputs = self.record.outputs
        whole = min((out.at for out in outputs if out.topic == "target_points" and out.at >= self._since), default=None)
        if whole is not None:
            self.record.outputs = [out for out in outputs if isinstance(out, Said) or out.at >= whole]

    def finish(self) -> None:
        """The last account: a second between two looks."""
        while self.record.outputs:
            self.settle()
            time.sleep(1.0 if self._looks else 0.0)

    def _subscribe(self, topic: str, *arguments: Any, **options: Any) -> Any:
        if topic.endswith(LEFT_TO_VISITORS):
            return None
        return super()._subscribe(topic, *arguments, **options)

    def _take_goals(self, msg: GoalStatusArray, at: int, topic: str) -> None:
        super()._take_goals(msg, at, topic)  # the topic names old goals again and again
        for key in self._goals_settled & self.record.goals.keys():
            del self.record.goals[key]
