# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: each level and its cause, as a supervisor sees them. One test for each part of the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticStatus
from faults import fault
from hanging import Gate, HangingPipeline, Shelf, overrun, wait_for
from lifecycle_msgs.msg import Transition
from ros_harness import Stack, wait_until
from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.errors import BundleError, ErrorCode
from llavaseg_ros.nodes import llavaseg_node
from llavaseg_ros.ros import health, monitor
from llavaseg_ros.ros.diagnostics import host_memory_mb, resident_mb
from llavaseg_ros.ros.gpu import GpuWatch
from llavaseg_ros.ros.health import FAILURES_IN_A_ROW, RECENT_S
from llavaseg_ros.ros.worker import ModelState

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
SUMMARY = "reasoning segmentation"


@pytest.fixture(autouse=True)
def many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty a second in place of one, so that a test need not wait; on a machine whose memory is not scarce."""
    monkeypatch.setattr(llavaseg_node, "DIAGNOSTICS_PERIOD_S", 0.05)
    monkeypatch.setattr(monitor, "host_memory_mb", lambda: (4000.0, 8000.0))


def statuses(stack: Any, part: str, since: Any = None) -> Iterator[DiagnosticStatus]:
    """Those of a part of this stack's node, the newest first, back to a message."""
    name = f"{stack.node.get_fully_qualified_name().lstrip('/')}: {part}"
    for message in reversed(list(stack.observer.diagnostics)):
        if message is since:
            return
        yield from (one for one in message.status if one.name == name)


def tells(stack: Any, level: bytes, words: str, part: str = SUMMARY, *, since: Any = None) -> dict[str, str]:
    """Until the part has this level and these words. Returns its values. since: the last message before something that
    does not last, and may be over; else the newest one counts."""

    def told() -> DiagnosticStatus | None:
        found = statuses(stack, part, since)
        looked_at = found if since is not None else islice(found, 1)
        return next((one for one in looked_at if one.level == level and words in one.message), None)

    try:
        found = wait_until(told)
    except AssertionError:
        now = next(statuses(stack, part), None)
        raise AssertionError(
            f"{part}: {level!r} {words!r} never came; last: {now and (now.level, now.message)}"
        ) from None
    return {value.key: value.value for value in found.values}


@contextmanager
def camera(stack: Any, period_s: float = 0.02) -> Iterator[list[float]]:
    """A camera that sends; its period, in the list, may be changed."""
    period, end = [period_s], threading.Event()
    publish = stack.publisher(type(stack.send_image()), stack.node.inputs.image_topic, depth=20).publish

    def send() -> None:
        from llavaseg_ros.ros.convert import rgb_to_image

        rgb = np.full((48, 64, 3), 120, np.uint8)
        rgb[8:20, 10:30] = (220, 20, 30)
        while not end.wait(period[0]):
            publish(rgb_to_image(rgb, stack.header()))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield period
    finally:
        end.set()
        thread.join(20.0)


@fault(
    "nothing",
    group="Diagnostics",
    node="reports OK and trust: yes; STALE and trust: no as long as it is not active, or has no image",
    planner="one level to read, that of `<node>: reasoning segmentation`: below 2 it may be trusted",
)
def test_a_sound_node(make_stack: Any) -> None:
    stack = make_stack()
    values = tells(stack, STALE, "no image has come yet")
    assert values["trust"] == "no" and values["image age [s]"] == "none"
    stack.send_image()
    for _ in range(3):
        assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    tells(stack, OK, "ready")
    wait_until(lambda: tells(stack, OK, "ready")["commands"] == "3")
    values = tells(stack, OK, "ready")
    assert values["trust"] == "yes" and values["model state"] == "ready" and values["failed commands"] == "0"
    assert 0.0 < float(values["latency p50 [s]"]) <= float(values["latency p99 [s]"])
    assert float(values["resident memory [MB]"]) > 10 and float(values["available memory [MB]"]) > 0
    for part in ("model", "camera", "commands", "following", "memory"):
        tells(stack, OK, "", part)
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert tells(stack, STALE, "not active (inactive)")["trust"] == "no"
    tells(stack, STALE, "not active", "camera")


