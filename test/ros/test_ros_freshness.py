# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which frame is fresh enough. No ROS in here."""

from __future__ import annotations

import threading
import time

import pytest

from llavaseg_ros.errors import NoImage, StaleImage
from llavaseg_ros.ros.freshness import NS, FrameStore

NOW = 1_000 * NS


def store(*ages_s: float, size: int = 10) -> FrameStore:
    """A store with frames of these ages, put in this order."""
    frames = FrameStore(size)
    for number, age in enumerate(ages_s):
        frames.put(number, NOW - round(age * NS), NOW)
    return frames


def test_nothing_yet() -> None:
    with pytest.raises(NoImage):
        FrameStore().read_latest(NOW, 1.0)
    with pytest.raises(NoImage):
        FrameStore().read_stamp(5, NOW, 1.0)


@pytest.mark.parametrize("age, fresh", [(0.0, True), (0.999, True), (1.0, True), (1.001, False), (-0.9, True)])
def test_age_limit(age: float, fresh: bool) -> None:
    frames = store(age)
    if fresh:
        assert frames.read_latest(NOW, 1.0).msg == 0
    else:
        with pytest.raises(StaleImage, match="1.00 s old"):
            frames.read_latest(NOW, 1.0)
    assert frames.read_latest(NOW, 0.0).msg == 0


def test_future_and_stopped_clock() -> None:
    with pytest.raises(StaleImage, match="5.00 s in the future"):
        store(-5.0).read_latest(NOW, 1.0)
    with pytest.raises(StaleImage, match="/clock"):
        store(0.0).read_latest(0, 1.0)


def test_frame_without_a_stamp_ages_from_its_arrival() -> None:
    frames = FrameStore()
    frames.put("a", 0, NOW)
    assert frames.read_latest(NOW + NS // 2, 1.0).msg == "a"
    with pytest.raises(StaleImage):
        frames.read_latest(NOW + 2 * NS, 1.0)


def test_newest_is_by_stamp_not_by_arrival() -> None:
    frames = store(0.3, 0.1, 0.2)
    assert frames.read_latest(NOW, 1.0).msg == 1
    assert len(frames) == 3 and frames.count == 3


def test_time_that_jumps_back_starts_anew() -> None:
    frames = store(0.1, 50.0)
    assert len(frames) == 1 and frames.newest is not None and frames.newest.msg == 1


def test_by_stamp() -> None:
    frames = store(0.5, 0.4, 0.3, 0.2, size=3)
    stamp = NOW - round(0.3 * NS)
    assert frames.read_stamp(stamp, NOW, 1.0).msg == 2
    assert frames.read_stamp(0, NOW, 1.0).msg == 3
    with pytest.raises(StaleImage, match="not kept any more"):
        frames.read_stamp(NOW - round(0.5 * NS), NOW, 1.0)
    with pytest.raises(NoImage, match="no image with stamp"):
        frames.read_stamp(stamp + 1, NOW, 1.0)
    with pytest.raises(StaleImage, match="old"):
        frames.read_stamp(stamp, NOW, 0.1)


def test_resize_keeps_the_newest() -> None:
    frames = store(0.5, 0.4, 0.3)
    frames.resize(2)
    assert len(frames) == 2 and frames.read_stamp(NOW - round(0.4 * NS), NOW, 1.0).msg == 1
    frames.clear()
    with pytest.raises(NoImage):
        frames.read_latest(NOW, 1.0)


def test_wait_for_a_frame() -> None:
    frames = FrameStore()
    timer = threading.Timer(0.1, lambda: frames.put("late", NOW, NOW))
    timer.start()
    frame = frames.wait_for(lambda: frames.read_latest(NOW, 1.0), 10.0, lambda: False, time.monotonic)
    assert frame.msg == "late"


def test_wait_ends_with_the_error() -> None:
    frames = FrameStore()
    polls = iter([False, False, True])
    with pytest.raises(NoImage):
        frames.wait_for(lambda: frames.read_latest(NOW, 1.0), 0.0, lambda: False, time.monotonic)
    with pytest.raises(NoImage):
        frames.wait_for(lambda: frames.read_latest(NOW, 1.0), 60.0, lambda: next(polls), time.monotonic)
