# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the ROS layer costs: time in the image callback, cancel latency, command to mask over DDS, resident memory.

    python benchmarks/bench_ros.py [--model default] [--mode cot] [--device cpu] [--json out/bench_ros.json]

The camera is a process of its own, so that the numbers are those of a robot: nothing is passed inside one process.
`--skip-model` measures the image callback only, without a bundle; `--only-delay` what a frame waits while the model is
idle, busy with commands, and follows: from its arrival in the node's process, and from the camera's stamp, to the end
of the callback.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer, Command
from llavaseg_ros.nodes.llavaseg_node import EXECUTOR_THREADS, LLaVASegNode
from llavaseg_ros.ros.actions import ThreadedActionClient
from llavaseg_ros.ros.cdr import read_stamp_ns
from llavaseg_ros.ros.convert import rgb_to_image
from llavaseg_ros.ros.process import make_room_for_callbacks, use_camera_profile
from llavaseg_ros.ros.worker import ModelState

NAMESPACE = "/bench"
FOLLOWED = "Hand me the red mug."
COMMANDS = ("hand me something to drink from", "the leftmost object", "how many cups are there?", "give me the banana")


def first_frame() -> np.ndarray:
    """The first frame of the demo bag, uint8 [H, W, 3] RGB."""
    from llavaseg_ros.demo.bag_reader import read_frames

    return next(iter(read_frames())).rgb


def camera(width: int, height: int, rate_hz: float) -> None:
    """Publish the demo's first frame in this size until killed; what `--camera` runs in the other process."""
    use_camera_profile()
    rclpy.init(args=[])
    node = Node("camera", namespace=NAMESPACE)
    publisher = node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    msg = rgb_to_image(cv2.resize(first_frame(), (width, height)), Header(frame_id="camera"))
    due = time.monotonic()
    while True:
        msg.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(msg)
        due += 1.0 / rate_hz
        time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child of this Python, ended at the end."""
    child = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(10.0)
        except subprocess.TimeoutExpired:
            child.kill()


@contextmanager
def spinning(node: Node, threads: int = 4) -> Iterator[None]:
    """Spin a node in a thread."""
    executor = MultiThreadedExecutor(threads)
    executor.add_node(node)

    def run() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown(timeout_sec=2.0)
        thread.join(2.0)


def summary(values_s: list[float], digits: int = 3) -> dict[str, float]:
    """Median, 95th and 99th percentile and largest of times, in milliseconds."""
    ordered = sorted(1000 * value for value in values_s)
    return {
        "n": len(ordered),
        "median_ms": round(statistics.median(ordered), digits),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], digits),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], digits),
        "max_ms": round(ordered[-1], digits),
    }


def bench_callback(seconds: float, width: int, height: int, rate_hz: float) -> dict[str, Any]:
    """The node's image callback under a camera at full rate; no model is loaded."""
    times: list[float] = []
    node = LLaVASegNode(namespace=NAMESPACE, parameter_overrides=[Parameter("autostart", value=False)])
    make = node.create_subscription

    def timed_subscription(
        message_type: Any, topic: str, callback: Callable[[Any], None], *args: Any, **more: Any
    ) -> Any:
        def timed(msg: Any) -> None:
            start = time.perf_counter()
            callback(msg)
            times.append(time.perf_counter() - start)

        return make(message_type, topic, timed if topic.endswith("/image") else callback, *args, **more)

    node.create_subscription = timed_subscription  # type: ignore[assignment,method-assign]
    node.trigger_configure()
    arguments = (__file__, "--camera", str(width), str(height), str(rate_hz))
    with spinning(node), process(*arguments):
        wait_for(lambda: len(times) >= 5, 30.0, "images")
        times.clear()
        start, cpu = time.perf_counter(), time.process_time()
        time.sleep(seconds)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    node.close()
    node.destroy_node()
    return {
        "image": f"{width}x{height} rgb8",
        "sent_hz": rate_hz,
        "received_hz": round(len(times) / wall, 1),
        "callback": summary(times),
        "process_cpu_percent": round(100 * cpu / wall, 1),
    }


