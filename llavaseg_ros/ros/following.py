# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Follow mode: after a command that found a target, every new camera frame gets its mask without the language model.

Work for the worker's thread when nothing else waits for it (`jobs.IdleWork`): commands go before, frames that came
meanwhile are dropped and counted, the newest is served. Knows messages, but neither a node nor a publisher.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from std_msgs.msg import Header

from llavaseg_ros.errors import Cancelled, NoImage, StaleImage
from llavaseg_ros.msg import TargetMaskArray
from llavaseg_ros.ros import messages
from llavaseg_ros.ros.commands import CommandRunner, Held, Outcome, Request
from llavaseg_ros.ros.freshness import NS, Frame, FrameStore
from llavaseg_ros.ros.jobs import as_error
from llavaseg_ros.ros.lane import Pulse
from llavaseg_ros.ros.lifting import Geometry
from llavaseg_ros.types import Result

log = logging.getLogger(__name__)

Publish = Callable[[TargetMaskArray, Geometry, np.ndarray, Result], None]
"""Called in the worker's thread with the masks of one frame, where they are, its RGB image, and the core's result."""


@dataclass(frozen=True)
class FollowLimits:
    """The parameters that following obeys, as they were when a frame was looked at."""

    enabled: bool
    relook_after_s: float
    max_image_age_s: float
    timeout_s: float


@dataclass
class Target:
    """What is followed. last: the newest result that was found, on a frame of the time seen_ns.

    lost_at: when it was lost; relook_at: when reasoning is due. Both on the monotonic clock, None while it is seen.
    """

    request: Request
    last: Result
    seen_ns: int
    lost_at: float | None = None
    relook_at: float | None = None


