# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo bag: a camera that moves over one table, as a rosbag2 folder (MCAP) with ground truth beside it.

python -m llavaseg_ros.training.scenes.bag --out llavaseg_ros/demo/bag/table
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from tqdm import tqdm

from llavaseg_ros.demo.bag_reader import COLOR_INFO_TOPIC, COLOR_TOPIC, DEPTH_INFO_TOPIC, DEPTH_TOPIC
from llavaseg_ros.training.scenes.camera import Camera, look_at
from llavaseg_ros.training.scenes.noise import camera_noise
from llavaseg_ros.training.scenes.packs import make_pack
from llavaseg_ros.training.scenes.parts import role_colors
from llavaseg_ros.training.scenes.pose import Placed
from llavaseg_ros.training.scenes.render import Picture, SceneRenderer
from llavaseg_ros.training.scenes.room import Light, Lighting, Table
from llavaseg_ros.training.scenes.scene import Scene

FRAME_ID = "camera_color_optical_frame"
WORLD_ID = "table"
RATE_HZ = 10
SECONDS = 7
START_NS = 1_700_000_000_000_000_000
JPEG_QUALITY = 85
TRUTH_EVERY = 10
DEMO_PACK = 2999  # in the validation range: no training image shows these objects
DEMO_SEED = 8

# What lies where: category, color, x and y in metres (x to the right, y away from the camera), yaw in degrees.
LAYOUT = (
    ("mug", "red", -0.17, -0.07, 215.0),
    ("bowl", "green", 0.02, 0.21, 0.0),
    ("banana", "yellow", 0.04, -0.16, 20.0),
    ("book", "purple", 0.27, 0.13, -20.0),
    ("scissors", "orange", 0.25, -0.12, 115.0),
    ("hammer", "gray", -0.29, 0.19, 35.0),
    ("ball", "pink", 0.09, 0.03, 0.0),
    ("phone", "black", -0.31, -0.14, 70.0),
)


def demo_scene() -> Scene:
    """The table of the demo, seen by the first camera of the path."""
    pack = make_pack(DEMO_PACK, DEMO_SEED, [name for name, *_ in LAYOUT], antialias=4)
    pack.model.vis.quality.shadowsize = 8192  # a few seconds more, and smooth shadows, for seventy frames
    rng = np.random.default_rng([DEMO_SEED, DEMO_PACK])
    objects = tuple(
        Placed(item, color, role_colors(color, rng), np.array([x, y]), yaw)
        for item, (_, color, x, y, yaw) in zip(pack.items, LAYOUT, strict=True)
    )
    wood = next((m for m, kind in pack.table_materials if kind == "wood"), pack.table_materials[0][0])
    key = np.array([-0.6, -0.2, 2.2])
    fill = np.array([0.6, -0.5, 1.0])
    lighting = Lighting(
        Light(key, -key / np.linalg.norm(key), 0.42, np.array([1.02, 1.0, 0.97])),
        Light(2 * fill, -fill / np.linalg.norm(fill), 0.16, np.ones(3)),
        np.full(3, 0.44),
        shadows=True,
        offsets=np.zeros((1, 3)),
    )
    table = Table(wood, np.array([1.5, 1.1]), 1.1, 4.0)
    return Scene(pack, DEMO_SEED, 0, camera_at(0.0), objects, table, pack.floor_materials[0], lighting)


def camera_at(time: float) -> Camera:
    """Where the camera is at `time` in [0, 1] of the recording: an arc around the table, once there and half back."""
    swing = np.sin(1.5 * np.pi * time)
    target = np.array([0.015 * swing, 0.015, 0.02])
    return look_at(target, 0.92 - 0.06 * np.sin(np.pi * time), 47 + 3 * time, 90 + 11 * swing, 0.4 * swing, 600.0)


