# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The nodes as processes: they start, say what is wrong, and end quietly at a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from ros_harness import DOMAIN, Recorder, spin_in_thread, wait_until
from sensor_msgs.msg import CameraInfo, Image

from llavaseg_ros.images import write_rgb
from llavaseg_ros.nodes.demo_player import photograph
from llavaseg_ros.ros.convert import to_depth_m, to_rgb
from llavaseg_ros.ros.process import use_camera_profile
from llavaseg_ros.ros.qos import SENSOR

NODE = "llavaseg_ros.nodes.llavaseg_node"
PLAYER = "llavaseg_ros.nodes.demo_player"


def start(module: str, *parameters: str, namespace: str = f"/p{os.getpid()}") -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", module, "--ros-args", "-r", f"__ns:={namespace}"]
    for parameter in parameters:
        arguments += ["-p", parameter]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            return "".join(lines)
    raise AssertionError(f"the process ended without saying {word!r}: {''.join(lines)}")


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send the signal; the process must end by itself, with code 0 and without a traceback."""
    try:
        process.send_signal(number)
        rest = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in rest, rest


def test_node_without_its_model_says_so_and_ends_quietly(tmp_path: Path) -> None:
    process = start(NODE, f"model:={tmp_path / 'nothing'}")
    assert "nothing" in read_until(process, "could not be loaded")
    end(process, signal.SIGINT)


def test_node_ends_at_a_signal_while_it_loads() -> None:
    process = start(NODE)
    read_until(process, "loading model")
    time.sleep(0.2)
    end(process, signal.SIGTERM)


def test_bad_parameter_ends_the_process_with_a_reason() -> None:
    process = start(NODE, "queue.policy:=sometimes")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "queue.policy" in output and "Traceback" not in output


class Listener:
    """What the player publishes."""

    def __init__(self, namespace: str) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        self.node = Node("listener", namespace=namespace, context=self.context, use_global_arguments=False)
        self.image = Recorder(self.node, Image, "image", SENSOR)
        self.info = Recorder(self.node, CameraInfo, "camera_info", SENSOR)
        self.depth = Recorder(self.node, Image, "depth/image", SENSOR)
        self.executor: Any = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        spin_in_thread(self.executor)

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=2.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def test_player_plays_the_demo_bag() -> None:
    listener = Listener(f"/bag{os.getpid()}")
    process = start(PLAYER, "rate_hz:=20.0", namespace=f"/bag{os.getpid()}")
    try:
        images, infos, depths = listener.image.wait(3), listener.info.wait(3), listener.depth.wait(3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        listener.close()
    rgb = to_rgb(images[0])
    assert rgb.shape == (480, 640, 3) and rgb.std() > 10
    assert abs(images[0].header.stamp.sec - time.time()) < 120
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in images]
    assert stamps == sorted(set(stamps))
    depth = to_depth_m(depths[0])
    assert depth.shape == rgb.shape[:2] and 0.1 < np.nanmedian(depth) < 5.0
    info = infos[0]
    assert (info.width, info.height) == (640, 480) and info.k[0] > 100 and info.header.frame_id
    assert images[0].header.frame_id == info.header.frame_id == depths[0].header.frame_id


def test_player_shows_a_photograph(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    write_rgb(tmp_path / "photo.png", rgb)
    listener = Listener(f"/photo{os.getpid()}")
    process = start(PLAYER, f"image:={tmp_path / 'photo.png'}", "rate_hz:=20.0", namespace=f"/photo{os.getpid()}")
    try:
        images, infos = listener.image.wait(2), listener.info.wait(1)
        assert not wait_and_count(listener.depth)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        listener.close()
    assert np.array_equal(to_rgb(images[0]), rgb) and infos[0].k[0] == 0


def wait_and_count(recorder: Recorder) -> int:
    time.sleep(0.2)
    return len(recorder.messages)


def test_player_makes_a_large_photograph_smaller(tmp_path: Path) -> None:
    write_rgb(tmp_path / "large.png", np.zeros((400, 2560, 3), np.uint8))
    assert next(photograph(tmp_path / "large.png", "camera")).rgb.shape == (200, 1280, 3)


def test_camera_profile_gives_way_to_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as patch:
        patch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
        use_camera_profile()
        assert "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ
    patched = dict(os.environ)
    for distribution, prefix in (("kilted", "FASTDDS"), ("humble", "FASTRTPS")):
        try:
            os.environ["ROS_DISTRO"] = distribution
            use_camera_profile()
            assert Path(os.environ[f"{prefix}_DEFAULT_PROFILES_FILE"]).is_file()
            assert sum(variable.endswith("DEFAULT_PROFILES_FILE") for variable in os.environ) == 1
        finally:
            os.environ.clear()
            os.environ.update(patched)


@pytest.mark.parametrize("parameter", ["image:=/nowhere/photo.png", "bag:=/nowhere"])
def test_player_says_what_is_missing(parameter: str) -> None:
    process = start(PLAYER, parameter)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "/nowhere" in output and "Traceback" not in output


def test_wait_until_fails() -> None:
    with pytest.raises(AssertionError, match="in vain"):
        wait_until(lambda: False, 0.02)
