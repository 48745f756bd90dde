# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The wait for subscribers that do not have the last answer yet."""

from __future__ import annotations

import itertools
import time
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


def test_a_busy_subscriber_is_waited_for_without_the_lock_of_the_interpreter() -> None:
    publisher = Publisher(acknowledged_from=5)
    Outputs(None)._make_room(publisher)  # type: ignore[arg-type]
    assert publisher.asked == 5


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
