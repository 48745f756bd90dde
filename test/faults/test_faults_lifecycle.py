# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults of the lifecycle: transitions at the wrong moment, and very many of them."""

from __future__ import annotations

import gc
import os
import threading
import time
from typing import Any

import pytest
from faults import fault
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_harness import wait_until
from scripted_pipeline import CountingLoader, ScriptedPipeline

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Command
from llavaseg_ros.ros import dispatch
from llavaseg_ros.ros.worker import ModelState

ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP


def counted() -> tuple[int, int]:
    """Threads and open files of this process; without those that an executor makes as it needs them, up to a limit."""
    gc.collect()
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("ThreadPoolExecutor")]
    return len(threads), len(os.listdir("/proc/self/fd"))


class Transitions:
    """A client of the lifecycle that is made once: making one for each call would be what grows."""

    def __init__(self, stack: Any) -> None:
        self._stack = stack
        self._client = stack.client.create_client(ChangeState, "llavaseg/change_state")
        assert self._client.wait_for_service(60.0)

    def __call__(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self._stack.resolve(self._client.call_async(request)).success)


@fault(
    "50 cycles of deactivate and activate, with commands in between and in the middle",
    group="Lifecycle",
    node="ends what runs, keeps the model, leaves no thread and no handle behind",
    planner="PREEMPTED for what ran; nothing while inactive; masks again after each activation",
)
def test_fifty_cycles(make_stack: Any) -> None:
    loader = CountingLoader(ScriptedPipeline(tokens=3))
    stack = make_stack(loader.pipeline, loader=loader, follow__enabled=True)
    change, before = Transitions(stack), (0, 0)
    for number in range(50):
        stack.send_image()
        assert stack.do("take the mug").result.error_code == ErrorCode.NONE
        stack.pipeline.token_s = 0.01 if number % 2 else 0.0
        stack.pipeline.started.clear()
        handle = stack.send_goal("take the plate")
        assert stack.pipeline.started.wait(60)
        stack.pipeline.token_s = 0.0
        assert change(DEACTIVATE)
        assert stack.result(handle).result.error_code in (ErrorCode.PREEMPTED, ErrorCode.NONE)
        assert stack.do("take the mug").result.error_code == ErrorCode.MODEL_NOT_READY
        assert change(ACTIVATE)
        if number == 4:
            before = counted()
    assert len(loader.calls) == 1
    after = counted()
    assert after[0] <= before[0] + 1 and after[1] <= before[1] + 2, (before, after)
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "deactivated in the middle of a flood of commands",
    group="Lifecycle",
    node="sends the answers that are on their way before its publishers fall silent; no command slips through",
    planner="whole answers or none; nothing after the transition",
)
def test_deactivate_in_a_flood(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=1), follow__enabled=True, queue__policy="queue")
    change, publisher = Transitions(stack), stack.publisher(Command, "command")
    stack.send_image()
    stop = threading.Event()

    def flood() -> None:
        number = 0
        while not stop.wait(0.002):
            publisher.publish(Command(text=f"take mug {number}"))
            number += 1

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(12):
            time.sleep(0.05)
            assert change(DEACTIVATE)
            wait_until(lambda: not stack.node.worker.busy and not stack.node.worker.queue_length)
            done = len(stack.pipeline.commands)
            time.sleep(0.03)
            assert len(stack.pipeline.commands) == done  # nothing is worked on while inactive
            assert change(ACTIVATE)
            stack.send_image()
    finally:
        stop.set()
        thread.join()
    assert publisher.wait_for_all_acked()
    wait_until(lambda: stack.do("take the mug").result.error_code == ErrorCode.NONE, what="a command that is served")


