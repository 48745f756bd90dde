# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The newest camera frames, and the rule which of them is fresh enough to act on. Free of rclpy; thread-safe."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llavaseg_ros.errors import NoDepth, NoImage, StaleImage

NS = 1_000_000_000

# A stamp this far ahead of the clock is no network or driver jitter: the clocks differ.
FUTURE_TOLERANCE_NS = NS
# A stamp this far behind the newest one is no reordering: time jumped back (a bag starts again, a simulation is reset).
JUMP_BACK_NS = NS


@dataclass(frozen=True)
class Frame:
    """A message as it came, not converted (`cdr.RawMessage` for a camera's).

    stamp_ns: the header's stamp in nanoseconds, 0 when the driver does not stamp. arrived_ns: the node's clock at its
    arrival. number: counts the frames of one store from 1; no two frames share one.
    """

    msg: Any
    stamp_ns: int
    arrived_ns: int
    number: int

    def age_s(self, now_ns: int) -> float:
        """Seconds since the stamp, or since the arrival of a frame without one. Negative = stamped in the future."""
        return (now_ns - (self.stamp_ns or self.arrived_ns)) / NS


class FrameStore:
    """A ring of the newest frames. `put` only stores; reading raises NoImage or StaleImage in place of guessing."""

    def __init__(self, size: int = 10, what: str = "image") -> None:
        self.what = what
        self._ring: deque[Frame] = deque(maxlen=max(1, size))
        self._newest: Frame | None = None
        self._count = 0
        self._changed = threading.Condition()
        self.on_new: Callable[[], None] = lambda: None
        """Called after each frame, by the thread that put it there. Must return at once."""

    def put(self, msg: Any, stamp_ns: int, now_ns: int) -> Frame:
        """Keep a message. Clears the ring first when time has jumped back. Costs microseconds."""
        with self._changed:
            self._count += 1
            frame = Frame(msg, stamp_ns, now_ns, self._count)
            if self._newest is not None and 0 < stamp_ns < self._newest.stamp_ns - JUMP_BACK_NS:
                self._ring.clear()
                self._newest = None
            self._ring.append(frame)
            if self._newest is None or stamp_ns == 0 or stamp_ns >= self._newest.stamp_ns:
                self._newest = frame
            self._changed.notify_all()
        self.on_new()
        return frame

    @property
    def newest(self) -> Frame | None:
        """The frame with the latest stamp, whatever its age."""
        with self._changed:
            return self._newest

    @property
    def count(self) -> int:
        """How many frames have come so far."""
        return self._count

    def __len__(self) -> int:
        return len(self._ring)

    def resize(self, size: int) -> None:
        """Keep this many frames from now on; the newest stay."""
        with self._changed:
            if size != self._ring.maxlen:
                self._ring = deque(self._ring, maxlen=max(1, size))

    def clear(self) -> None:
        """Forget every frame."""
        with self._changed:
            self._ring.clear()
            self._newest = None

    def read_latest(self, now_ns: int, max_age_s: float) -> Frame:
        """The newest frame, if it is at most `max_age_s` old (0 = any age).

        Raises NoImage before the first frame, StaleImage for an older frame or one from the future.
        """
        frame = self.newest
        if frame is None:
            raise NoImage(f"no {self.what} has come yet: is the camera's topic connected, and its driver running?")
        return self._fresh(frame, now_ns, max_age_s)

    def read_stamp(self, stamp_ns: int, now_ns: int, max_age_s: float) -> Frame:
        """The frame with exactly this stamp. 0 = the newest one.

        Raises StaleImage when it is too old or has left the ring, NoImage when no such frame has come.
        """
        if stamp_ns == 0:
            return self.read_latest(now_ns, max_age_s)
        with self._changed:
            frames = list(self._ring)
        for frame in reversed(frames):
            if frame.stamp_ns == stamp_ns:
                return self._fresh(frame, now_ns, max_age_s)
        wanted = f"{self.what} with stamp {stamp_text(stamp_ns)}"
        if frames and stamp_ns < min(frame.stamp_ns for frame in frames):
            raise StaleImage(f"{wanted} is not kept any more: the last {len(frames)} are (sync.ring_size)")
        raise NoImage(f"no {wanted} has come")

    def wait_for(
        self,
        read: Callable[[], Frame],
        timeout_s: float,
        should_cancel: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> Frame:
        """Call `read` until it gives a frame, at each new frame, for at most `timeout_s`; then let its error through.

        Returns early, with the error, when `should_cancel` says so. Blocks: for the worker thread only.
        """
        end = monotonic() + timeout_s
        while True:
            with self._changed:
                seen = self._count
            try:
                return read()
            except (NoDepth, NoImage, StaleImage):
                if monotonic() >= end or should_cancel():
                    raise
            with self._changed:
                # Short slices, so that a cancel does not wait for the camera; a frame that came since is not missed.
                if self._count == seen:
                    self._changed.wait(min(0.02, max(0.0, end - monotonic())))

    def _fresh(self, frame: Frame, now_ns: int, max_age_s: float) -> Frame:
        if max_age_s <= 0:
            return frame
        age = frame.age_s(now_ns)
        name = f"the newest {self.what}, stamp {stamp_text(frame.stamp_ns)},"
        if frame is not self.newest:
            name = f"{self.what} with stamp {stamp_text(frame.stamp_ns)}"
        if now_ns == 0:
            raise StaleImage(f"{name} cannot be judged: use_sim_time is set and nothing has published /clock yet")
        if age < -FUTURE_TOLERANCE_NS / NS:
            raise StaleImage(
                f"{name} is {-age:.2f} s in the future: the clocks of camera and node differ (use_sim_time?)"
            )
        if age > max_age_s:
            raise StaleImage(f"{name} is {age:.2f} s old; sync.max_image_age_s allows {max_age_s:g} s")
        return frame


def stamp_text(stamp_ns: int) -> str:
    """A stamp as seconds and nanoseconds, as `ros2 topic echo` shows it: "12.000000345"."""
    return f"{stamp_ns // NS}.{stamp_ns % NS:09d}"