def bench_delay(model: str, device: str, mode: str, seconds: float, rate_hz: float) -> dict[str, Any]:
    """What a 1920x1080 frame waits until the callback has stored it, by what the model does meanwhile."""
    frames: list[tuple[float, float, int]] = []  # seconds from arrival, seconds from stamp, stamp in ns
    make_room_for_callbacks()
    overrides = {"model": model, "device": device, "mode": mode, "autostart": False, "queue.policy": "queue"}
    node = LLaVASegNode(
        namespace=NAMESPACE, parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()]
    )
    make = node.create_subscription

    def timed_subscription(
        message_type: Any, topic: str, callback: Callable[[Any], None], *args: Any, **more: Any
    ) -> Any:
        def timed(msg: Any, info: dict[str, int]) -> None:
            callback(msg)
            now, stamp = time.time_ns(), read_stamp_ns(msg)
            frames.append((1e-9 * (now - info["received_timestamp"]), 1e-9 * (now - stamp), stamp))

        return make(message_type, topic, timed if topic.endswith("/image") else callback, *args, **more)

    node.create_subscription = timed_subscription  # type: ignore[assignment,method-assign]
    node.trigger_configure()
    node.trigger_activate()
    client = Client()
    commands = client.create_publisher(Command, "command", 50)
    done = threading.Event()
    client.create_subscription(Answer, "llavaseg/answer", lambda _: done.set(), 50)

    def ask(text: str) -> None:
        done.clear()
        commands.publish(Command(text=text))
        done.wait(60.0)

    def measure(work: Callable[[], object]) -> dict[str, Any]:
        frames.clear()
        followed, end = node.following.followed, time.monotonic() + seconds
        calls = 0
        while time.monotonic() < end:
            work()
            calls += 1
        seen = list(frames)
        stamps = np.array([stamp for *_, stamp in seen], np.int64)
        lost = int(np.maximum(np.rint(np.diff(stamps) * 1e-9 * rate_hz) - 1, 0).sum())
        return {
            "calls": calls,
            "followed_hz": round((node.following.followed - followed) / seconds, 1),
            "from_arrival": summary([seconds for seconds, _, _ in seen]),
            "from_stamp": summary([seconds for _, seconds, _ in seen]),
            "frames_lost": lost,
        }

    report: dict[str, Any] = {"image": "1920x1080 rgb8", "sent_hz": rate_hz}
    with (
        spinning(node, EXECUTOR_THREADS),
        spinning(client),
        process(__file__, "--camera", "1920", "1080", str(rate_hz)),
    ):
        wait_for(lambda: node.worker.state is ModelState.READY, 300.0, "the model")
        wait_for(lambda: len(frames) >= 30 and commands.get_subscription_count(), 30.0, "images")
        report["model_idle"] = measure(lambda: time.sleep(0.1))
        turns = itertools.cycle(COMMANDS)
        report["commands"] = measure(lambda: ask(next(turns)))
        node.set_parameters([Parameter("follow.enabled", value=True)])
        ask(FOLLOWED)
        report["follow_state"] = node.following.state
        report["follow"] = measure(lambda: time.sleep(0.1))
    node.close()
    client.destroy_node()
    node.destroy_node()
    return report


class Client(Node):
    """Sends goals and reads the node's diagnostics."""

    def __init__(self) -> None:
        super().__init__("client", namespace=NAMESPACE)
        self.action: Any = ThreadedActionClient(self, Segment, "llavaseg/segment")
        self.values: dict[str, str] = {}
        self.create_subscription(DiagnosticArray, "/diagnostics", self._keep, 10)

    def _keep(self, msg: DiagnosticArray) -> None:
        self.values.update({value.key: value.value for status in msg.status for value in status.values})

    def run(self, text: str, image: Image, *, cancel: bool = False) -> tuple[float, int]:
        """(seconds, error code) from sending a goal, or from its cancel at the first token, to its result."""
        reasoning, done = threading.Event(), threading.Event()

        def feedback(msg: Any) -> None:
            if msg.feedback.partial_text:
                reasoning.set()

        start = time.perf_counter()
        goal = Segment.Goal(text=text, use_image=True, image=image)
        handle = wait_result(self.action.send_goal_async(goal, feedback_callback=feedback))
        result = handle.get_result_async()
        result.add_done_callback(lambda _: done.set())
        if cancel:
            reasoning.wait(60.0)
            start = time.perf_counter()
            handle.cancel_goal_async()
        done.wait(120.0)
        return time.perf_counter() - start, int(result.result().result.error_code)