@fault(
    "deactivated at the moment at which a command has ended and its answer is not out yet",
    group="Lifecycle",
    node="sends the answer, then falls silent",
    planner="masks and answer, whole, before the transition",
)
def test_deactivate_while_an_answer_is_on_its_way(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = make_stack()
    stack.send_image()
    outcome, reached, go_on = stack.node._runner.outcome, threading.Event(), threading.Event()

    def late(*arguments: Any) -> Any:
        reached.set()
        go_on.wait(60.0)
        return outcome(*arguments)

    stack.node._runner.outcome = late
    monkeypatch.setattr(dispatch, "SETTLE_S", 60.0)
    handle = stack.send_goal("take the mug")
    assert reached.wait(60.0)
    client = stack.client.create_client(ChangeState, "llavaseg/change_state")
    assert client.wait_for_service(60.0)
    future = client.call_async(ChangeState.Request(transition=Transition(id=DEACTIVATE)))
    wait_until(lambda: stack.node._state == "inactive", what="the transition to begin")
    time.sleep(0.05)
    go_on.set()
    assert stack.resolve(future).success
    assert stack.result(handle).result.error_code == ErrorCode.NONE
    assert wait_until(stack.observer.finals, what="the answer")[0].found


@fault(
    "deactivated at the moment at which a command is put in line",
    group="Lifecycle",
    node="has closed the line before it ends the commands in it, and does not take this one",
    planner="the goal ends with MODEL_NOT_READY; nothing on the topics",
)
def test_deactivate_while_a_command_is_taken(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "SETTLE_S", 0.1)
    stack = make_stack()
    stack.send_image()
    submit, reached, go_on = stack.node.worker.submit, threading.Event(), threading.Event()

    def late(*arguments: Any) -> None:
        reached.set()
        go_on.wait(60.0)
        submit(*arguments)

    stack.node.worker.submit = late
    handle = stack.send_goal("take the mug")
    assert reached.wait(60.0)
    assert stack.change_state(DEACTIVATE)
    go_on.set()
    assert stack.result(handle).result.error_code == ErrorCode.MODEL_NOT_READY
    assert not stack.pipeline.commands and not stack.observer.finals()
    assert stack.change_state(ACTIVATE)
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "deactivated while a target is followed, and frames go on coming",
    group="Lifecycle",
    node="gives its model nothing to do; has forgotten the target when it is active again",
    planner="silence; after the activation no mask before there is a new command",
)
def test_frames_while_inactive(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    stack.send_image()
    wait_until(lambda: stack.pipeline.followed, what="the followed frame")
    assert stack.change_state(DEACTIVATE)
    wait_until(lambda: stack.node.following.state == "off", what="the end of the following")
    images = len(stack.pipeline.images)
    for _ in range(3):
        stack.send_image()
    assert stack.change_state(ACTIVATE)
    for _ in range(3):
        stack.send_image()
    time.sleep(0.05)
    assert len(stack.pipeline.images) == images
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "cycles down to unconfigured and up again",
    group="Lifecycle",
    node="frees the model and the topics, makes them anew; leaves no thread and no handle behind",
    planner="latched outputs are gone; masks again after the activation",
)
def test_cleanup_cycles(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    change, before = Transitions(stack), (0, 0)
    for number in range(8):
        stack.send_image()
        assert stack.do("take the mug").result.error_code == ErrorCode.NONE
        assert change(DEACTIVATE) and change(CLEANUP)
        wait_until(lambda: stack.node.worker._model is None, what="the model to be freed")
        assert stack.do("take the mug").result.error_code == ErrorCode.MODEL_NOT_READY
        stack.observer.wait_disconnected()
        assert change(CONFIGURE) and change(ACTIVATE)
        stack.wait_ready()
        if number == 2:
            before = counted()
    after = counted()
    assert after[0] <= before[0] + 1 and after[1] <= before[1] + 2, (before, after)


@fault(
    "deactivated, cleaned up and activated again while the model is loading",
    group="Lifecycle",
    node="gives the model of the old activation up, and loads the new one",
    planner="MODEL_NOT_READY until the new one is there",
)
def test_deactivate_while_loading(make_stack: Any) -> None:
    release, loads = threading.Event(), []
    pipeline = ScriptedPipeline()

    def loader(_: Any) -> Any:
        loads.append(threading.current_thread().name)
        assert release.wait(120.0)
        return pipeline

    stack = make_stack(pipeline, loader=loader, ready=False)
    stack.observer.wait_connected()
    change = Transitions(stack)
    wait_until(lambda: loads, what="the load")
    for transition in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
        assert change(transition)
    assert stack.do("take the mug").result.error_code == ErrorCode.MODEL_NOT_READY
    release.set()
    stack.wait_ready()
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    assert len(loads) == 2 and stack.node.worker.state is ModelState.READY


@fault(
    "shut down by transition in the middle of a command",
    group="Lifecycle",
    node="ends the command, then its topics",
    planner="PREEMPTED, then nothing any more",
)
def test_shutdown_in_the_middle(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=30_000, token_s=0.005))
    stack.send_image()
    handle = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60)
    assert stack.change_state(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert stack.result(handle).result.error_code == ErrorCode.PREEMPTED
    wait_until(lambda: [a.error_code for a in stack.observer.finals()] == [ErrorCode.PREEMPTED], what="the answer")
    wait_until(
        lambda: [change.goal for change in stack.observer.record.transitions][-1:] == ["finalized"],
        what="the last transition",
    )


@fault(
    "transitions that do not exist in the state (activate twice, clean up while active)",
    group="Lifecycle",
    node="refuses them, and stays as it is",
    planner="the running command ends as if nothing had been",
)
def test_impossible_transitions(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=30_000, token_s=0.005))
    change = Transitions(stack)
    stack.send_image()
    handle = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60)
    for transition in (ACTIVATE, CONFIGURE, CLEANUP, 200):
        assert not change(transition)
    assert stack.node.worker.busy
    stack.resolve(handle.cancel_goal_async())
    stack.result(handle)
    stack.pipeline.tokens = 1
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