def _quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w of a rotation matrix [3, 3]."""
    w = np.sqrt(max(0.0, 1 + np.trace(rotation))) / 2
    if w > 1e-3:
        x, y, z = (
            (rotation[2, 1] - rotation[1, 2]) / (4 * w),
            (rotation[0, 2] - rotation[2, 0]) / (4 * w),
            (rotation[1, 0] - rotation[0, 1]) / (4 * w),
        )
        return float(x), float(y), float(z), float(w)
    # A half turn: the axis is the eigenvector of eigenvalue 1.
    values, vectors = np.linalg.eigh((rotation + rotation.T) / 2)
    x, y, z = vectors[:, int(np.argmax(values))]
    return float(x), float(y), float(z), 0.0


class _BagWriter:
    """Turns frames into messages of the five topics (color, depth, two camera infos, tf)."""

    def __init__(self, out: Path) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        self.types: dict[str, Any] = self.store.types
        # Version 8 metadata is read by every rosbag2 from Humble on.
        self.writer = Writer(out, version=8, storage_plugin=StoragePlugin.MCAP)
        self.writer.open()
        self.topics = {
            topic: self.writer.add_connection(topic, kind, typestore=self.store)
            for topic, kind in (
                (COLOR_TOPIC, "sensor_msgs/msg/CompressedImage"),
                (COLOR_INFO_TOPIC, "sensor_msgs/msg/CameraInfo"),
                (DEPTH_TOPIC, "sensor_msgs/msg/CompressedImage"),
                (DEPTH_INFO_TOPIC, "sensor_msgs/msg/CameraInfo"),
                ("/tf", "tf2_msgs/msg/TFMessage"),
            )
        }

    def close(self) -> None:
        self.writer.close()

    def _write(self, topic: str, stamp: int, message: Any) -> None:
        connection = self.topics[topic]
        self.writer.write(connection, stamp, self.store.serialize_cdr(message, connection.msgtype))

    def _header(self, stamp: int, frame: str) -> Any:
        time = self.types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
        return self.types["std_msgs/msg/Header"](stamp=time, frame_id=frame)

    def _info(self, stamp: int, camera: Camera) -> Any:
        f, cx, cy = camera.focal, camera.width / 2, camera.height / 2
        return self.types["sensor_msgs/msg/CameraInfo"](
            header=self._header(stamp, FRAME_ID),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=np.array([f, 0, cx, 0, f, cy, 0, 0, 1.0]),
            r=np.eye(3).ravel(),
            p=np.array([f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1.0, 0]),
            binning_x=0,
            binning_y=0,
            roi=self.types["sensor_msgs/msg/RegionOfInterest"](
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            ),
        )

    def _compressed(self, stamp: int, kind: str, data: bytes) -> Any:
        return self.types["sensor_msgs/msg/CompressedImage"](
            header=self._header(stamp, FRAME_ID), format=kind, data=np.frombuffer(data, np.uint8)
        )

    def frame(self, stamp: int, camera: Camera, rgb: np.ndarray, depth_mm: np.ndarray) -> None:
        """Writes all messages of one instant. rgb: uint8 [H, W, 3]; depth_mm: uint16 [H, W]."""
        info = self._info(stamp, camera)
        self._write(COLOR_INFO_TOPIC, stamp, info)
        self._write(DEPTH_INFO_TOPIC, stamp, info)
        jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        self._write(COLOR_TOPIC, stamp, self._compressed(stamp, "rgb8; jpeg compressed bgr8", jpeg))
        # compressed_depth_image_transport's header: format 0 (no inverse depth), two unused parameters.
        png = cv2.imencode(".png", depth_mm, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
        data = struct.pack("<iff", 0, 0, 0) + png
        self._write(DEPTH_TOPIC, stamp, self._compressed(stamp, "16UC1; compressedDepth png", data))
        geometry = "geometry_msgs/msg/"
        x, y, z, w = _quaternion(camera.rotation)
        px, py, pz = (float(v) for v in camera.position)
        transform = self.types[geometry + "TransformStamped"](
            header=self._header(stamp, WORLD_ID),
            child_frame_id=FRAME_ID,
            transform=self.types[geometry + "Transform"](
                translation=self.types[geometry + "Vector3"](x=px, y=py, z=pz),
                rotation=self.types[geometry + "Quaternion"](x=x, y=y, z=z, w=w),
            ),
        )
        self._write("/tf", stamp, self.types["tf2_msgs/msg/TFMessage"](transforms=[transform]))


def _truth_frame(folder: Path, index: int, stamp: int, picture: Picture) -> dict:
    name = f"{index:03d}.png"
    cv2.imwrite(str(folder / name), picture.instances, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return {"frame": index, "stamp_ns": stamp, "instances": f"{folder.name}/{name}", "objects": picture.objects}


def make_bag(out: Path, *, progress: bool = True) -> Path:
    """Writes the bag folder `out` and, beside it, `<name>_truth.json` with instance masks in `<name>_truth/`.

    The JSON: {"frame_id", "objects": [...], "frames": [{"frame", "stamp_ns", "instances" (PNG), "objects"}]}, one frame
    in ten, objects as in scenes.jsonl. An earlier bag at the same place is replaced. Returns `out`.
    """
    out = Path(out)
    truth = out.with_name(out.name + "_truth")
    for folder in (out, truth):
        if folder.exists():
            shutil.rmtree(folder)
    truth.mkdir(parents=True)
    scene = demo_scene()
    frames = []
    writer = _BagWriter(out)
    count = RATE_HZ * SECONDS
    try:
        with SceneRenderer(scene.pack) as renderer:
            for i in tqdm(range(count), desc="demo bag", unit="frame", disable=not progress):
                stamp = START_NS + i * (10**9 // RATE_HZ)
                camera = camera_at(i / (count - 1))
                picture = renderer.render(scene, depth=True, camera=camera)
                # One setting for all frames, as a camera has; only the noise of the pixels is new in each.
                rgb = camera_noise(picture.rgb, np.random.default_rng(DEMO_SEED), np.random.default_rng([DEMO_SEED, i]))
                assert picture.depth is not None
                depth = np.where(picture.depth < 10.0, np.round(1000 * picture.depth), 0).astype(np.uint16)
                writer.frame(stamp, camera, rgb, depth)
                if i % TRUTH_EVERY == 0:
                    frames.append(_truth_frame(truth, i, stamp, picture))
    finally:
        writer.close()
    listing = {"frame_id": FRAME_ID, "objects": frames[0]["objects"], "frames": frames}
    out.with_name(out.name + "_truth.json").write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: makes the bag. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Makes the demo bag: RGB-D over one table, MCAP in rosbag2 layout.")
    parser.add_argument("--out", type=Path, required=True, help="bag folder to write; an existing one is replaced")
    args = parser.parse_args(argv)
    make_bag(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
