# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The edges of the rule which frame is fresh: exactly at a limit, no stamp, time that jumps. No ROS in here."""

from __future__ import annotations

import threading

import pytest

from llavaseg_ros.errors import NoImage, StaleImage
from llavaseg_ros.ros.freshness import FUTURE_TOLERANCE_NS, JUMP_BACK_NS, NS, FrameStore, stamp_text

NOW = 1_000 * NS


def filled(*stamps_ns: int, size: int = 10) -> FrameStore:
    frames = FrameStore(size)
    for number, stamp_ns in enumerate(stamps_ns):
        frames.put(number, stamp_ns, NOW)
    return frames


class Clock:
    """A monotonic clock that goes on by a step whenever it is read."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step = 100.0, step_s

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.mark.parametrize("stamp_ns", [NOW, NOW - JUMP_BACK_NS])
def test_a_stamp_that_is_late_by_a_second_is_only_late(stamp_ns: int) -> None:
    frames = filled(NOW, stamp_ns)
    assert len(frames) == 2 and frames.newest is not None
    assert frames.newest.msg == (1 if stamp_ns == NOW else 0), "of two frames with one stamp the later counts"


def test_a_stamp_that_is_late_by_more_is_time_that_jumped_back() -> None:
    frames = filled(NOW, NOW - 5, NOW - JUMP_BACK_NS - 1)
    assert len(frames) == 1 and frames.newest is not None and frames.newest.msg == 2
    frames = filled(NOW, 1)
    assert len(frames) == 1, "the first nanosecond of a simulation is a stamp as any other"


def test_a_frame_without_a_stamp_is_the_newest_and_no_jump() -> None:
    frames = filled(NOW, 0)
    assert len(frames) == 2 and frames.newest is not None and frames.newest.msg == 1
    assert frames.put("a", 0, NOW).age_s(NOW + NS) == 1.0
    assert frames.put("b", 1, NOW).age_s(NOW) == pytest.approx(1000.0)
    # One nanosecond is a stamp: it does not make a frame the newest.
    frames = filled(5)
    frames.put("b", 1, NOW)
    assert frames.newest is not None and frames.newest.msg == 0


def test_a_frame_is_given_back_numbered_and_announced() -> None:
    frames = FrameStore()
    counts: list[int] = []
    frames.on_new = lambda: counts.append(frames.count)
    first, second = frames.put("a", 1, NOW), frames.put("b", 2, NOW + 1)
    assert (first.msg, first.stamp_ns, first.arrived_ns, first.number) == ("a", 1, NOW, 1)
    assert second.number == 2 and counts == [1, 2]


def test_a_ring_holds_ten_frames_and_never_none() -> None:
    assert len(filled(*range(1, 20), size=10)) == 10
    frames = FrameStore()
    for number in range(20):
        frames.put(number, number + 1, NOW)
    assert len(frames) == 10
    for size in (0, -3, 1):
        assert len(filled(1, 2, 3, size=size)) == 1
        frames.resize(size)
        assert len(frames) == 1 and frames.read_stamp(20, NOW, 0.0).msg == 19
        frames.resize(10)


def test_what_was_cleared_is_not_read_by_its_stamp() -> None:
    frames = filled(NOW, size=4)
    frames.clear()
    assert len(frames) == 0 and frames.newest is None and frames.count == 1
    with pytest.raises(NoImage):
        frames.read_stamp(NOW, NOW, 0.0)


@pytest.mark.parametrize("ahead_ns, fresh", [(FUTURE_TOLERANCE_NS, True), (FUTURE_TOLERANCE_NS + 1000, False)])
def test_clocks_may_differ_by_a_second(ahead_ns: int, fresh: bool) -> None:
    frames = filled(NOW + ahead_ns)
    if fresh:
        assert frames.read_latest(NOW, 1.0).msg == 0
    else:
        with pytest.raises(StaleImage, match="1.00 s in the future"):
            frames.read_latest(NOW, 1.0)


def test_an_error_names_the_frame_that_was_asked_for() -> None:
    frames = filled(NOW - 5 * NS, NOW - 3 * NS)
    with pytest.raises(StaleImage, match=r"^the newest image, stamp 997\.000000000, is 3\.00 s old"):
        frames.read_latest(NOW, 1.0)
    with pytest.raises(StaleImage, match=r"^image with stamp 995\.000000000 is 5\.00 s old"):
        frames.read_stamp(NOW - 5 * NS, NOW, 1.0)
    with pytest.raises(NoImage, match=r"^no depth image has come"):
        FrameStore(1, "depth image").read_latest(NOW, 1.0)


def test_a_stamp_before_the_ring_has_left_it_and_one_between_never_came() -> None:
    frames = filled(NOW, NOW + 10)
    with pytest.raises(StaleImage, match=r"not kept any more: the last 2 are"):
        frames.read_stamp(NOW - 1, NOW, 0.0)
    for stamp_ns in (NOW + 5, NOW + 11):
        with pytest.raises(NoImage, match="no image with stamp .* has come"):
            frames.read_stamp(stamp_ns, NOW, 0.0)


def test_a_negative_or_zero_limit_is_none() -> None:
    frames = filled(1)
    assert frames.read_latest(NOW, 0.0).msg == 0 and frames.read_latest(0, -1.0).msg == 0
    with pytest.raises(StaleImage):
        frames.read_latest(NOW, 1e-9)


def test_waiting_ends_when_its_time_is_over() -> None:
    frames = FrameStore()
    reads: list[int] = []

    def read() -> None:
        reads.append(1)
        raise NoImage("none")

    with pytest.raises(NoImage):
        frames.wait_for(read, 0.0, lambda: False, lambda: 5.0)  # type: ignore[arg-type]
    assert len(reads) == 1, "with no time left, one look"
    clock = Clock(1.0)
    with pytest.raises(NoImage):
        frames.wait_for(read, 3.0, lambda: False, clock)  # type: ignore[arg-type]
    assert 2 <= len(reads) <= 4


def test_waiting_looks_again_at_each_frame_and_not_before_one() -> None:
    """A frame wakes whoever waits; without one the look comes in slices, so that a cancel is seen."""
    frames = FrameStore()
    waits: list[float] = []

    class Changed(threading.Condition().__class__):  # type: ignore[misc]
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return True

    frames._changed = Changed()
    looks = iter([False, False, False, True])
    with pytest.raises(NoImage):
        frames.wait_for(lambda: frames.read_latest(NOW, 1.0), 60.0, lambda: next(looks), lambda: 5.0)
    assert waits == [0.02] * 3
    waits.clear()
    clock = Clock(0.0)

    def cancel() -> bool:
        clock.now += 59.995
        return False

    with pytest.raises(NoImage):
        frames.wait_for(lambda: frames.read_latest(NOW, 1.0), 60.0, cancel, clock)
    assert waits == [pytest.approx(0.005), 0.0], "and no longer than the time that is left"
    waits.clear()

    def read() -> object:
        if frames.count == 0:
            frames.put("meanwhile", NOW, NOW)
            raise NoImage("it came while we looked")
        return frames.read_latest(NOW, 1.0)

    assert frames.wait_for(read, 60.0, lambda: False, lambda: 5.0).msg == "meanwhile"  # type: ignore[arg-type]
    assert not waits, "a frame that came since is not waited for"


def test_a_frame_wakes_whoever_waits() -> None:
    frames = FrameStore()
    with frames._changed:
        threading.Timer(0.05, lambda: frames.put("a", NOW, NOW)).start()
        assert frames._changed.wait(60.0)


def test_a_stamp_is_written_as_ros_writes_it() -> None:
    assert NS == 1_000_000_000
    assert stamp_text(12 * NS + 345) == "12.000000345" and stamp_text(0) == "0.000000000"