class Following:
    """What is followed, and the next step of it. See the module's text.

    preempted: whether the worker is wanted elsewhere; polled while reasoning runs again. wake: has the worker ask for
    work. publish must not block for long: `close` waits for it. wants_scene: whether anybody takes scene_points.
    """

    def __init__(
        self,
        frames: FrameStore,
        runner: CommandRunner,
        *,
        now_ns: Callable[[], int],
        limits: Callable[[], FollowLimits],
        preempted: Callable[[], bool],
        wake: Callable[[], None],
        publish: Publish,
        wants_scene: Callable[[], bool],
    ) -> None:
        self._frames, self._runner, self._wants_scene = frames, runner, wants_scene
        self._now_ns, self._limits, self._preempted, self._wake = now_ns, limits, preempted, wake
        self._publish = publish
        self._target: Target | None = None
        self._open = False
        self._served = 0
        self.epoch = 0
        """Of what is asked for before it grew by one, nothing is followed."""
        # Held while masks go out, so that none does once `close` has returned.
        self._lock = threading.Lock()
        self.followed = self.dropped = 0

    @property
    def state(self) -> str:
        """off (or not active), idle (nothing to follow yet), following, lost."""
        target = self._target
        if not self._open or not self._limits().enabled:
            return "off"
        if target is None:
            return "idle"
        return "following" if target.lost_at is None else "lost"

    @property
    def lost_s(self) -> float:
        """Seconds since the target was lost; 0 while it is seen, or nothing is followed."""
        target = self._target
        lost_at = None if target is None else target.lost_at
        return 0.0 if lost_at is None else time.monotonic() - lost_at

    def open(self) -> None:
        """The node is active: commands that find a target from now on are followed."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        """Forget what is followed. Nothing is published when this has returned, until `open`."""
        with self._lock:
            self._open, self._target = False, None
            self.epoch += 1

    def forget(self) -> None:
        """Follow nothing until a target is found by a command that comes after this. Nothing is published when this has
        returned."""
        with self._lock:
            self._target = None
            self.epoch += 1

    def new_model(self) -> None:
        """Another model serves: it reasons by itself about the command that is followed.

        The target is another object from then on: what a thread brings that was left behind belongs to the old one.
        """
        with self._lock:
            if self._target is not None:
                self._target = replace(self._target, relook_at=time.monotonic())

    def new_frame(self) -> None:
        """A frame has come. Called by the image callback: costs microseconds."""
        if self._target is not None:
            self._wake()

    def holds_masks(self, outcome: Outcome) -> bool:
        """A plain question was answered while a target is followed: its empty masks must not wipe the target's."""
        question = outcome.result is not None and outcome.result.thought.is_question
        return question and self.state in ("following", "lost")

    def command_ended(self, request: Request, outcome: Outcome, epoch: int) -> None:
        """Follow the target that a command found; also while following is off, for when it is switched on.

        One that cleared the masks (not found, failed) ends the following: else the old target would come out as if it
        were the answer. A plain question does not, nor does a goal with an image of its own, nor a preempted command.
        epoch: as it was when the command came.
        """
        if outcome.masks is None or request.image is not None:
            return
        result = outcome.result
        if result is not None and result.thought.is_question:
            return
        with self._lock:
            if epoch != self.epoch:
                return
            self._target = None
            if self._open and result is not None and request.frame is not None and outcome.masks.targets:
                frame, newest = request.frame, self._frames.newest
                # What came while the command ran is no frame that following dropped.
                self._served = max(frame.number, newest.number - 1 if newest is not None else 0)
                self._target = Target(request, result, _time_ns(frame))

    def ready(self) -> bool:
        """There is a target and a frame that has not been looked at. In the worker's thread, under its lock."""
        newest = self._frames.newest if self._target is not None else None
        return newest is not None and newest.number > self._served and self._limits().enabled

    def run(self, model: Any, pulse: Pulse) -> None:
        """Look at the newest frame. In the worker's thread."""
        target, limits, newest, held = self._target, self._limits(), self._frames.newest, self._runner.held
        if target is None or newest is None:
            return
        before, self._served = self._served, newest.number
        try:
            frame = self._frames.read_latest(self._now_ns(), limits.max_image_age_s)
            self._served = frame.number
            self.dropped += max(0, frame.number - before - 1)
            rgb, header = self._runner.encode(model, frame, held)
        except (NoImage, StaleImage):
            return
        except Exception as raised:
            log.warning("follow: a frame cannot be looked at: %s", as_error(raised))
            with self._lock:
                self.dropped += self._target is target
            return
        result = self._look(model, target, frame, rgb, limits, held, pulse)
        masks, geometry = self._place(target, result, header, rgb)
        with self._lock:
            if self._target is target and self._limits().enabled:
                self._note(target, frame, result, limits)
                self._publish(masks, geometry, rgb, result or target.last)

    def _look(
        self,
        model: Any,
        target: Target,
        frame: Frame,
        rgb: np.ndarray,
        limits: FollowLimits,
        held: Held,
        pulse: Pulse,
    ) -> Result | None:
        """The target on the frame that is encoded; None when it is not there. Reasons again when that is due."""
        try:
            result = None
            with self._runner.watching(model, held):
                if target.lost_at is not None or target.relook_at is None:
                    gap_s = max(0.0, (_time_ns(frame) - target.seen_ns) / NS)
                    result = _checked(model.follow(target.last, gap_s=gap_s), rgb)
                if result is None and target.relook_at is not None and time.monotonic() >= target.relook_at:
                    result = self._relook(model, target, rgb, limits, pulse)
        except Cancelled:
            return None
        except Exception as raised:
            log.warning("follow: %s", as_error(raised))
            return None
        return result

    def _relook(
        self, model: Any, target: Target, rgb: np.ndarray, limits: FollowLimits, pulse: Pulse
    ) -> Result | None:
        """The same command again. Ends as soon as the worker is wanted elsewhere, or the target is not wanted."""
        end = time.monotonic() + limits.timeout_s

        def should_cancel() -> bool:
            over = (
                self._preempted()
                or self._target is not target
                or not self._limits().enabled
                or time.monotonic() > end
            )
            if not over:
                pulse.beat()
            return over

        log.info("follow: looking again for %r", target.request.text[:80])
        try:
            result = model.segment(
                target.request.text,
                history=target.request.history,
                last=target.request.last,
                max_targets=1,
                should_cancel=should_cancel,
            )
        finally:
            target.relook_at = None  # and again after the same time
        return _checked(result, rgb)

    def _note(self, target: Target, frame: Frame, result: Result | None, limits: FollowLimits) -> None:
        self.followed += 1
        if result is not None:
            if target.lost_at is not None:
                log.info("follow: %r is found again after %.1f s", result.thought.target, self.lost_s)
            target.last, target.seen_ns = result, _time_ns(frame)
            target.lost_at = target.relook_at = None
            return
        now = time.monotonic()
        if target.lost_at is None:
            log.info("follow: %r is lost", target.last.thought.target)
            target.lost_at = now
        if target.relook_at is None and limits.relook_after_s > 0:
            target.relook_at = now + limits.relook_after_s

    def _place(
        self, target: Target, result: Result | None, header: Header, rgb: np.ndarray
    ) -> tuple[TargetMaskArray, Geometry]:
        """One target with id 1, the one whose mask `follow` is given; or none, so that no old mask passes for new."""
        request, kept = target.request, 0 if result is None else 1
        found = result or target.last
        masks = messages.target_masks(found, header, request.command_id, max_targets=kept)
        masks.command = messages.clean(request.text)
        segments = messages.targets_of(found, kept)
        geometry = self._runner.lifter.lift(
            masks, segments, rgb, scene=self._wants_scene(), should_cancel=self._preempted
        )
        return masks, geometry


def _checked(result: Result, rgb: np.ndarray) -> Result | None:
    """The result if it has a mask. Raises LLaVASegError when it must not reach a planner."""
    messages.check_result(result, (rgb.shape[0], rgb.shape[1]))
    return result if result.found and result.segments[0].mask.any() else None


def _time_ns(frame: Frame) -> int:
    return frame.stamp_ns or frame.arrived_ns
