# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node over DDS: what it publishes, what a stop does, and what it says when something is missing."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_harness import DOMAIN, Recorder, Stack, latched, spin_in_thread, wait_until
from scripted_pipeline import ScriptedPipeline
from std_msgs.msg import Empty, String

from llavaseg_ros.errors import BadRequest, ErrorCode
from llavaseg_ros.msg import Command
from llavaseg_ros.nodes.speech_command import SPECS, SpeechCommand
from llavaseg_ros.ros.qos import COMMAND
from llavaseg_ros.speech.audio import Recording
from llavaseg_ros.speech.errors import MicrophoneAway, SpeechNotReady
from llavaseg_ros.speech.recognizer import Recognizer
from llavaseg_ros.speech.stop_words import words_of

_numbers = itertools.count(1)


class WhenMatched:
    """A source that is silent until `matched` is set: what it makes the node publish must have subscribers by then."""

    def __init__(self, source: Any) -> None:
        self.source, self.name, self.matched = source, source.name, threading.Event()

    @property
    def behind_s(self) -> float:
        return float(self.source.behind_s)

    def blocks(self, stop: threading.Event) -> Iterator[Any]:
        while not self.matched.wait(0.01):
            if stop.is_set():
                return
        yield from self.source.blocks(stop)


class SpeechStack:
    """The node and a client that records everything it says, in a context and a namespace of their own."""

    def __init__(
        self,
        namespace: str | None = None,
        *,
        listen_to: Any = None,
        recognizer: Any = None,
        stop_topic: str = "stop",
        **values: Any,
    ) -> None:
        self.namespace = namespace or f"/s{os.getpid()}_{next(_numbers)}"
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        common: dict[str, Any] = {"namespace": self.namespace, "context": self.context, "use_global_arguments": False}
        self.client = Node("client", **common)
        self.texts = Recorder(self.client, String, "command_text", COMMAND)
        self.commands = Recorder(self.client, Command, "command", COMMAND)
        self.stops = Recorder(self.client, Empty, stop_topic, COMMAND)
        self.heard = Recorder(self.client, String, "speech_command/heard", latched(10))
        self.states = Recorder(self.client, String, "speech_command/state", latched(10))
        self.diagnostics = Recorder(self.client, DiagnosticArray, "/diagnostics", COMMAND)
        self.executor: Any = MultiThreadedExecutor(2, context=self.context)
        self.executor.add_node(self.client)
        source = WhenMatched(listen_to) if listen_to else None
        self.node: SpeechCommand | None = None
        try:
            self.node = SpeechCommand(
                source=source,
                recognizer=recognizer,
                parameter_overrides=[Parameter(name.replace("__", "."), value=v) for name, v in values.items()],
                **common,
            )
            self.executor.add_node(self.node)
        except Exception:
            self.close()
            raise
        self.spinner = spin_in_thread(self.executor)
        if source is not None:
            # In the namespace of a node under test that one takes commands and stops as well.
            subscribers = 1 if namespace is None else 2
            for publisher in self.node.publishers:
                if publisher.topic_name.rpartition("/")[2] in ("command", "command_text", stop_topic):
                    wait_until(lambda p=publisher: p.get_subscription_count() >= subscribers, what=publisher.topic_name)
            source.matched.set()

    def status(self) -> Any:
        """The node's newest diagnostics."""
        name = f"{self.namespace.lstrip('/')}/speech_command: speech"
        found = [s for m in self.diagnostics.messages for s in m.status if s.name == name]
        return found[-1] if found else None

    def close(self) -> None:
        if self.node is not None:
            assert self.node.close()
        self.executor.shutdown(timeout_sec=20.0)
        for node in (self.client, self.node):
            if node is not None:
                node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def make() -> Iterator[Callable[..., SpeechStack]]:
    stacks: list[SpeechStack] = []

    def start(*arguments: Any, **options: Any) -> SpeechStack:
        stacks.append(SpeechStack(*arguments, **options))
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.close()


