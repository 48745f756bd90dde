# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults of the clock. A command's time runs on the machine's monotonic clock, whatever the node's clock does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from faults import fault
from images import changed
from ros_harness import wait_until
from rosgraph_msgs.msg import Clock
from scripted_pipeline import ScriptedPipeline
from std_msgs.msg import Header

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros import actions


@pytest.fixture
def simulation(make_stack: Any) -> Any:
    """simulation(pipeline=..., **parameters) -> a stack whose node lives in simulated time, before the first /clock."""

    def make(pipeline: Any = None, **parameters: Any) -> Any:
        parameters = {"sync__max_image_age_s": 1.0, "sync__wait_for_image_s": 0.05, **parameters}
        # A /clock of its own: other tests share the domain.
        return make_stack(pipeline, use_sim_time=True, remap=("/clock:=clock",), **parameters)

    return make


def clock(stack: Any, sec: int) -> None:
    """Set the simulated time."""
    publisher = stack.publisher(Clock, "clock", subscribers=1)
    publisher.publish(Clock(clock=Time(sec=sec)))
    wait_until(lambda: stack.node.get_clock().now().nanoseconds == sec * 10**9, what=f"{sec} s of simulated time")


def image(stack: Any, sec: int) -> Header:
    """Send an image of this moment."""
    header = Header(frame_id="camera", stamp=Time(sec=sec))
    stack.send_image(message=changed(header))
    return header


def code(stack: Any, **fields: Any) -> tuple[int, str]:
    """What a command ends with."""
    result = stack.do("take the mug", **fields).result
    return result.error_code, result.error_msg


@fault(
    "`use_sim_time` is set and /clock never comes",
    group="Clock",
    node="takes no frame: their age is not known",
    planner="STALE_IMAGE, and the text names /clock; masks from the first /clock on",
)
def test_clock_never_comes(simulation: Any) -> None:
    stack = simulation()
    image(stack, 100)
    error, text = code(stack)
    assert error == ErrorCode.STALE_IMAGE and "/clock" in text
    clock(stack, 100)
    assert code(stack)[0] == ErrorCode.NONE


@fault(
    "simulated time jumps forward",
    group="Clock",
    node="takes all frames from before the jump for old",
    planner="STALE_IMAGE until the first new frame",
)
def test_clock_jumps_forward(simulation: Any) -> None:
    stack = simulation()
    clock(stack, 100)
    image(stack, 100)
    assert code(stack)[0] == ErrorCode.NONE
    clock(stack, 5000)
    assert code(stack)[0] == ErrorCode.STALE_IMAGE
    image(stack, 5000)
    assert code(stack)[0] == ErrorCode.NONE


@fault(
    "simulated time jumps back (a simulation is reset)",
    group="Clock",
    node="takes frames from after the reset only",
    planner="STALE_IMAGE with 'in the future' until the first new frame; no target of the time before",
)
def test_clock_jumps_back(simulation: Any) -> None:
    stack = simulation(follow__enabled=True)
    clock(stack, 5000)
    old = image(stack, 5000)
    assert code(stack)[0] == ErrorCode.NONE
    clock(stack, 100)
    error, text = code(stack)
    assert error == ErrorCode.STALE_IMAGE and "in the future" in text
    image(stack, 100)
    assert code(stack)[0] == ErrorCode.NONE
    assert code(stack, image_stamp=old.stamp)[0] == ErrorCode.NO_IMAGE


@fault(
    "simulated time pauses while a command runs",
    group="Clock",
    node="ends the command after `timeout_s` all the same; keeps /diagnostics going",
    planner="TIMEOUT; later commands are served on the paused frame, which is not old",
)
def test_clock_pauses(simulation: Any) -> None:
    stack = simulation(ScriptedPipeline(tokens=30_000, token_s=0.01), timeout_s=0.3)
    clock(stack, 100)
    header = image(stack, 100)
    assert code(stack)[0] == ErrorCode.TIMEOUT
    stack.pipeline.tokens = 1
    stack.node.set_parameters([stack.parameter("timeout_s", 60.0)])
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == header
    count = len(stack.observer.diagnostics)
    wait_until(lambda: len(stack.observer.diagnostics) > count, what="/diagnostics")


@fault(
    "the clocks of camera and node are an hour apart (wall time, no NTP)",
    group="Clock",
    node="takes none of its frames",
    planner="STALE_IMAGE with the hour in its text, in either direction",
)
def test_wall_clocks_differ(make_stack: Any) -> None:
    stack = make_stack(sync__max_image_age_s=5.0, sync__wait_for_image_s=0.05)
    for age_s, words in ((3600.0, "s old"), (-3600.0, "in the future")):
        stack.send_image(age_s=age_s)
        error, text = code(stack)
        assert error == ErrorCode.STALE_IMAGE and words in text and "3" in text
    begun = time.monotonic()
    stack.send_image()
    error, text = code(stack)
    assert error == ErrorCode.NONE or time.monotonic() - begun > 4.0, text  # a machine that stood still


@fault(
    "simulated time stands still, or has jumped back, for long",
    group="Clock",
    node="forgets the results of goals after 30 s of real time, so that their masks do not pile up",
    planner="nothing of it",
)
def test_results_are_forgotten_while_time_stands_still(simulation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "RESULT_TIMEOUT_S", 1)
    most: list[int] = []
    stack = simulation(ScriptedPipeline(on_segment=lambda *_: most.append(len(kept))))
    kept = stack.node._action._goal_handles
    clock(stack, 5000)
    image(stack, 5000)
    for _ in range(3):
        assert code(stack)[0] == ErrorCode.NONE
    assert max(most) >= 1
    clock(stack, 100)
    wait_until(lambda: not kept, what="the results to be forgotten")
