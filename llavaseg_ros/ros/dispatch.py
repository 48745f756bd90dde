# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a message to a job and back: commands by topic, goals of the action, prompts by service. No callback waits.

(The prompt service does wait for its answer, as an rclpy service must; it is the only one, and has a group of its own.)
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import BadRequest, ErrorCode, LLaVASegError, ModelNotReady
from llavaseg_ros.msg import Command
from llavaseg_ros.ros import messages
from llavaseg_ros.ros.actions import DeferredActionServer
from llavaseg_ros.ros.commands import CommandRunner, Limits, Outcome, Request, check_request, request_of_goal
from llavaseg_ros.ros.following import Following
from llavaseg_ros.ros.jobs import ClientCancel, Job, Preempted, as_error
from llavaseg_ros.ros.outputs import Outputs
from llavaseg_ros.ros.worker import ModelWorker
from llavaseg_ros.speech.stop_words import only_stops
from llavaseg_ros.types import Stage

# Longest wait for answers that are on their way: building and publishing one takes milliseconds.
SETTLE_S = 2.0

Done = Callable[[Outcome, LLaVASegError | None], None]


class Dispatcher:
    """Puts commands in line for the worker, and sends out what they end with.

    state: the node's lifecycle state. note: called with every outcome, for logs and diagnostics. following: learns from
    every outcome what to follow.
    """

    def __init__(
        self,
        worker: ModelWorker,
        runner: CommandRunner,
        outputs: Outputs,
        *,
        limits: Callable[[], Limits],
        state: Callable[[], str],
        note: Callable[[Outcome], None],
        following: Following,
    ) -> None:
        self._worker, self._runner, self._outputs = worker, runner, outputs
        self._limits, self._state, self._note, self._following = limits, state, note, following
        self._goals: dict[bytes, Job] = {}
        self._open: set[int] = set()
        self._closed = threading.Condition()

    def settle(self) -> bool:
        """Wait until every command that has come has its answer out. False when that takes longer.

        For whoever has ended all jobs and is about to silence the publishers: a job may be ending in another thread.
        """
        with self._closed:
            return self._closed.wait_for(lambda: not self._open, SETTLE_S)

    def on_command(self, msg: Command, arrived: float | None = None) -> None:
        """A message on `command`. arrived: when it came (`messages.arrival`), here and below; None = now."""
        stamp_ns = messages.stamp_ns(msg.image_stamp)
        self._take(Request(uuid.uuid4().hex, msg.text, msg.session_id, image_stamp_ns=stamp_ns), arrived)

    def on_text(self, text: str, arrived: float | None = None) -> None:
        """A message on `command_text`."""
        self._take(Request(uuid.uuid4().hex, text), arrived)

    def on_stop(self, why: str = "a message came on `stop`", arrived: float | None = None) -> None:
        """A message on `stop`: every command ends at once, with its answer, and nothing is followed any more. So does
        what came before it and is taken up later: a stop overtakes commands, which have a queue."""
        came = time.monotonic() if arrived is None else arrived
        self._following.forget()
        self._worker.abandon_all(Preempted(f"stopped: {why}"), came_before=came)

    def on_goal(self, server: DeferredActionServer, handle: Any, arrived: float) -> None:
        """A goal that was accepted. Its command id is the goal's id in hex."""
        limits = self._limits()
        goal, key = handle.request, bytes(handle.goal_id.uuid)
        request = request_of_goal(goal, key.hex(), limits.max_targets)

        def feedback(stage: Stage, text: str) -> None:
            elapsed = messages.duration(time.monotonic() - arrived)
            handle.publish_feedback(
                Segment.Feedback(state=stage.value, partial_text=messages.clean(text), elapsed=elapsed)
            )

        def done(outcome: Outcome, error: LLaVASegError | None) -> None:
            self._goals.pop(key, None)
            answer = outcome.answer
            result = Segment.Result(answer=answer, error_code=answer.error_code, error_msg=answer.error_msg)
            if outcome.masks is not None:
                result.masks = outcome.masks
            lifted = not (goal.want_geometry and answer.error_code == ErrorCode.NO_DEPTH)
            server.end(handle, result, succeeded=error is None and lifted, canceled=isinstance(error, ClientCancel))

        request.feedback = feedback
        timeout_s = messages.seconds_of(goal.timeout)
        job = self._job(request, timeout_s if timeout_s > 0 else limits.timeout_s, done, partial(server.begin, handle))
        self._goals[key] = job
        feedback(Stage.QUEUED, "")
        if timeout_s < 0:
            job.end(None, BadRequest(f"timeout: {timeout_s:g} s is negative"))
        else:
            self._submit(job, limits, lambda: check_request(request), request.text, arrived)

    def on_cancel(self, handle: Any) -> None:
        """A client wants its goal to end. Notes it; the goal ends at the model's next poll."""
        job = self._goals.get(bytes(handle.goal_id.uuid))
        if job is not None:
            self._worker.cancel(job, ClientCancel("canceled by the client"))

    def on_prompt(self, request: Any, response: Any) -> Any:
        """A `SegmentAtPrompt` request. Waits for the model, at most `timeout_s` (`ModelWorker.expire` sees to it)."""
        limits, ended = self._limits(), threading.Event()

        def finish(value: Any, error: LLaVASegError | None) -> None:
            try:
                if error is not None:
                    code, response.error_msg = messages.error_text(error)
                    response.error_code = int(code)
                else:
                    response.target, response.header, geometry = value
                    if not response.target.area_px:
                        response.error_code = int(ErrorCode.EMPTY_MASK)
                        response.error_msg = "no pixel could be given to this prompt"
                    elif geometry.problem is not None:
                        response.error_code, response.error_msg = int(ErrorCode.NO_DEPTH), str(geometry.problem)
            except Exception as raised:  # the model gave something that is no mask
                code, response.error_msg = messages.error_text(as_error(raised))
                response.error_code = int(code)
            finally:
                ended.set()

        job = Job(lambda model, job: self._runner.run_prompt(model, job, request), finish, timeout_s=limits.timeout_s)
        self._submit(job, limits, lambda: None)
        ended.wait()
        return response

    def _take(self, request: Request, arrived: float | None) -> None:
        limits = self._limits()
        request.max_targets = limits.max_targets
        came = time.monotonic() if arrived is None else arrived
        self._submit(self._job(request, limits.timeout_s), limits, lambda: check_request(request), request.text, came)

    def _job(
        self, request: Request, timeout_s: float, done: Done | None = None, started: Callable[[], None] | None = None
    ) -> Job:
        epoch = self._following.epoch

        def finish(value: Any, error: LLaVASegError | None) -> None:
            try:
                outcome = self._runner.outcome(request, job, value, error)
            except Exception as raised:  # the model gave something that is no result
                error = as_error(raised)
                outcome = self._runner.outcome(request, job, None, error)
            try:
                self._following.command_ended(request, outcome, epoch)
                self._outputs.publish(outcome, masks=not self._following.holds_masks(outcome))
                self._note(outcome)
            finally:
                if done is not None:
                    done(outcome, error)
            if outcome.rgb is not None and outcome.result is not None and outcome.masks is not None:
                self._outputs.publish_overlay(outcome.rgb, outcome.result, outcome.masks, outcome.answer.text)

        def finish_and_close(value: Any, error: LLaVASegError | None) -> None:
            try:
                finish(value, error)
            finally:
                with self._closed:
                    self._open.discard(id(job))
                    self._closed.notify_all()

        job = Job(
            lambda model, job: self._runner.run(model, job, request),
            finish_and_close,
            timeout_s=timeout_s,
            started=started,
        )
        with self._closed:
            self._open.add(id(job))
        return job

    def _submit(
        self, job: Job, limits: Limits, check: Callable[[], None], text: str = "", arrived: float = math.inf
    ) -> None:
        """Check first, so that a command which cannot be carried out takes nobody's place."""
        self._worker.line.policy, self._worker.line.depth = limits.policy, limits.queue_depth
        try:
            if self._state() != "active":
                raise ModelNotReady(f"the node is not active ({self._state()})")
            check()
            if only_stops(text):  # no model would understand it as anything but a thing to look for
                self.on_stop(f"the command was {text!r}", arrived)
                raise Preempted(f"stopped: {text!r} ends every command and names no target")
            self._worker.submit(job, arrived)
        except LLaVASegError as error:
            job.end(None, error)
