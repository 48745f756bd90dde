# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The recorded demo bag in the repository: topics, types, stamps, size, and agreement with its ground truth."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from llavaseg_ros.demo.bag_reader import (
    COLOR_INFO_TOPIC,
    COLOR_TOPIC,
    DEMO_BAG,
    DEPTH_INFO_TOPIC,
    DEPTH_TOPIC,
    BagMessage,
    Frame,
    decode_color,
    decode_depth,
    read_frames,
    read_messages,
)
from llavaseg_ros.errors import BadRequest

TRUTH = DEMO_BAG.with_name("table_truth.json")


@pytest.fixture(scope="module")
def messages() -> list[BagMessage]:
    return list(read_messages())


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return list(read_frames())


def test_bag_is_small_and_in_rosbag2_layout() -> None:
    size = sum(f.stat().st_size for f in DEMO_BAG.parent.rglob("*") if f.is_file())
    assert size <= 8 * 1024 * 1024
    assert {f.name for f in DEMO_BAG.iterdir()} == {"metadata.yaml", "table.mcap"}


def test_topics_and_types(messages: list[BagMessage]) -> None:
    kinds = {m.topic: m.type_name for m in messages}
    assert kinds == {
        COLOR_TOPIC: "sensor_msgs/msg/CompressedImage",
        DEPTH_TOPIC: "sensor_msgs/msg/CompressedImage",
        COLOR_INFO_TOPIC: "sensor_msgs/msg/CameraInfo",
        DEPTH_INFO_TOPIC: "sensor_msgs/msg/CameraInfo",
        "/tf": "tf2_msgs/msg/TFMessage",
    }
    stamps = [m.stamp_ns for m in messages]
    assert stamps == sorted(stamps)


def test_frames_come_at_ten_hertz(frames: list[Frame]) -> None:
    steps = np.diff([f.stamp_ns for f in frames])
    assert (steps == 100_000_000).all()
    assert 6.0 <= len(frames) / 10 <= 8.0
    for frame in frames[::20]:
        assert frame.frame_id == "camera_color_optical_frame"
        assert frame.rgb.shape == (480, 640, 3) and frame.rgb.dtype == np.uint8
        assert frame.depth.shape == (480, 640) and frame.depth.dtype == np.uint16
        assert (frame.camera.width, frame.camera.height) == (640, 480)
        assert frame.camera.matrix[0, 2] == 320 and frame.camera.matrix[0, 0] == frame.camera.matrix[1, 1]


def test_the_camera_moves_and_the_table_stays(frames: list[Frame]) -> None:
    assert np.abs(frames[0].rgb.astype(int) - frames[20].rgb).mean() > 5
    assert 400 < np.median(frames[0].depth) < 2000  # millimetres


def test_ground_truth_fits_the_frames(frames: list[Frame]) -> None:
    truth = json.loads(TRUTH.read_text())
    by_stamp = {f.stamp_ns: f for f in frames}
    assert len(truth["frames"]) >= 5 and len(truth["objects"]) == 8
    assert ("mug", "red") in {(o["category"], o["color"]) for o in truth["objects"]}
    for entry in truth["frames"]:
        frame = by_stamp[entry["stamp_ns"]]
        ids = cv2.imread(str(TRUTH.parent / entry["instances"]), cv2.IMREAD_UNCHANGED)
        assert ids.shape == frame.rgb.shape[:2]
        for o in entry["objects"]:
            assert int((ids == o["id"]).sum()) == o["area"]
            assert o["listed"] and o["visible"] > 0.7
        mug = next(o for o in entry["objects"] if o["category"] == "mug")
        red, green, _ = frame.rgb[ids == mug["id"]].astype(float).mean(0)
        assert red > 1.5 * green
        # Objects stand on the table: their pixels are nearer to the camera than the table beyond them.
        assert frame.depth[ids == mug["id"]].min() > 300


def test_bad_bags_and_payloads_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="metadata.yaml"):
        list(read_frames(tmp_path))
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {}\n")
    with pytest.raises(BadRequest, match=tmp_path.name):
        list(read_messages(tmp_path))
    with pytest.raises(BadRequest, match="JPEG"):
        decode_color(b"not a picture")
    with pytest.raises(BadRequest, match="16-bit PNG"):
        decode_depth(b"short")
    png = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    with pytest.raises(BadRequest, match="16-bit PNG"):
        decode_depth(bytes(12) + png)
