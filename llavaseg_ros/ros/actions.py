# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An action server whose goals are worked on by our own thread, so that no executor thread ever waits for the model;
and an action client for a node that an executor spins while other threads send goals.

rclpy's own way is an execute callback, which either blocks a thread of the executor until the goal is done, or, as a
coroutine, is polled by the executor without a pause. Here `execute()` only marks the goal as executing; the worker does
the work, and `end` schedules the short callback that sets the goal's last state and hands over the result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

# How long a result is kept for a client that has not fetched it. Results hold masks: not for long.
RESULT_TIMEOUT_S = 30

# As rclpy's default for services, but with room for as many requests at once as on the topic `command`: one that finds
# no room is lost, and its client waits for ever.
_MANY = QoSProfile(depth=1000)

# Longest wait for a cancel that was accepted to become visible in the goal's state: it does so within microseconds, but
# for a machine that stands still. Were it given up, the client would be told ABORTED after its cancel was accepted.
_CANCEL_SETTLES_S = 30.0

_beginning = threading.Lock()


class _OnSystemClock:
    """A node whose clock never stops. rcl counts the age of results on the clock of the node that it is given: where
    simulated time pauses or jumps back, it would keep every result, with its masks, until the time has come again. No
    steady clock: goals are stamped with it, too, and clients cancel all those before a time of theirs."""

    def __init__(self, node: Node) -> None:
        self._node, self._clock = node, Clock(clock_type=ClockType.SYSTEM_TIME)

    def get_clock(self) -> Clock:
        return self._clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)


class DeferredActionServer(ActionServer):
    """accepted: called with each new goal's handle, and with when it was taken from the middleware (monotonic, s).
    cancel: called with the handle of a goal that is to be cancelled, never before `accepted` has returned for it.

    Both must return at once, for goals and cancels are taken one at a time, in the order in which they come: in a
    reentrant group, a goal could overtake one that was accepted before it, and a cancel its own goal. Every goal is
    accepted, and every cancel: what is wrong with a goal is told in its result.
    """

    def __init__(
        self,
        node: Node,
        action_type: Any,
        name: str,
        *,
        accepted: Callable[[ServerGoalHandle, float], None],
        cancel: Callable[[ServerGoalHandle], None],
    ) -> None:
        arrived = 0.0  # of the goal that is being taken

        def arrive(_: Any) -> GoalResponse:
            nonlocal arrived
            arrived = time.monotonic()
            return GoalResponse.ACCEPT

        def accept_cancel(handle: ServerGoalHandle) -> CancelResponse:
            cancel(handle)
            return CancelResponse.ACCEPT

        self._on_system_clock = _OnSystemClock(node)  # kept, because rcl goes on using its clock
        super().__init__(
            cast(Node, self._on_system_clock),
            action_type,
            name,
            execute_callback=lambda handle: action_type.Result(),
            callback_group=MutuallyExclusiveCallbackGroup(),
            goal_callback=arrive,
            handle_accepted_callback=lambda handle: accepted(handle, arrived),
            cancel_callback=accept_cancel,
            goal_service_qos_profile=_MANY,
            result_service_qos_profile=_MANY,
            cancel_service_qos_profile=_MANY,
            result_timeout=RESULT_TIMEOUT_S,
        )
        self._node = node  # the stamp of a goal's acceptance is the node's time

    def notify_execute(self, goal_handle: Any, execute_callback: Any) -> None:
        """Called by `ServerGoalHandle.execute()`. Without a callback there is nothing for the executor to do yet."""
        if execute_callback is not None:
            super().notify_execute(goal_handle, execute_callback)

    @staticmethod
    def begin(handle: ServerGoalHandle) -> None:
        """Mark a goal as executing."""
        with _beginning:  # the worker, and whoever ends the goal in its place
            if handle.status == GoalStatus.STATUS_ACCEPTED:
                try:
                    handle.execute()
                except RuntimeError:
                    if not handle.is_cancel_requested:  # or a cancel came between rclpy's own look and its step
                        raise

    def end(self, handle: ServerGoalHandle, result: Any, *, succeeded: bool, canceled: bool) -> None:
        """Give a goal its last state and its result. From any thread; returns at once."""

        def last(goal: ServerGoalHandle) -> Any:
            if canceled and _is_canceling(goal):
                goal.canceled()
            elif succeeded:
                goal.succeed()
            else:
                goal.abort()
            return result

        self.begin(handle)
        self.notify_execute(handle, last)


def _is_canceling(goal: ServerGoalHandle) -> bool:
    """The goal is in the state CANCELING. rclpy calls the cancel callback just before it changes the state."""
    end = time.monotonic() + _CANCEL_SETTLES_S
    while not goal.is_cancel_requested and time.monotonic() < end:
        time.sleep(0.001)
    return goal.is_cancel_requested


class ThreadedActionClient(ActionClient):
    """rclpy's client, for goals that are sent by other threads than the executor's.

    rclpy makes a goal's future twice, and returns the second: a receipt that is handled in between completes the first
    one, and nobody ever hears of the goal again.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._sending = threading.Lock()
        super().__init__(*arguments, **named)

    def send_goal_async(self, *arguments: Any, **named: Any) -> Any:
        """As rclpy's."""
        with self._sending:
            return super().send_goal_async(*arguments, **named)

    async def execute(self, taken_data: Any) -> None:
        """As rclpy's, once a goal that is just being sent has its future."""
        with self._sending:
            pass
        await super().execute(taken_data)
