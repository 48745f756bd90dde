# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page's side of the conversation with the node: goals, cancels, follow mode and clicks."""

from __future__ import annotations

import threading
import time
import uuid
from functools import partial
from typing import Any

from geometry_msgs.msg import Point32
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool
from unique_identifier_msgs.msg import UUID

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import BadRequest, ErrorCode, LLaVASegError, ModelNotReady
from llavaseg_ros.ros.actions import ThreadedActionClient
from llavaseg_ros.ros.messages import check_command, seconds_of
from llavaseg_ros.srv import SegmentAtPrompt
from llavaseg_ros.view.state import ViewState

SESSION = "view"
SERVICE_S = 5.0  # for answers that need no model
PROMPT_S = 60.0
GONE_S = 3.0
IDLE_S, RECENT_S = 8.0, 2.5  # a result may take a while to come over; /diagnostics comes once a second


class ViewCommands:
    """target: full name of the node that is spoken to. Thread-safe: called by the server's threads.

    The methods raise BadRequest for what can be seen to be wrong here, ModelNotReady when the node is not there, and
    LLaVASegError with the node's own words when it refuses.
    """

    def __init__(self, node: Node, target: str, state: ViewState) -> None:
        self._target, self._state = target, state
        group = ReentrantCallbackGroup()
        self._action: Any = ThreadedActionClient(node, Segment, f"{target}/segment", callback_group=group)
        self._follow: Any = node.create_client(SetBool, f"{target}/follow", callback_group=group)
        self._prompt: Any = node.create_client(SegmentAtPrompt, f"{target}/segment_at_prompt", callback_group=group)
        self._lock = threading.Lock()
        self._handles: dict[str, Any] = {}  # None until the goal is accepted
        self._canceled: set[str] = set()
        self._gone_since: float | None = None

    def send(self, text: str) -> str:
        """A command as a goal. Returns its id, which is also the answer's command id."""
        text = check_command(text)
        self._need(self._action.server_is_ready(), "~/segment")
        goal_id = uuid.uuid4()
        key = goal_id.hex
        with self._lock:
            self._handles[key] = None
        self._state.begin(key, text, "page")
        sending = self._action.send_goal_async(
            Segment.Goal(text=text, session_id=SESSION),
            feedback_callback=partial(self._on_feedback, key),
            goal_uuid=UUID(uuid=list(goal_id.bytes)),
        )
        sending.add_done_callback(partial(self._on_accepted, key))
        return key

    def cancel(self) -> int:
        """Cancel every command from here that runs. Returns how many."""
        running = set(self._state.running())
        with self._lock:
            handles = {key: handle for key, handle in self._handles.items() if key in running}
            self._canceled |= set(handles)
        for handle in handles.values():
            if handle is not None:
                handle.cancel_goal_async()
        return len(handles)

    def follow(self, enabled: bool) -> str:
        """Follow mode on or off. Returns the node's message."""
        self._need(self._follow.service_is_ready(), "~/follow")
        response = self._call(self._follow, SetBool.Request(data=enabled), SERVICE_S, "follow")
        if not response.success:
            raise LLaVASegError(f"follow: {response.message or 'the node refused'}")
        return str(response.message)

    def prompt(self, points: list[tuple[float, float]], labels: list[int]) -> Any:
        """Segment at points, x and y in px; label 1 = foreground. Returns the `SegmentAtPrompt` response."""
        self._need(self._prompt.service_is_ready(), "~/segment_at_prompt")
        request = SegmentAtPrompt.Request(points=[Point32(x=x, y=y) for x, y in points], labels=labels)
        response = self._call(self._prompt, request, PROMPT_S, "point")
        if response.error_code and not response.target.area_px:  # without depth it still has a mask
            name = ErrorCode(response.error_code).name if response.error_code in list(ErrorCode) else "error"
            raise BadRequest(f"point: {name}: {response.error_msg}")
        return response

    def ready(self) -> dict[str, bool]:
        """Which of the node's services are there."""
        return {
            "segment": self._action.server_is_ready(),
            "follow": self._follow.service_is_ready(),
            "prompt": self._prompt.service_is_ready(),
        }

    def watch(self) -> None:
        """Now and then: a command whose node has gone, or was started anew, must not seem to run for ever."""
        gone = not self._action.server_is_ready()
        if not self._handles or not (gone or self._node_is_idle()):
            self._gone_since = None
            return
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since > (GONE_S if gone else IDLE_S):
            what = "went away in the middle" if gone else "does not know this command any more: was it started again?"
            for key in list(self._handles):
                self._fail(key, f"{self._target} {what}")

    def _node_is_idle(self) -> bool:
        """The node says, now, that it works on nothing and that nothing waits."""
        node = self._state.node
        recent = node.at is not None and time.monotonic() - node.at < RECENT_S
        return recent and (node.values.get("busy"), node.values.get("queue length")) == ("false", "0")

    def _need(self, there: bool, what: str) -> None:
        if not there:
            raise ModelNotReady(f"{self._target} is not there (nobody serves {what}): is it running, in this domain?")

    def _call(self, client: Any, request: Any, timeout_s: float, what: str) -> Any:
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            client.remove_pending_request(future)
            raise ModelNotReady(f"{what}: {self._target} gave no answer in {timeout_s:g} s")
        return future.result()

    def _on_feedback(self, key: str, msg: Any) -> None:
        feedback = msg.feedback
        self._state.feedback(key, feedback.state, feedback.partial_text, seconds_of(feedback.elapsed))

    def _on_accepted(self, key: str, future: Any) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self._fail(key, f"{self._target} did not take the command")
            return
        with self._lock:
            if key not in self._handles:  # given up meanwhile
                return
            self._handles[key] = handle
            canceled = key in self._canceled
        handle.get_result_async().add_done_callback(partial(self._on_result, key))
        if canceled:
            handle.cancel_goal_async()

    def _on_result(self, key: str, future: Any) -> None:
        result = future.result().result
        if result.answer.command_id == key:
            self._state.answer(result.answer, latency_s=seconds_of(result.answer.latency))
        else:  # a goal that the node does not know any more has an empty result
            self._state.fail(key, ErrorCode.UNKNOWN, result.error_msg or f"{self._target} lost the command")
        self._forget(key)

    def _fail(self, key: str, text: str) -> None:
        self._state.fail(key, ErrorCode.MODEL_NOT_READY, text)
        self._forget(key)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._handles.pop(key, None)
            self._canceled.discard(key)
