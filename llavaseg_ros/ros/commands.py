# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What happens to one command once it is the model's turn: choose a frame, encode it if it is a new one, then segment.

Runs in the worker's thread only. Knows messages, but neither a node nor a publisher.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.errors import BadRequest, Cancelled, ErrorCode, LLaVASegError
from llavaseg_ros.msg import Answer, TargetMask, TargetMaskArray
from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.ros import messages
from llavaseg_ros.ros.cdr import RawMessage
from llavaseg_ros.ros.convert import to_rgb
from llavaseg_ros.ros.freshness import Frame, FrameStore
from llavaseg_ros.ros.jobs import CommandTimeout, Job
from llavaseg_ros.ros.lifting import Geometry, Lifter
from llavaseg_ros.ros.sessions import Sessions
from llavaseg_ros.ros.waiting import Policy
from llavaseg_ros.types import Referent, Result, Stage

# Answers on the way are for people: a few a second are enough.
PARTIAL_ANSWER_PERIOD_S = 0.2


@dataclass(frozen=True)
class Limits:
    """The parameters that a command obeys, as they were when it was looked at."""

    max_targets: int
    timeout_s: float
    policy: Policy
    queue_depth: int
    max_image_age_s: float
    wait_for_image_s: float
    history_length: int
    partial_answers: bool


@dataclass
class Request:
    """One command, from a topic or from the action. The fields from `header` on are filled in when its frame is known.

    image: the image that came with the goal; None = a camera frame, the one with `image_stamp_ns` (0 = the newest).
    feedback: called with (stage, partial text) from the worker's thread.
    """

    command_id: str
    text: str
    session_id: str = ""
    image: Image | None = None
    image_stamp_ns: int = 0
    max_targets: int = 1
    want_geometry: bool = False
    feedback: Callable[[Stage, str], None] | None = None
    header: Header | None = None
    shape: tuple[int, int] | None = None
    frame: Frame | None = None
    history: list[Message] = field(default_factory=list)
    last: Referent | None = None


@dataclass(frozen=True)
class Done:
    """What the model made of a command. rgb: uint8 [H, W, 3] RGB, the image that it is about."""

    result: Result
    rgb: np.ndarray
    masks: TargetMaskArray
    geometry: Geometry


@dataclass(frozen=True)
class Outcome:
    """What a command ends with. masks is None when no frame was reached; what is below `shape` only after a success.

    by_model: a failure is the model's, and not that of a client that left it no time.
    """

    answer: Answer
    masks: TargetMaskArray | None = None
    shape: tuple[int, int] | None = None
    geometry: Geometry | None = None
    rgb: np.ndarray | None = None
    result: Result | None = None
    by_model: bool = True

    @property
    def best_mask(self) -> Any:
        """The mask message of the best target, or None."""
        return self.masks.targets[0].mask if self.masks is not None and self.masks.targets else None


@dataclass
class Held:
    """What the model has encoded: a frame, its header and its RGB image; quick: only for following. Frame 0 is the
    picture of a goal.

    One object for one model: a thread that was left behind with its model goes on writing into its own.
    """

    frame: Frame | None = None
    header: Header = field(default_factory=Header)
    rgb: np.ndarray | None = None
    quick: bool = False

    def forget(self) -> None:
        """The model has lost its image."""
        self.frame, self.rgb = None, None