def test_two_commands_as_text(make: Any, recognizer: Recognizer, recordings: Path) -> None:
    stack = make(recognizer=recognizer, listen_to=Recording(recordings / "two_commands.wav"))
    texts = [words_of(message.data) for message in stack.texts.wait(2)]
    assert texts == [words_of("Hand me something to drink from"), words_of("Hand me the red mug")]
    wait_until(lambda: [m.data for m in stack.states.messages][-1:] == ["ended"], what="the end")
    assert len(stack.heard.wait(2)) == 2 and not stack.stops.messages and not stack.commands.messages
    wait_until(lambda: stack.status() and "ended" in stack.status().message, what="diagnostics")
    wait_until(lambda: dict(_pairs(stack.status()))["commands"] == "2", what="the counts")
    wait_until(lambda: words_of(dict(_pairs(stack.status()))["last heard"]) == texts[1], what="the last one heard")


def test_a_session_makes_commands_of_it(make: Any, recognizer: Recognizer, recordings: Path) -> None:
    recording = Recording(recordings / "red_mug.wav")
    stack = make(recognizer=recognizer, listen_to=recording, session_id="anna")
    (command,) = stack.commands.wait(1)
    assert words_of(command.text) == words_of("Hand me the red mug") and command.session_id == "anna"
    assert command.header.stamp.sec > 0 and not stack.texts.messages


def test_stop_goes_out_and_its_utterance_does_not(make: Any, recognizer: Recognizer, recordings: Path) -> None:
    stack = make(recognizer=recognizer, listen_to=Recording(recordings / "taken_back.wav"))
    stack.stops.wait(1)
    wait_until(lambda: [m.data for m in stack.states.messages][-1:] == ["ended"], what="the end")
    wait_until(lambda: stack.status() and dict(_pairs(stack.status()))["dropped"] == "1", what="diagnostics")
    assert not stack.texts.messages and len(stack.stops.messages) == 1
    assert "stop" in words_of(stack.heard.wait(1)[0].data)