@fault(
    "the model is being loaded, cannot be loaded, or hangs",
    group="Diagnostics",
    node="STALE while it loads or loads again, ERROR when no model serves, WARN while a thread hangs",
    planner="trust: no until a model serves; then yes, and the warning tells of the thread",
)
def test_levels_of_the_model(make_stack: Any) -> None:
    gates, loads = [Gate(), Gate()], []
    pipeline = HangingPipeline("REASONING", Gate())

    def loader(_: Any) -> ScriptedPipeline:
        loads.append(1)
        if len(loads) == 1:
            gates[0].wait()
            raise BundleError("bundle /x: sam.safetensors is cut off")
        if len(loads) == 2:
            return pipeline
        gates[1].wait()
        return ScriptedPipeline()

    stack = make_stack(None, loader=loader, ready=False)
    stack.observer.wait_connected()
    tells(stack, STALE, "loading the model")
    gates[0].open.set()
    assert tells(stack, ERROR, "sam.safetensors")["trust"] == "no"  # which is worse than that there is no image
    stack.send_image()
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    tells(stack, OK, "ready")
    handle = stack.send_goal("take the mug")
    tells(stack, OK, "working on a command")
    assert pipeline.gate.inside.wait(60.0)
    overrun(stack)
    assert stack.result(handle).result.error_code == ErrorCode.TIMEOUT
    assert tells(stack, STALE, "loading the model again: REASONING")["trust"] == "no"
    gates[1].open.set()
    values = tells(stack, WARN, "1 thread hangs", "model")
    assert values["watchdog overruns"] == "1" and values["stuck threads"] == "1"
    assert "REASONING" in values["last overrun"] and tells(stack, WARN, "")["trust"] == "yes"
    pipeline.gate.open.set()
    tells(stack, OK, "ready", "model")


@fault(
    "every stage hangs, again and again",
    group="Diagnostics",
    node="ERROR, and says what helps",
    planner="trust: no",
)
def test_level_after_overruns_in_a_row(make_stack: Any) -> None:
    shelf = Shelf("ENCODING", hanging=3)
    stack = make_stack(None, loader=shelf)
    for gate in shelf.gates:
        wait_for(stack, ModelState.READY)
        stack.send_image()
        handle = stack.send_goal("take the mug")
        assert gate.inside.wait(60.0)
        overrun(stack)
        stack.result(handle)
    values = tells(stack, ERROR, "overruns in a row: deactivate and activate the node")
    assert values["trust"] == "no" and values["stuck threads"] == "3"
    shelf.let_go(stack)


@fault(
    "the camera falls silent, slows down, sends broken messages, or stamps of another clock",
    group="Diagnostics",
    node="STALE for an old image, WARN for a rate below half of the usual one or a broken image, ERROR for the clock",
    planner="trust: no for an old image, or one from the future",
)
def test_levels_of_the_camera(make_stack: Any) -> None:
    stack = make_stack()
    with camera(stack) as period:
        wait_until(lambda: float(tells(stack, OK, "", "camera")["usual image rate [Hz]"]) > 10, what="a usual rate")
        before = stack.observer.diagnostics[-1]
        period[0] = 0.3
        tells(stack, WARN, "the camera's rate fell from", "camera", since=before)
    stack.node.set_parameters([stack.parameter("sync.max_image_age_s", 0.1)])
    assert tells(stack, STALE, "the newest image is")["trust"] == "no"
    stack.node.set_parameters([stack.parameter("sync.max_image_age_s", 600.0)])
    stack.send_image()
    before = stack.observer.diagnostics[-1]
    stack.publish_image(b"\x00\x01\x00\x00\x01\x02")
    tells(stack, WARN, "could not be read", "camera", since=before)
    stack.send_image(age_s=-30.0)
    assert tells(stack, ERROR, "in the future: the clocks of camera and node differ")["trust"] == "no"