class CommandRunner:
    """Runs commands on the model, and remembers which frame the model has encoded."""

    def __init__(
        self,
        frames: FrameStore,
        sessions: Sessions,
        lifter: Lifter,
        *,
        now_ns: Callable[[], int],
        limits: Callable[[], Limits],
        partial: Callable[[Answer], None],
    ) -> None:
        self._frames, self._sessions, self.lifter = frames, sessions, lifter
        self._now_ns, self._limits, self._partial = now_ns, limits, partial
        self._held = Held()
        self.encodings = 0

    def forget_image(self) -> None:
        """The model is another one."""
        self._held = Held()

    @contextmanager
    def watching(self, model: Any, held: Held) -> Iterator[None]:
        """Around every use of the model: what encodes beside the language model may fail; then the image is gone."""
        try:
            yield
        except Exception:
            if model.image_shape is None:
                held.forget()
            raise

    def run(self, model: Any, job: Job, request: Request) -> Done:
        """Do one command. Raises what the model raises."""
        limits, held = self._limits(), self._held
        request.frame = self._choose(request, job, limits)
        job.enter(Stage.ENCODING.value)
        rgb = self._encode(model, request.frame, request, held)
        job.enter(Stage.REASONING.value)
        request.history, request.last = self._sessions.recall(request.session_id, limits.history_length)
        with self.watching(model, held):
            result = model.segment(
                request.text,
                history=request.history,
                last=request.last,
                max_targets=request.max_targets,
                on_progress=self._progress(request, job, limits.partial_answers),
                should_cancel=job.should_cancel,
            )
        if job.should_cancel():
            raise Cancelled("canceled")
        messages.check_result(result, (rgb.shape[0], rgb.shape[1]))
        return self._lifted(request, job, result, rgb)

    def _lifted(self, request: Request, job: Job, result: Result, rgb: np.ndarray) -> Done:
        job.enter(Stage.LIFTING.value)
        masks = messages.target_masks(result, request.header or Header(), request.command_id, request.max_targets)
        if masks.targets and self.lifter.has_depth:
            _feed_back(request, job, Stage.LIFTING, result.answer)
        geometry = self.lifter.lift(
            masks,
            messages.targets_of(result, request.max_targets),
            rgb,
            wanted=request.want_geometry,
            own_image=request.image is not None,
            should_cancel=job.should_cancel,
        )
        if job.should_cancel():
            raise Cancelled("canceled")
        return Done(result, rgb, masks, geometry)

    @property
    def held(self) -> Held:
        """What the serving model has encoded. Taken once, at the beginning of a piece of work."""
        return self._held

    def encode(self, model: Any, frame: Frame, held: Held) -> tuple[np.ndarray, Header]:
        """Give a frame that is only followed to the model, unless it has it already. Returns its RGB image, which must
        not be written to, and its header."""
        return self._encode(model, frame, None, held, quick=True), held.header

    def run_prompt(self, model: Any, job: Job, request: Any) -> tuple[TargetMask, Header, Geometry]:
        """Segment at points or a box, on the frame that is encoded; on the newest if none is, or if it is asked for."""
        points, labels, box = messages.prompt_arrays(request)
        held = self._held
        encoded = None if request.newest_image else held.frame
        frame = encoded or self._choose(Request("", ""), job, self._limits())
        job.enter(Stage.ENCODING.value)
        rgb = self._encode(model, frame, None, held)
        job.enter(Stage.SEGMENTING.value)
        with self.watching(model, held):
            segment = model.segment_prompt(points=points, labels=labels, box=box)
        messages.check_segment(segment, (rgb.shape[0], rgb.shape[1]))
        job.enter(Stage.LIFTING.value)
        masks = TargetMaskArray(header=held.header, targets=[messages.target_mask(segment, held.header)])
        there = (segment,) if segment.mask.any() else ()
        own = frame.number == 0  # the picture of the last goal
        geometry = self.lifter.lift(
            masks, there, rgb, own_image=own, scene=False, should_cancel=job.should_cancel
        )
        return masks.targets[0], held.header, geometry

    def outcome(
        self, request: Request, job: Job, value: Done | None, error: LLaVASegError | None
    ) -> Outcome:
        """The messages that end a command. From any thread; changes nothing but the session."""
        if value is None:
            assert error is not None
            final = self._answer(request, job, error=messages.error_text(error))
            clears = request.shape is not None and not isinstance(error, Cancelled)
            timely = job.timeout_s >= self._limits().timeout_s and request.shape is not None
            by_model = timely or not isinstance(error, CommandTimeout)
            return Outcome(final, self._no_masks(request) if clears else None, request.shape, by_model=by_model)
        result, masks, problem = value.result, value.masks, value.geometry.problem
        final = self._answer(
            request,
            job,
            text=result.answer,
            reasoning=result.thought.reasoning,
            found=bool(masks.targets),
            error=messages.error_of(result) if problem is None else (ErrorCode.NO_DEPTH, str(problem)),
        )
        found = Referent.of(result) if masks.targets else None
        self._sessions.add(request.session_id, request.text, result.answer, found)
        return Outcome(final, masks, request.shape, value.geometry, value.rgb, result)

    def _choose(self, request: Request, job: Job, limits: Limits) -> Frame:
        if request.image is not None:
            stamp = messages.stamp_ns(request.image.header.stamp)
            return Frame(request.image, stamp, self._now_ns(), 0)
        try:
            return self._frames.wait_for(
                lambda: self._frames.read_stamp(request.image_stamp_ns, self._now_ns(), limits.max_image_age_s),
                limits.wait_for_image_s,
                job.should_cancel,
                time.monotonic,
            )
        except LLaVASegError:
            if job.reason is not None:
                raise job.reason from None
            raise

    def _encode(
        self, model: Any, frame: Frame, request: Request | None, held: Held, *, quick: bool = False
    ) -> np.ndarray:
        """Give the frame to the model, unless the model has it already, and not only quickly for a command."""
        if frame is not held.frame or held.rgb is None or (held.quick and not quick):
            if request is not None and request.feedback is not None:
                request.feedback(Stage.ENCODING, "")
            msg = frame.msg.fields() if isinstance(frame.msg, RawMessage) else frame.msg
            if request is not None:
                request.header = msg.header
            rgb = to_rgb(msg, copy=False)
            if request is not None:
                request.shape = (rgb.shape[0], rgb.shape[1])
            held.forget()
            if request is None or request.image is None:
                self.lifter.expect(msg.header)
            model.set_image(rgb, quick=quick)
            self.encodings += 1
            held.frame, held.rgb, held.header, held.quick = frame, rgb, msg.header, quick
        elif request is not None:
            request.header, request.shape = held.header, (held.rgb.shape[0], held.rgb.shape[1])
        return held.rgb

    def _progress(self, request: Request, job: Job, partial_answers: bool) -> Callable[[Stage, str], None]:
        last = -PARTIAL_ANSWER_PERIOD_S

        def report(stage: Stage, text: str) -> None:
            nonlocal last
            job.enter(stage.value)
            _feed_back(request, job, stage, text)
            if partial_answers and text and time.monotonic() - last >= PARTIAL_ANSWER_PERIOD_S:
                last = time.monotonic()
                answer = self._answer(request, job, text=text, final=False)
                job.if_alive(lambda: self._partial(answer))

        return report

    def _answer(self, request: Request, job: Job, **fields: Any) -> Answer:
        return messages.answer(
            header=request.header,
            command_id=request.command_id,
            session_id=request.session_id,
            command=request.text,
            latency_s=job.elapsed_s,
            **fields,
        )

    @staticmethod
    def _no_masks(request: Request) -> TargetMaskArray:
        return TargetMaskArray(
            header=request.header or Header(),
            command_id=request.command_id,
            command=messages.clean(request.text),
        )


def _feed_back(request: Request, job: Job, stage: Stage, text: str) -> None:
    """Unless the job has ended: a thread that was left behind may come this far later."""
    feedback = request.feedback
    if feedback is not None:
        job.if_alive(lambda: feedback(stage, text))


def request_of_goal(goal: Any, command_id: str, default_max_targets: int) -> Request:
    """A `Segment` goal as a request. Raises nothing: what is wrong is found when the request is checked."""
    return Request(
        command_id=command_id,
        text=goal.text,
        session_id=goal.session_id,
        image=goal.image if goal.use_image else None,
        image_stamp_ns=messages.stamp_ns(goal.image_stamp),
        max_targets=int(goal.max_targets) or default_max_targets,
        want_geometry=bool(goal.want_geometry),
    )


def check_request(request: Request) -> None:
    """Raise BadRequest for a command that cannot be carried out on any frame; strips its text."""
    request.text = messages.check_command(request.text)
    messages.check_session_id(request.session_id)
    if request.image_stamp_ns < 0:
        raise BadRequest(f"image_stamp: {request.image_stamp_ns / 1e9:g} s is negative")