def test_a_stop_that_nobody_takes_is_told(
    make: Any, recognizer: Recognizer, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recording = Recording(recordings / "stop.wav")
    stack = make(recognizer=recognizer, listen_to=recording, stop_topic="somewhere_else")
    nobody = f"nobody subscribes to {stack.namespace}/stop"
    wait_until(lambda: stack.status() and nobody in stack.status().message, what="diagnostics")
    assert stack.status().level == DiagnosticStatus.WARN
    wait_until(lambda: dict(_pairs(stack.status()))["stops"] == "1", what="the stop")
    logged = ""

    def told() -> bool:
        nonlocal logged
        logged += capfd.readouterr().err
        return f"{nobody}: this stop is lost" in logged

    wait_until(told, what="the log")
    subscription = stack.client.create_subscription(Empty, "stop", lambda _: None, COMMAND)
    wait_until(lambda: stack.status().level == DiagnosticStatus.OK, what="diagnostics of a stop that is taken")
    stack.client.destroy_subscription(subscription)


def _pairs(status: Any) -> list[tuple[str, str]]:
    return [(pair.key, pair.value) for pair in status.values]


def test_stop_ends_the_command_that_runs(make: Any, recognizer: Recognizer, recordings: Path) -> None:
    stack = Stack(ScriptedPipeline(tokens=100_000, token_s=0.01)).wait_ready()
    try:
        stack.send_image()
        stack.send_command("hand me the red mug")
        wait_until(lambda: stack.node.worker.busy, what="the command to run")
        speech = make(stack.namespace, recognizer=recognizer, listen_to=Recording(recordings / "stop.wav"))
        speech.stops.wait(1)
        answer = wait_until(lambda: stack.final_answers(), what="the answer")[0]
        assert answer.error_code == ErrorCode.PREEMPTED and "stop" in answer.error_msg
    finally:
        stack.close()


class Unplugged:
    """A microphone that goes away in the middle of the first utterance, and comes back."""

    behind_s, name = 0.0, "usb"

    def __init__(self, recording: Recording, cut_s: float) -> None:
        self.recording, self.cut = recording, round(cut_s / 0.032)
        self.back = threading.Event()
        self.times = 0

    def blocks(self, stop: threading.Event) -> Iterator[Any]:
        self.times += 1
        if self.times == 1:
            yield from itertools.islice(self.recording.blocks(stop), self.cut)
            raise MicrophoneAway("'USB Headset' sends nothing any more: was it unplugged?")
        if not self.back.is_set():
            raise MicrophoneAway("no microphone")
        yield from self.recording.blocks(stop)


def test_a_microphone_unplugged_in_a_command(make: Any, recognizer: Recognizer, recordings: Path) -> None:
    source = Unplugged(Recording(recordings / "red_mug.wav"), cut_s=1.9)  # "Hand me the"
    stack = make(recognizer=recognizer, listen_to=source, retry_s=0.1)
    wait_until(lambda: stack.status() and stack.status().level == DiagnosticStatus.ERROR, what="diagnostics")
    wait_until(lambda: "no microphone" in stack.status().message, what="the newest reason")
    assert [message.data for message in stack.states.messages][-1] == "microphone away"
    assert not stack.texts.messages
    source.back.set()
    (text,) = stack.texts.wait(1)
    assert words_of(text.data) == words_of("Hand me the red mug")
    values = dict(_pairs(wait_until(lambda: stack.status())))
    assert values["dropped"] == "1"


def test_a_recording_waits_for_a_subscriber(recognizer: Recognizer, recordings: Path) -> None:
    """What is said before discovery is over would be lost."""
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN, args=[])
    common: dict[str, Any] = {"namespace": f"/w{os.getpid()}", "context": context, "use_global_arguments": False}
    overrides = [Parameter("source", value=str(recordings / "red_mug.wav"))]
    node = SpeechCommand(recognizer=recognizer, parameter_overrides=overrides, **common)
    executor: Any = MultiThreadedExecutor(2, context=context)
    executor.add_node(node)
    spin_in_thread(executor)
    try:
        wait_until(lambda: node._waiting_said, what="the node to wait")
        assert not node._listener._threads[0].is_alive()
        client = Node("client", **common)
        texts = Recorder(client, String, "command_text", COMMAND)
        executor.add_node(client)
        assert words_of(texts.wait(1)[0].data) == words_of("Hand me the red mug")
        assert node.close()
    finally:
        executor.shutdown(timeout_sec=20.0)
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"source": "/nowhere/a.wav"}, BadRequest, "/nowhere/a.wav"),
        ({"source": " "}, BadRequest, "parameter source"),
        ({"model": "/nowhere"}, SpeechNotReady, "/nowhere"),
        ({"language": "de"}, BadRequest, "'de'"),
        ({"stop__words": ["?"]}, BadRequest, "stop word"),
    ],
)
def test_what_is_missing_is_named(recordings: Path, values: dict[str, Any], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        SpeechStack(**{"source": str(recordings / "stop.wav"), **values})


def test_parameters_are_described() -> None:
    assert all(spec.text.endswith(".") and spec.change == "never" for spec in SPECS)
    page = (Path(__file__).resolve().parents[2] / "docs" / "speech.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+?) \|", page, re.MULTILINE))
    for spec in SPECS:
        default = str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default)
        assert rows.get(spec.name) == (default or "empty"), spec.name


def start(*parameters: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "llavaseg_ros.nodes.speech_command", "--ros-args"]
    arguments += ["-r", f"__ns:=/p{os.getpid()}_{next(_numbers)}"]
    for parameter in parameters:
        arguments += ["-p", parameter]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_process_ends_quietly_in_the_middle_of_a_recording(recordings: Path, number: signal.Signals) -> None:
    process = start(f"source:={recordings / 'two_commands.wav'}", "wait_for_subscriber:=false")
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "listening" in line:
                break
        process.send_signal(number)
        rest = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in rest, rest


def test_process_without_its_file_says_so() -> None:
    process = start("source:=/nowhere/a.wav")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "/nowhere/a.wav" in output and "Traceback" not in output