@fault(
    "commands fail by the model's fault, or too many come",
    group="Diagnostics",
    node=f"WARN after one, and while the queue is full; ERROR after {FAILURES_IN_A_ROW} in a row, until one works, or "
    f"WARN again when none was tried for {RECENT_S:g} s; time-outs of commands that had no time do not count",
    planner="trust: no after three in a row, for a minute",
)
def test_levels_of_the_commands(make_stack: Any) -> None:
    armed, gate = [True], Gate()

    def fail(command: str, _: Any) -> None:
        if command == "wait":
            gate.wait()
        elif armed[0]:
            raise ValueError("a tensor of a strange shape")

    stack = make_stack(ScriptedPipeline(on_segment=fail), queue__policy="queue", queue__depth=1)
    stack.send_image()
    stack.do("take the mug")
    values = tells(stack, WARN, "the last command failed: UNKNOWN: ValueError")
    assert values["trust"] == "yes" and float(values["last error age [s]"]) < 60.0
    for _ in range(FAILURES_IN_A_ROW - 1):
        stack.do("take the mug")
    stack.ask("")  # a fault of the command's: it neither counts nor excuses
    assert tells(stack, ERROR, "the last 3 commands failed")["trust"] == "no"
    stack.node.monitor._error_at -= RECENT_S
    assert tells(stack, WARN, "the last 3 commands failed")["trust"] == "yes"  # or nobody would try again
    armed[0] = False
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    assert tells(stack, OK, "ready")["failed in a row"] == "0"
    running = stack.send_goal("wait")
    assert gate.inside.wait(60.0)
    waiting = stack.send_goal("take the mug")
    tells(stack, WARN, "the queue is full", "commands")
    gate.open.set()
    for handle in (running, waiting):
        assert stack.result(handle).result.error_code == ErrorCode.NONE
    tells(stack, OK, "ready")
    gate.open.clear()
    gate.inside.clear()
    running = stack.send_goal("wait")
    assert gate.inside.wait(60.0)
    for _ in range(FAILURES_IN_A_ROW):  # in line until their time is over: nothing that the model could help
        assert stack.do("take the mug", timeout=Duration(nanosec=1000)).result.error_code == ErrorCode.TIMEOUT
    gate.open.set()
    assert stack.result(running).result.error_code == ErrorCode.NONE
    assert tells(stack, OK, "ready")["failed in a row"] == "0"


@fault(
    "following loses its target, or cannot keep up with the camera",
    group="Diagnostics",
    node="WARN, with for how long, or with the share of frames dropped (`diagnostics.max_drop_share`)",
    planner="trust: yes; the masks are empty while it is lost",
)
def test_levels_of_following(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(follow_s=0.1), follow__enabled=True, diagnostics__max_drop_share=0.5)
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    with camera(stack, 0.01):
        values = tells(stack, WARN, "of the frames are dropped", "following")
        assert float(values["drop share"]) > 0.5
    wait_until(lambda: not stack.node.following.ready() and not stack.node.worker.wanted)
    stack.send_image(np.full((48, 64, 3), 120, np.uint8))
    assert tells(stack, WARN, "has been lost for", "following")
    assert tells(stack, WARN, "")["trust"] == "yes"