def wait_result(future: Any) -> Any:
    """The result of a future that an executor in another thread completes."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(60.0):
        raise TimeoutError("no answer from the node")
    return future.result()


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Poll until the condition holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.01)


def bench_model(model: str, device: str, mode: str, picture: np.ndarray, repeats: int) -> dict[str, Any]:
    """The node as a process with its model: command to mask, cancel latency, memory."""
    arguments = ["-m", "llavaseg_ros.nodes.llavaseg_node", "--ros-args", "-r", f"__ns:={NAMESPACE}"]
    for parameter in (f"model:={model}", f"device:={device}", f"mode:={mode}"):
        arguments += ["-p", parameter]
    client = Client()
    started = time.perf_counter()
    with process(*arguments), spinning(client):
        wait_for(lambda: client.values.get("model state") in ("ready", "error"), 300.0, "the model")
        if client.values["model state"] == "error":
            raise SystemExit(client.values.get("model error", "the model could not be loaded"))
        ready_s = time.perf_counter() - started
        idle_mb = client.values["resident memory [MB]"]
        first, second, cancels = [], [], []
        for number in range(repeats):
            image = rgb_to_image(np.roll(picture, 8 * number, axis=1), Header(frame_id="camera"))
            first.append(client.run(COMMANDS[number % len(COMMANDS)], image)[0])
            second.append(client.run(COMMANDS[(number + 1) % len(COMMANDS)], image)[0])
            seconds, code = client.run("describe everything on the table", image, cancel=True)
            if code == ErrorCode.PREEMPTED:  # else the command was done before the cancel came
                cancels.append(seconds)
        time.sleep(1.5)
        peak_mb = client.values["resident memory [MB]"]
    client.destroy_node()
    return {
        "start_to_ready_s": round(ready_s, 2),
        "command_new_image": summary(first, 1),
        "command_goal_image_again": summary(second, 1),
        "cancel": summary(cancels, 1) if cancels else "every command was done before its cancel came",
        "resident_mb_loaded": float(idle_mb),
        "resident_mb_after_commands": float(peak_mb),
    }


def rows(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values for the printed table."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from rows(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)


def main() -> int:
    """Run the benchmarks, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--mode", default="cot", choices=("cot", "fast", "auto"))
    parser.add_argument("--image", type=Path, help="a photograph to ask about; default: a frame of the demo bag")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the camera benchmark")
    parser.add_argument("--rate", type=float, default=30.0, help="frames a second of the camera")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--skip-model", action="store_true")
    parser.add_argument("--only-delay", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("out/bench_ros.json"))
    parser.add_argument("--camera", nargs=3, type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.camera:
        camera(int(options.camera[0]), int(options.camera[1]), options.camera[2])
        return 0
    rclpy.init(args=[])
    report: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    if not options.only_delay:
        report["image_callback"] = bench_callback(options.seconds, 1920, 1080, options.rate)
    if not options.skip_model:
        report["frame_delay"] = bench_delay(options.model, options.device, options.mode, options.seconds, options.rate)
    if not options.skip_model and not options.only_delay:
        if options.image:
            from llavaseg_ros.images import read_rgb

            picture = read_rgb(options.image)
        else:
            picture = first_frame()
        report["node"] = bench_model(options.model, options.device, options.mode, picture, options.repeats)
    rclpy.try_shutdown()
    table = list(rows(report))
    width = max(len(name) for name, _ in table)
    for name, value in table:
        print(f"{name:<{width}}  {value}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {options.json}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
