# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stages that hang: the watchdog leaves the thread behind, a new one takes over, and what comes late is thrown away."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import holding_node
import process_room
import pytest
from faults import fault
from hanging import NEVER_S, Gate, HangingPipeline, Shelf, overrun, set_limit, wait_for
from holding_node import HOLD_US
from lifecycle_msgs.msg import Transition
from process_room import Room
from ros_harness import picture, wait_until
from scripted_pipeline import ScriptedPipeline
from sensor_msgs.msg import RegionOfInterest

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros.overruns import MAX_OVERRUNS
from llavaseg_ros.ros.worker import ModelState
from llavaseg_ros.srv import SegmentAtPrompt, SetModel

BOX = RegionOfInterest(x_offset=10, y_offset=8, width=20, height=12)


def new_stack(make_stack: Any, loader: Any, **parameters: Any) -> Any:
    return make_stack(None, loader=loader, watchdog__stage_timeout_s=NEVER_S, timeout_s=NEVER_S, **parameters)


def stamp(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def works(stack: Any) -> Any:
    """A new image and a command about it are served. Returns the image."""
    image = stack.send_image(picture(40, 56))
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == image.header, result.error_msg
    return image


def hangs(where: str) -> Any:
    return pytest.param(
        where,
        id=where.lower(),
        marks=fault(
            f"the model hangs in {where}",
            group="Watchdog",
            node="leaves the thread behind after `watchdog.stage_timeout_s`; a new one loads the model again",
            planner=f"TIMEOUT, and the text names {where}; MODEL_NOT_READY until the new model serves; "
            "what the old thread brings later never comes out",
        ),
    )


@pytest.mark.parametrize("stage", [hangs("ENCODING"), hangs("REASONING"), hangs("SEGMENTING")])
def test_a_stage_hangs(make_stack: Any, stage: str) -> None:
    shelf = Shelf(stage)
    stack = new_stack(make_stack, shelf, queue__policy="queue")
    stack.send_image()
    handle = stack.send_goal("take the red mug")
    assert shelf.gates[0].inside.wait(60.0)
    waiting = stack.send_goal("take the plate")
    wait_until(lambda: stack.node.worker.queue_length == 1)
    overrun(stack)
    result = stack.result(handle).result
    assert result.error_code == ErrorCode.TIMEOUT and stage in result.error_msg and not result.masks.targets
    result = stack.result(waiting).result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and stage in result.error_msg
    wait_for(stack, ModelState.READY)
    assert shelf.loads == 2 and stack.node.worker.overruns.stuck == 1
    image = works(stack)
    shelf.let_go(stack)
    # The thread that came back has touched nothing: the frame that is encoded is the new model's.
    reply = stack.call(SegmentAtPrompt, "llavaseg/segment_at_prompt", SegmentAtPrompt.Request(box=BOX))
    assert not reply.error_code and stamp(reply) == stamp(image) and reply.target.mask.height == 40
    works(stack)
    wait_until(lambda: len(stack.observer.finals()) >= 4, what="the answers")
    codes = [answer.error_code for answer in stack.observer.finals()]
    assert sorted(codes) == sorted([ErrorCode.TIMEOUT, ErrorCode.MODEL_NOT_READY, ErrorCode.NONE, ErrorCode.NONE])


@fault(
    "lifting to 3-D hangs",
    group="Watchdog",
    node="leaves the thread behind, and the model with it",
    planner="TIMEOUT, and the text names LIFTING; no mask, though there was one",
)
def test_lifting_hangs(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, gate = Shelf(), Gate()
    stack = new_stack(make_stack, shelf)
    lifter = stack.node.lifter
    honest = lifter.lift

    def lift(*arguments: Any, **options: Any) -> Any:
        if not gate.inside.is_set():
            gate.wait()
        return honest(*arguments, **options)

    monkeypatch.setattr(lifter, "lift", lift)
    stack.send_image()
    handle = stack.send_goal("take the mug")
    assert gate.inside.wait(60.0)
    overrun(stack)
    result = stack.result(handle).result
    assert result.error_code == ErrorCode.TIMEOUT and "LIFTING" in result.error_msg and not result.masks.targets
    wait_for(stack, ModelState.READY)
    works(stack)
    gate.open.set()
    wait_until(lambda: stack.node.worker.overruns.stuck == 0)


@fault(
    "the model hangs in FOLLOWING",
    group="Watchdog",
    node="leaves the thread behind; the new model reasons about the command again, and follows on",
    planner="no mask meanwhile; then masks of new frames; never the one of the frame that hung",
)
def test_following_hangs(make_stack: Any) -> None:
    shelf = Shelf("FOLLOWING")
    stack = new_stack(make_stack, shelf, follow__enabled=True)
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    hung = stack.send_image()
    assert shelf.gates[0].inside.wait(60.0)
    overrun(stack)
    wait_for(stack, ModelState.READY)
    image = stack.send_image()

    def followed(image: Any) -> bool:
        return any(stamp(m) == stamp(image) and m.targets for m in stack.masks.messages)

    wait_until(lambda: followed(image), what="the mask of the next frame")
    shelf.let_go(stack)
    image = stack.send_image()
    wait_until(lambda: followed(image), what="the mask of the frame after that")
    assert stamp(hung) not in [stamp(masks) for masks in stack.masks.messages]


@fault(
    "the model hangs while it loads, or warms up",
    group="Watchdog",
    node="leaves the thread behind after `watchdog.load_timeout_s`; tries again when it is activated again",
    planner="MODEL_NOT_READY, and the text names LOADING; /diagnostics says ERROR",
)
def test_loading_hangs(make_stack: Any) -> None:
    shelf = Shelf("LOADING")
    stack = make_stack(None, loader=shelf, ready=False, warm_up=True)
    assert shelf.gates[0].inside.wait(60.0)
    overrun(stack, "load_timeout_s")
    wait_for(stack, ModelState.ERROR)
    stack.observer.wait_connected()
    stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and "LOADING" in result.error_msg
    assert shelf.loads == 1  # not in a loop
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    wait_for(stack, ModelState.READY)
    serving = stack.node.worker._model
    shelf.let_go(stack)
    assert stack.node.worker._model is serving
    works(stack)


@fault(
    "another model hangs while it loads to take the place of the serving one",
    group="Watchdog",
    node="leaves the thread behind; `~/set_model` ends with TIMEOUT",
    planner="answers of the old model, all the time",
)
def test_exchange_hangs(make_stack: Any) -> None:
    gate = Gate()

    def loader(wanted: Any) -> ScriptedPipeline:
        return HangingPipeline("LOADING", gate) if wanted.model == "large" else ScriptedPipeline()

    stack = new_stack(make_stack, loader, warm_up=True)
    old, replies = stack.node.worker._model, []
    request = SetModel.Request(model="large")
    asking = threading.Thread(target=lambda: replies.append(stack.call(SetModel, "llavaseg/set_model", request)))
    asking.start()
    assert gate.inside.wait(60.0)
    works(stack)
    overrun(stack, "load_timeout_s")
    asking.join(60.0)
    assert not replies[0].success and replies[0].error_code == ErrorCode.TIMEOUT and "stays" in replies[0].message
    gate.open.set()
    wait_until(lambda: stack.node.worker.overruns.stuck == 0)
    works(stack)
    assert stack.node.worker._model is old and stack.node.get_parameter("model").value == "default"


@fault(
    "every model hangs, again and again",
    group="Watchdog",
    node="loads no further model after 3 overruns in a row; waits for somebody to deactivate and activate it",
    planner="TIMEOUT each time, then MODEL_NOT_READY; /diagnostics says ERROR and what helps",
)
def test_overruns_in_a_row(make_stack: Any) -> None:
    shelf = Shelf("REASONING", hanging=MAX_OVERRUNS)
    stack = new_stack(make_stack, shelf)
    for gate in shelf.gates:
        wait_for(stack, ModelState.READY)
        stack.send_image()
        handle = stack.send_goal("take the mug")
        assert gate.inside.wait(60.0)
        overrun(stack)
        assert stack.result(handle).result.error_code == ErrorCode.TIMEOUT
    wait_for(stack, ModelState.ERROR)
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and "in a row" in result.error_msg
    assert "deactivate and activate" in result.error_msg and shelf.loads == MAX_OVERRUNS
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    wait_for(stack, ModelState.READY)
    works(stack)
    shelf.let_go(stack)


@fault(
    "a library hangs in C, where no Python error reaches it",
    group="Watchdog",
    node="as with every hang; `close` does not wait for the thread",
    planner="TIMEOUT, then answers of the new model",
)
def test_hangs_in_c(make_stack: Any) -> None:
    reading, writing = os.pipe()
    inside = threading.Event()
    loads = []

    def read(command: str, rgb: Any) -> None:
        inside.set()
        ctypes.CDLL(None).read(reading, ctypes.create_string_buffer(1), 1)

    def loader(_: Any) -> ScriptedPipeline:
        loads.append(1)
        return ScriptedPipeline(on_segment=read) if len(loads) == 1 else ScriptedPipeline()

    stack = new_stack(make_stack, loader)
    try:
        stack.send_image()
        handle = stack.send_goal("take the mug")
        assert inside.wait(60.0)
        overrun(stack)
        assert stack.result(handle).result.error_code == ErrorCode.TIMEOUT
        wait_for(stack, ModelState.READY)
        works(stack)
    finally:
        os.write(writing, b"x")
    wait_until(lambda: stack.node.worker.overruns.stuck == 0)
    os.close(reading)
    os.close(writing)


@fault(
    "the model is slow, but polls",
    group="Watchdog",
    node="lets it go on as long as the command's own time-out does",
    planner="an answer, late",
)
def test_slow_is_not_hung(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=60, token_s=0.1))
    stack.send_image()
    set_limit(stack, "stage_timeout_s", 5.0)  # the 60 tokens take 6 s
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    assert stack.node.worker.overruns.count == 0


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A process of its own; the observer checks at the end."""
    monkeypatch.setattr(process_room, "STAGED", Path(holding_node.__file__))
    room = Room(f"/watched{os.getpid()}")
    yield room
    try:
        room.observer.check()
    finally:
        room.close()


@fault(
    "a library hangs in C and holds the interpreter's lock",
    group="Watchdog",
    node="stands still as a whole, the watchdog too; goes on when it is let go, and leaves nobody behind",
    planner="nothing, not even /diagnostics: silence for more than 3 s is to be taken for trust: no",
)
def test_holds_the_interpreter(room: Room) -> None:
    room.ready()
    name = f"{room.namespace.lstrip('/')}/llavaseg"

    def own() -> list[Any]:
        return [m for m in list(room.observer.diagnostics) if m.status[0].hardware_id == name]

    def moments() -> list[float]:
        return [m.header.stamp.sec + m.header.stamp.nanosec / 1e9 for m in own()]

    wait_until(own, what="/diagnostics")
    room.send_image()
    room.send("hold the interpreter")
    answer = wait_until(lambda: room.finals("hold the interpreter"), what="the answer")[0]
    assert answer.found and answer.error_code == ErrorCode.NONE
    held_s = HOLD_US / 1e6
    wait_until(lambda: any(b - a >= held_s for a, b in pairwise(moments())), what="the gap in /diagnostics")
    room.check_right()
    values = {value.key: value.value for value in own()[-1].status[0].values}
    assert values["watchdog overruns"] == "0"


@fault(
    "SIGTERM while a thread hangs that was left behind",
    group="Watchdog",
    node="ends within seconds, with exit code 0; does not wait for the thread",
    planner="every command has had its answer",
)
def test_ends_while_a_thread_hangs(room: Room) -> None:
    room.start(**{"watchdog.stage_timeout_s": 10.0})
    room.ready()
    room.send_image()
    room.send("hang")
    answer = wait_until(lambda: room.finals("hang"), what="the watchdog's answer")[0]
    assert answer.error_code == ErrorCode.TIMEOUT and not answer.found
    room.ready()
    room.check_right()
    room.send_image()
    room.send("hang again")  # and a second one, which the watchdog has not found yet
    assert room.node is not None
    room.node.said("in C: hang again")
    assert room.end(signal.SIGTERM) == 0