@fault(
    "memory gets scarce",
    group="Diagnostics",
    node="WARN when less than a twentieth is left, and after an image had to be made smaller",
    planner="trust: yes",
)
def test_levels_of_memory(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = ScriptedPipeline()
    made_smaller = [0]
    monkeypatch.setattr(pipeline, "describe", lambda: {"name": "scripted", "images_made_smaller": made_smaller[0]})
    stack = make_stack(pipeline)
    tells(stack, OK, " MB", "memory")
    made_smaller[0] = 1
    tells(stack, WARN, "an image was worked on at a smaller size", "memory")
    monkeypatch.setattr(monitor, "RECENT_S", 0.0)
    tells(stack, OK, " MB", "memory")
    monkeypatch.setattr(monitor, "host_memory_mb", lambda: (100.0, 8000.0))
    tells(stack, WARN, "100 of 8000 MB of the host's memory are left", "memory")


@fault(
    "the model cannot describe itself, or hangs while it does",
    group="Diagnostics",
    node="says so; the watchdog and every command go on, for they wait for no description",
    planner="/diagnostics may fall silent; silence for more than 3 s is to be taken for trust: no",
)
def test_a_description_that_fails(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, gate = ScriptedPipeline(), Gate()

    def fail() -> dict[str, Any]:
        raise RuntimeError("no driver")

    stack = make_stack(pipeline)
    stack.send_image()
    monkeypatch.setattr(pipeline, "describe", fail)
    wait_until(lambda: "no driver" in tells(stack, OK, "ready")["model name"], what="the failure to be told")
    monkeypatch.setattr(pipeline, "describe", gate.wait)
    assert gate.inside.wait(60.0)
    try:
        assert stack.do("take the mug").result.error_code == ErrorCode.NONE
        stack.node.set_parameters([stack.parameter("timeout_s", 0.2)])
        pipeline.on_segment = lambda *_: time.sleep(2.0)
        assert stack.do("take the mug").result.error_code == ErrorCode.TIMEOUT  # over its head: time-outs are kept
    finally:
        gate.open.set()


def test_memory_of_this_host() -> None:
    available_mb, total_mb = host_memory_mb()
    assert 0 < available_mb < total_mb and 10 < resident_mb() < total_mb


class HangingCuda:
    """Stands in for `torch.cuda` of a process that computes on a GPU, which at some time does not answer."""

    def __init__(self) -> None:
        self.gate, self.hangs, self.free = Gate(), False, 20_000_000_000

    def is_initialized(self) -> bool:
        return True

    def mem_get_info(self, device: str) -> tuple[int, int]:
        assert device == "cuda:1"
        if self.hangs:
            self.gate.wait()
        return self.free, 80_000_000_000

    def get_device_name(self, device: str) -> str:
        return "a large GPU"

    def memory_allocated(self, device: str) -> int:
        return 14_000_000_000

    def memory_reserved(self, device: str) -> int:
        return 16_000_000_000


@fault(
    "the GPU does not answer, or its memory gets scarce",
    group="Diagnostics",
    node="reads it in a thread of its own: WARN after 10 s without a reading, or with less than a fiftieth left",
    planner="trust: yes, as long as commands work; /diagnostics go on",
)
def test_levels_of_the_gpu(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, cuda = ScriptedPipeline(), HangingCuda()
    monkeypatch.setattr(pipeline, "describe", lambda: {"name": "scripted", "device": "cuda:1"})
    stack = make_stack(pipeline)
    monkeypatch.setattr(stack.node.monitor, "_gpu", GpuWatch(lambda: cuda, period_s=0.02))
    wait_until(lambda: tells(stack, OK, "", "memory").get("GPU") == "a large GPU", what="a reading")
    values = tells(stack, OK, "", "memory")
    assert (values["GPU memory of the models [MB]"], values["GPU memory kept by torch [MB]"]) == ("14000", "16000")
    assert values["GPU memory free [MB]"] == "20000"
    cuda.free = 1_000_000_000
    tells(stack, WARN, "1000 of 80000 MB of the GPU's memory are left", "memory")
    cuda.hangs = True
    assert cuda.gate.inside.wait(60.0)
    monkeypatch.setattr(health, "GPU_SILENCE_S", 0.2)
    tells(stack, WARN, "the GPU a large GPU has not answered", "memory")
    cuda.hangs, cuda.free = False, 20_000_000_000
    cuda.gate.open.set()
    tells(stack, OK, "", "memory")


def test_without_a_gpu_nothing_is_read() -> None:
    watch = GpuWatch(lambda: None)
    assert watch.read() is None and watch._thread is None


def test_the_graph_sees_the_summary_first(make_stack: Any) -> None:
    """Readers of the first status, as those of earlier versions are, get the summary and all values."""
    stack: Stack = make_stack()
    tells(stack, STALE, "")
    first = stack.observer.diagnostics[-1].status[0]  # type: ignore[attr-defined]
    assert first.name.endswith(SUMMARY) and first.hardware_id == first.name.rpartition(":")[0]
    keys = [value.key for value in first.values]
    assert keys[0] == "trust" and len(keys) == len(set(keys)) > 25
