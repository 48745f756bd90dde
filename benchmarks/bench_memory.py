# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Does the node grow? Commands, then followed frames, through the real node; memory, threads and files meanwhile.

    python benchmarks/bench_memory.py [--commands 1000] [--frames 10000] [--scripted] [--json out/bench_memory.json]

`--scripted` puts the tests' scripted pipeline in the model's place: what grows then is the ROS path. Every command and
every frame has a new image. The growth is that from the first tenth of each part (lazily made things exist by then) to
its end.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import numpy as np
import rclpy
from bench_ros import COMMANDS, EXECUTOR_THREADS, FOLLOWED, NAMESPACE, first_frame, spinning, wait_for
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.msg import Answer, Command, TargetMaskArray
from llavaseg_ros.nodes.llavaseg_node import LLaVASegNode, load_pipeline
from llavaseg_ros.ros.convert import rgb_to_image
from llavaseg_ros.ros.diagnostics import resident_mb
from llavaseg_ros.ros.worker import ModelState

SAMPLES = 10  # of each part


def sample(done: int) -> dict[str, float]:
    """Where the process stands after so many commands or frames."""
    gc.collect()
    return {
        "done": done,
        "resident_mb": round(resident_mb(), 1),
        "threads": threading.active_count(),
        "system_threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
    }


class Robot(Node):
    """A camera, somebody who commands, and a planner."""

    def __init__(self, picture: np.ndarray) -> None:
        super().__init__("robot", namespace=NAMESPACE)
        self._picture, self._sent = picture, 0
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.camera = self.create_publisher(Image, "image", best_effort)
        self.commands = self.create_publisher(Command, "command", 50)
        self.answers = self.masks = 0
        self.create_subscription(Answer, "llavaseg/answer", self._count_answer, 50)
        self.create_subscription(TargetMaskArray, "llavaseg/masks", self._count_masks, 50)

    def _count_answer(self, _: Answer) -> None:
        self.answers += 1

    def _count_masks(self, _: TargetMaskArray) -> None:
        self.masks += 1

    def send_frame(self) -> None:
        """The picture, shaken a little, so that no two frames are the same."""
        self._sent += 1
        rgb = np.roll(self._picture, self._sent % 7, axis=1)
        self.camera.publish(rgb_to_image(rgb, Header(stamp=self.get_clock().now().to_msg(), frame_id="camera")))

    def ask(self, text: str) -> None:
        """A command and its answer."""
        before = self.answers
        self.commands.publish(Command(text=text))
        wait_for(lambda: self.answers > before, 120.0, f"the answer to {text!r}")


def part(total: int, step: Callable[[int], None]) -> dict[str, Any]:
    """Do `step` so often, with samples on the way."""
    every = max(1, total // SAMPLES)
    samples = []
    for number in range(1, total + 1):
        step(number)
        if number % every == 0:
            samples.append(sample(number))
            print("  ".join(f"{name} {value:g}" for name, value in samples[-1].items()), flush=True)
    first, last = samples[0], samples[-1]
    growth = {name: round(last[name] - first[name], 1) for name in first if name != "done"}
    return {"samples": samples, "growth": growth, "over": last["done"] - first["done"]}


def main() -> int:
    """Run both parts, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--scripted", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, default=Path("out/bench_memory.json"))
    options = parser.parse_args()
    loader: Callable[[Any], Any] = load_pipeline
    if options.scripted:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "ros"))
        from scripted_pipeline import ScriptedPipeline

        class Forgetful(ScriptedPipeline):
            """Keeps no list of what it has seen."""

            def set_image(self, rgb: np.ndarray) -> None:
                for notes in (self.images, self.commands, self.histories, self.followed):
                    notes.clear()
                super().set_image(rgb)

        loader = lambda _: Forgetful(tokens=1)  # noqa: E731
    rclpy.init(args=[])
    values = {"device": options.device, "sync.max_image_age_s": 0.0, "timeout_s": 120.0}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = LLaVASegNode(loader=loader, namespace=NAMESPACE, parameter_overrides=overrides)
    robot = Robot(first_frame())

    def command(number: int) -> None:
        before = node.inputs.images.count
        robot.send_frame()
        wait_for(lambda: node.inputs.images.count > before, 30.0, "the frame")
        robot.ask(COMMANDS[number % len(COMMANDS)])

    def follow(number: int) -> None:
        before = node.following.followed
        robot.send_frame()
        wait_for(lambda: node.following.followed > before, 60.0, "the frame's mask")

    with spinning(node, EXECUTOR_THREADS), spinning(robot):
        wait_for(lambda: node.worker.state is ModelState.READY, 300.0, "the model")
        wait_for(
            lambda: robot.camera.get_subscription_count() and robot.commands.get_subscription_count(), 30.0, "node"
        )
        started = time.monotonic()
        report: dict[str, Any] = {"model": "scripted" if options.scripted else "default", "image": "640x480 rgb8"}
        print("commands")
        report["commands"] = part(options.commands, command)
        node.set_parameters([Parameter("follow.enabled", value=True), Parameter("follow.relook_after_s", value=0.0)])
        robot.ask(FOLLOWED)
        if node.following.state != "following":
            raise SystemExit(f"{FOLLOWED!r} found nothing to follow on the demo's first frame")
        print("followed frames")
        report["frames"] = part(options.frames, follow)
        report["seconds"] = round(time.monotonic() - started, 1)
    node.close()
    for each in (robot, node):
        each.destroy_node()
    rclpy.try_shutdown()
    for name in ("commands", "frames"):
        print(f"growth over {report[name]['over']:g} {name}: {report[name]['growth']}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {options.json}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
