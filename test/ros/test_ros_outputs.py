# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The wait for subscribers that do not have the last answer yet."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any

import pytest

from llavaseg_ros.ros import outputs
from llavaseg_ros.ros.outputs import Outputs


class Publisher:
    """Acknowledged from the given question on. Like rclpy's, a wait of its own would let no other thread run."""

    def __init__(self, acknowledged_from: float) -> None:
        self.asked = 0
        self._from = acknowledged_from

    def wait_for_all_acked(self, timeout: Any) -> bool:
        assert timeout.nanoseconds == 0
        self.asked += 1
        return self.asked >= self._from


def test_a_busy_subscriber_is_waited_for_without_the_lock_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "ACKNOWLEDGE_S", 60.0)  # this machine may be busy, too
    publisher = Publisher(acknowledged_from=5)
    Outputs(None)._make_room(publisher)  # type: ignore[arg-type]
    assert publisher.asked == 5


@pytest.mark.parametrize("acknowledged_from", [5, float("inf")])
def test_the_last_answer_is_handed_over(monkeypatch: pytest.MonkeyPatch, acknowledged_from: float) -> None:
    """A publisher that leaves takes along what its subscribers do not have yet."""
    clock, warnings = itertools.count(100.0, 0.03), []
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    log = SimpleNamespace(warning=warnings.append)
    room, publisher = Outputs(SimpleNamespace(get_logger=lambda: log)), Publisher(acknowledged_from)  # type: ignore[arg-type]
    room.hand_over()  # before there are publishers
    room._publishers["answer"] = publisher
    room.hand_over()
    hangs = acknowledged_from == float("inf")
    assert (publisher.asked == 5) != hangs and len(warnings) == hangs
    assert publisher.asked < 2 * outputs.HAND_OVER_S / 0.03


def test_one_that_hangs_is_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100.0, 0.03)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    room, publisher = Outputs(None), Publisher(acknowledged_from=float("inf"))  # type: ignore[arg-type]
    room._make_room(publisher)
    asked = publisher.asked
    assert 1 < asked < 10
    room._make_room(publisher)
    assert publisher.asked == asked
    clock = itertools.count(100.0 + outputs.IMPATIENT_S + 1, 0.03)
    room._make_room(publisher)
    assert publisher.asked > asked
