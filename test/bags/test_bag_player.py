# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `bag_player` over DDS: pictures, stamps, pace, and what it says of a bag that it cannot play."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Tests talk to themselves only. Before the first context is made.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import rclpy
from bag_material import (
    PERIOD_NS,
    Entry,
    camera_bag,
    camera_info,
    color,
    jpeg,
    picture,
    storage_file,
    write_bag,
)
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_harness import DOMAIN, WAIT_S, Recorder, Stack, spin_in_thread, wait_until
from scripted_pipeline import ScriptedPipeline
from sensor_msgs.msg import CameraInfo, Image

from llavaseg_ros.demo.bag_reader import DEMO_BAG
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.nodes.bag_player import BagPlayer
from llavaseg_ros.ros.convert import to_depth_m, to_rgb
from llavaseg_ros.ros.messages import stamp_ns

_numbers = itertools.count(1)


class Rig:
    """A listener, and then the player, in a namespace of their own (or in a stack's)."""

    def __init__(self, bag: Path, stack: Stack | None = None, **parameters: Any) -> None:
        namespace = stack.namespace if stack else f"/p{os.getpid()}_{next(_numbers)}"
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        common: dict[str, Any] = {"namespace": namespace, "context": self.context, "use_global_arguments": False}
        self.listener = Node("listener", **common)
        self.heard = {
            topic: Recorder(self.listener, kind, topic, 100)
            for topic, kind in (
                ("image", Image),
                ("camera_info", CameraInfo),
                ("depth/image", Image),
                ("depth/camera_info", CameraInfo),
            )
        }
        values = {"bag": str(bag), **parameters}
        self.executor = MultiThreadedExecutor(4, context=self.context)
        self.executor.add_node(self.listener)
        self.player: BagPlayer | None = None
        try:
            self.player = BagPlayer(
                parameter_overrides=[Parameter(name, value=value) for name, value in values.items()], **common
            )
            self.executor.add_node(self.player)
        finally:
            self.spinner = spin_in_thread(self.executor)
            if self.player is None:
                self.close()

    def close(self) -> None:
        if self.player is not None:
            self.player.close()
            self.player._thread.join(WAIT_S)  # close() itself waits for a machine that has time
            assert self.player.close()
        self.executor.shutdown(timeout_sec=20.0)
        for node in filter(None, (self.listener, self.player)):
            node.destroy_node()
        rclpy.shutdown(context=self.context)
        self.spinner.join(20.0)


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(bag: Path, stack: Stack | None = None, **parameters: Any) -> Rig:
        made.append(Rig(bag, stack, **parameters))
        return made[-1]

    yield make
    for one in reversed(made):
        one.close()


def test_the_camera_of_the_bag_with_stamps_of_now(tmp_path: Path, rig: Callable[..., Rig]) -> None:
    one = rig(camera_bag(tmp_path / "bag", 5))
    images = one.heard["image"].wait(6)[:6]  # more would be more than one beginning
    now = one.listener.get_clock().now().nanoseconds
    stamps = [stamp_ns(image.header.stamp) for image in images]
    assert all(abs(now - stamp) < 120 * 10**9 for stamp in stamps)
    # In the bag's own distances, and on from there when it begins again.
    steps = np.diff(stamps)
    assert np.count_nonzero(steps == PERIOD_NS) >= len(steps) - 2
    assert (steps > 0).all()
    pictures = [to_rgb(image) for image in images]
    assert all(any((seen == picture(number)).all() for number in range(5)) for seen in pictures)
    depth = one.heard["depth/image"].wait(1)[0]
    assert np.nanmax(to_depth_m(depth)) == pytest.approx(0.8)

    def seen(topic: str) -> set[int]:
        return {stamp_ns(message.header.stamp) for message in one.heard[topic].messages}

    wait_until(lambda: seen("image") & seen("depth/image"), what="color and depth of one stamp")
    assert one.heard["camera_info"].wait(1)[0].k[0] == 60.0
    assert one.heard["depth/camera_info"].wait(1)[0].k[0] == 60.0


