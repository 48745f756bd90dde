# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One name in the graph, and the node's processes that have it one after the other, beside a client and an observer."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from observer import Observer
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from ros_harness import DOMAIN, Recorder, latched, picture, spin_in_thread, wait_until
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer, Command, TargetMaskArray
from llavaseg_ros.ros.convert import rgb_to_image

STAGED = Path(__file__).with_name("staged_node.py")
SHARED_MEMORY = Path("/dev/shm")
START_S = 240.0
PROBE_S = 0.5  # between two tries to reach a node that has just begun


class NodeProcess:
    """A node in a process. `said` waits for a line; `end` for its end."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self.lines: list[str] = []
        everything = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONUNBUFFERED": "1", **environment}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=everything
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def said(self, word: str) -> None:
        """Until it has said this. Long, because a process has to import much, and machines are busy."""

        def heard() -> bool:
            assert self.process.poll() is None or any(word in line for line in list(self.lines)), self.output
            return any(word in line for line in list(self.lines))

        wait_until(heard, START_S, what=f"the process to say {word!r}")

    @property
    def output(self) -> str:
        """Everything that it said."""
        return "".join(self.lines)

    def end(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end. The exit code, negative for a signal that killed it."""
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self._reader.join(10)

    def segments(self) -> set[Path]:
        """The shared memory that it owns: it holds a lock on the file beside each."""
        inodes = set()
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[4:5] == [str(self.process.pid)]:
                inodes.add(fields[5].rpartition(":")[2])
        beside = re.compile(r"fast(dds|rtps)_[0-9a-f]{16}_el")
        found = set()
        for path in SHARED_MEMORY.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process's, and gone meanwhile
                if beside.fullmatch(path.name) and str(path.stat().st_ino) in inodes:
                    found.add(path.with_name(path.name.removesuffix("_el")))
        return found


class Room:
    """See the module's text. Only one node at a time; `node` is the one that runs."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.node: NodeProcess | None = None
        self.observer = Observer(namespace, DOMAIN)
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        self.client = Node("client", namespace=namespace, context=self.context, use_global_arguments=False)
        self.answers = Recorder(self.client, Answer, "llavaseg/answer", latched(50))
        self.masks = Recorder(self.client, TargetMaskArray, "llavaseg/masks", latched(50))
        self._image = self.client.create_publisher(Image, "image", QoSProfile(depth=20))
        self._command = self.client.create_publisher(Command, "command", QoSProfile(depth=50))
        self._executor: Any = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.client)
        self._spinner = spin_in_thread(self._executor)
        self._numbers = itertools.count(1)
        for publisher in (self._image, self._command):  # the observer has to hear everything
            wait_until(lambda p=publisher: p.get_subscription_count() > 0, what="the observer")

    def start(self, **parameters: object) -> NodeProcess:
        """Start a node, and no more."""
        self.observer.node_gone()  # whatever had this name before
        values = {"warm_up": "false", "sync.max_image_age_s": "600.0", **parameters}
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
        self.node = NodeProcess([sys.executable, str(STAGED), "--ros-args", "-r", f"__ns:={self.namespace}", *words])
        return self.node

    def ready(self) -> NodeProcess:
        """The node that runs, or a new one, which has found a target. What did not reach it until then is not owed."""
        if self.node is None:
            self.start()
        assert self.node is not None
        while True:
            text = f"take the red mug, try {next(self._numbers)}"
            self.send_image()
            self.send(text)
            end = time.monotonic() + PROBE_S
            while time.monotonic() < end:
                # The observer, too: discovery may still leave it out.
                if any(answer.found for answer in self.finals(text)) and self.observer.finals(text):
                    self.observer.wait_connected()
                    self.observer.node_gone()
                    return self.node
                assert self.node.process.poll() is None, self.node.output
                time.sleep(0.01)

    def send_image(self, rgb: np.ndarray | None = None) -> Image:
        """Send a frame."""
        header = Header(frame_id="camera", stamp=self.client.get_clock().now().to_msg())
        msg = rgb_to_image(picture() if rgb is None else rgb, header)
        self._image.publish(msg)
        return msg

    def send(self, text: str) -> None:
        """Send a command."""
        self._command.publish(Command(text=text))

    def finals(self, text: str) -> list[Answer]:
        """The final answers to a command so far."""
        return [answer for answer in self.answers.messages if answer.final and answer.command == text]

    def check_right(self) -> None:
        """The node gives a right answer to one command, with the masks of an image that was sent to it."""
        text = f"take the red mug, once {next(self._numbers)}"
        self.send_image()
        self.send(text)
        answer = wait_until(lambda: self.finals(text), what="the answer")[0]
        # The topic keeps one answer: the next must not take its place before the observer has it.
        wait_until(lambda: self.observer.finals(text), what="the answer at the observer")
        assert answer.found and answer.error_code == ErrorCode.NONE, f"{answer.error_code}: {answer.error_msg}"
        masks = wait_until(lambda: [m for m in self.masks.messages if m.command_id == answer.command_id])[0]
        assert masks.header == answer.header and masks.targets[0].area_px == 20 * 12

    def follow(self) -> None:
        """Switch follow mode on."""
        service = self.client.create_client(SetBool, "llavaseg/follow")
        try:
            # After a kill the graph still holds the dead one for a while: ask until somebody answers.
            while True:
                future, done = service.call_async(SetBool.Request(data=True)), threading.Event()
                future.add_done_callback(lambda _, done=done: done.set())
                if done.wait(PROBE_S):
                    assert future.result().success
                    return
                service.remove_pending_request(future)
        finally:
            self.client.destroy_client(service)

    def end(self, number: signal.Signals) -> int:
        """End the node that runs by this signal. Its exit code."""
        assert self.node is not None
        code = self.node.end(number)
        if number == signal.SIGKILL:
            self.observer.node_gone()
        self.node = None
        return code

    def close(self) -> None:
        """End everything."""
        if self.node is not None:
            self.node.end(signal.SIGKILL)
        self._executor.shutdown(timeout_sec=10.0)
        self.client.destroy_node()
        rclpy.shutdown(context=self.context)
        self._spinner.join(10.0)
        self.observer.close()