def test_rate_shrinks_the_distances_and_without_loop_it_ends(tmp_path: Path, rig: Callable[..., Rig]) -> None:
    entries = [Entry("/cam/image", color(number), number) for number in range(30)]
    one = rig(write_bag(tmp_path / "bag", entries), rate=5.0, loop=False)
    assert one.player is not None
    one.player._thread.join(WAIT_S)
    assert not one.player._thread.is_alive()
    stamps = [stamp_ns(image.header.stamp) for image in one.heard["image"].wait(5)]
    assert len(stamps) <= 30
    assert {int(step) % (PERIOD_NS // 5) for step in np.diff(stamps)} == {0}


def test_compressed_pictures_are_decoded(tmp_path: Path, rig: Callable[..., Rig]) -> None:
    entries = [Entry("/cam/image/compressed", jpeg(number), number) for number in range(3)]
    image = rig(write_bag(tmp_path / "bag", entries)).heard["image"].wait(1)[0]
    assert image.encoding == "rgb8"
    assert any((to_rgb(image) == picture(number)).all() for number in range(3))
    one = rig(DEMO_BAG)
    assert one.heard["image"].wait(1)[0].width == 640
    depth = to_depth_m(one.heard["depth/image"].wait(1)[0])
    assert 0.3 < np.nanmedian(depth) < 2.0


def test_one_calibration_serves_both(tmp_path: Path, rig: Callable[..., Rig]) -> None:
    from bag_material import depth

    entries = [
        Entry("/cam/camera_info", camera_info(0), 0),
        Entry("/cam/image", color(0), 0),
        Entry("/cam/depth", depth(0), 0),
        Entry("/cam/depth", depth(1), 1),
    ]
    one = rig(write_bag(tmp_path / "bag", entries), depth_camera_info="/cam/camera_info")
    assert one.heard["camera_info"].wait(1) and one.heard["depth/camera_info"].wait(1)


def test_with_the_node_a_command_is_answered_with_geometry(tmp_path: Path, rig: Callable[..., Rig]) -> None:
    stack = Stack(ScriptedPipeline(), sync__depth_slop_s=10.0)  # none of these depth images is of another scene
    try:
        stack.wait_ready()
        # The command goes out with the first image: each of the others must have been there by then.
        rig(camera_bag(tmp_path / "first", 10), stack)
        inputs = stack.node.inputs
        stores = (inputs.images, inputs.camera_info, inputs.depth, inputs.depth_camera_info)
        wait_until(lambda: all(store.count for store in stores), what="all of the camera")
        one = rig(camera_bag(tmp_path / "bag", 10), stack, command="the mug")
        wait_until(stack.final_answers, what="the answer")
        answer = stack.final_answers()[0]
        assert (answer.command, answer.found, answer.error_msg) == ("the mug", True, "")
        target = stack.masks.wait(1)[0].targets[0]
        assert target.has_geometry
        assert target.centroid.pose.position.z == pytest.approx(0.8)
        assert one.player is not None
    finally:
        stack.close()


def test_a_picture_that_does_not_decode_is_left_out(tmp_path: Path, rig: Callable[..., Rig]) -> None:
    broken = jpeg(1)
    broken.data = b"nonsense"
    entries = [Entry("/cam/image/compressed", jpeg(0), 0), Entry("/cam/image/compressed", broken, 1)]
    one = rig(write_bag(tmp_path / "bag", entries))
    assert len(one.heard["image"].wait(2)) >= 2
    wait_until(lambda: one.player is not None and one.player._dropped, what="the broken picture")


@pytest.mark.parametrize(
    ("bag", "match"), [("", "parameter bag"), ("missing", "no such file"), ("words", "no camera image")]
)
def test_a_bag_that_cannot_be_played_is_refused(tmp_path: Path, rig: Callable[..., Rig], bag: str, match: str) -> None:
    from std_msgs.msg import String

    write_bag(tmp_path / "words", [Entry("/said", String(data="x"), 0)])
    with pytest.raises(BadRequest, match=match):
        rig(tmp_path / bag if bag else "")  # type: ignore[arg-type]


def test_as_a_process_it_ends_with_a_line_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llavaseg_ros.nodes.bag_player", "--ros-args", "-p", f"bag:={tmp_path / 'no'}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("bag_player:") and "no such file or folder" in last
    assert "Traceback" not in ended.stderr


def test_of_a_cut_bag_what_is_left_is_played(tmp_path: Path, rig: Callable[..., Rig]) -> None:
    bag = write_bag(tmp_path / "bag", [Entry("/cam/image", color(0), number) for number in range(300)])
    file = storage_file(bag)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    one = rig(bag, rate=50.0)
    assert one.heard["image"].wait(3)
