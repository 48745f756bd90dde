# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading recordings: whole ones, broken ones, those that are none; and which of their topics are the camera."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_material import (
    PERIOD_NS,
    START_NS,
    Entry,
    camera_bag,
    camera_info,
    color,
    depth,
    header,
    jpeg,
    read_back,
    storage_file,
    write_bag,
)
from rosbags.rosbag2 import StoragePlugin
from rosbags.typesys import Stores, get_typestore
from scripted_pipeline import ScriptedPipeline
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from llavaseg_ros.bags.annotate import BagJob
from llavaseg_ros.bags.frames import FrameReader
from llavaseg_ros.bags.lifting import StaticTransforms
from llavaseg_ros.bags.options import Options
from llavaseg_ros.bags.reading import Bag, BagMessage, Topic, open_bag
from llavaseg_ros.bags.topics import CameraTopics, choose_topics
from llavaseg_ros.demo.bag_reader import DEMO_BAG
from llavaseg_ros.errors import BadRequest, NoDepth


def all_of(bag: Bag) -> list[tuple[str, int]]:
    return [(message.topic, message.log_ns) for message in bag.messages()]


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("as_file", [False, True])
def test_a_folder_and_its_file_hold_the_same(tmp_path: Path, plugin: StoragePlugin, as_file: bool) -> None:
    folder = camera_bag(tmp_path / "bag", 3, plugin=plugin)
    bag = open_bag(storage_file(folder) if as_file else folder)
    assert bag.name == "bag"
    assert len(all_of(bag)) == 12
    assert bag.topics["/cam/color/image_raw"].count == 3
    assert not bag.problems
    assert [message.topic for message in bag.messages({"/cam/depth/image_raw"})] == ["/cam/depth/image_raw"] * 3


def test_a_folder_without_metadata_is_read_file_by_file(tmp_path: Path) -> None:
    folder = camera_bag(tmp_path / "bag", 3)
    (folder / "metadata.yaml").unlink()
    bag = open_bag(folder)
    assert len(all_of(bag)) == 12
    assert "no metadata.yaml" in bag.problems[0]


def big_bag(path: Path, frames: int = 300) -> Path:
    """Several chunks of 1 MB."""
    return write_bag(path, [Entry("/cam/image", color(0), number) for number in range(frames)])


@pytest.mark.parametrize("share", [0.5, 0.98])
@pytest.mark.parametrize("with_metadata", [False, True])
def test_of_a_cut_mcap_all_is_read_that_is_whole(tmp_path: Path, share: float, with_metadata: bool) -> None:
    folder = big_bag(tmp_path / "bag")
    file = storage_file(folder)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    if not with_metadata:
        (folder / "metadata.yaml").unlink()
    bag = open_bag(folder)
    read = all_of(bag)
    # At most the chunk that was being written is lost.
    assert 300 * share - 120 < len(read) < 300
    assert read == [("/cam/image", START_NS + number * PERIOD_NS) for number in range(len(read))]
    assert any(f"cut off or broken: {len(read)} messages could be read" in problem for problem in bag.problems)
    job = BagJob(folder, tmp_path, Options(("the mug",), every=50))
    summary = job.run(ScriptedPipeline())
    assert summary.counts.frames == -(-len(read) // 50)
    assert any("cut off" in problem for problem in summary.problems)


def test_a_bag_that_is_broken_in_the_middle_is_read_up_to_there(tmp_path: Path) -> None:
    folder = big_bag(tmp_path / "bag")
    file = storage_file(folder)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3_000_000] = bytes(3_000_000)
    file.write_bytes(data)
    try:
        bag = open_bag(folder)
    except BadRequest as error:
        pytest.fail(f"nothing was read: {error}")
    read = all_of(bag)
    assert 0 < len(read) < 300
    assert bag.problems


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_of_a_cut_database_what_can_be_read_or_a_clear_error(tmp_path: Path, share: float) -> None:
    folder = write_bag(
        tmp_path / "bag", [Entry("/cam/image", color(0), n) for n in range(50)], plugin=StoragePlugin.SQLITE3
    )
    file = storage_file(folder)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    try:
        bag = open_bag(folder)
    except BadRequest as error:
        assert "bag.db3" in str(error) or "bag" in str(error)
        return
    read = all_of(bag)
    assert len(read) < 50
    assert bag.problems


def test_the_newer_parts_of_a_split_bag_come_after_the_older_ones(tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for number in (10, 9):
        part = write_bag(tmp_path / f"part_{number}", [Entry("/cam/image", color(0), number)])
        storage_file(part).rename(folder / f"split_{number}.mcap")
    assert [log_ns for _, log_ns in all_of(open_bag(folder))] == [START_NS + n * PERIOD_NS for n in (9, 10)]
    assert open_bag(folder).topics["/cam/image"].count == 2


def none_of_them(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "zero.mcap").write_bytes(b"")
    (tmp_path / "garbage.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(range(256)) * 10)
    (tmp_path / "noise.mcap").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "noise.db3").write_bytes(np.random.default_rng(1).bytes(5000))
    (tmp_path / "ros1.bag").write_bytes(b"#ROSBAG V2.0\n")
    # A record that claims to be 2^60 bytes long must not ask for that much memory.
    (tmp_path / "huge.mcap").write_bytes(b"\x89MCAP0\r\n" + b"\x06" + struct.pack("<Q", 2**60) + b"x" * 100)
    return {path.name: path for path in tmp_path.iterdir()} | {"missing": tmp_path / "missing"}


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "text.txt",
        "zero.mcap",
        "garbage.mcap",
        "noise.mcap",
        "noise.db3",
        "ros1.bag",
        "huge.mcap",
        "missing",
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = none_of_them(tmp_path)[name]
    with pytest.raises(BadRequest, match=name.split(".")[0]):
        open_bag(path)


# --- topics ---


def topics_of(tmp_path: Path, *entries: Entry, **given: str) -> CameraTopics:
    return choose_topics(open_bag(write_bag(tmp_path / "bag", entries)), **given)


def test_one_camera_is_found_with_its_depth_and_calibrations(tmp_path: Path) -> None:
    found = choose_topics(open_bag(camera_bag(tmp_path / "bag", 1)))
    assert found == CameraTopics(
        "/cam/color/image_raw", "/cam/color/camera_info", "/cam/depth/image_raw", "/cam/depth/camera_info"
    )
    assert choose_topics(open_bag(DEMO_BAG)) == CameraTopics(
        "/camera/image/compressed",
        "/camera/camera_info",
        "/camera/depth/image/compressedDepth",
        "/camera/depth/camera_info",
    )


def test_of_raw_and_compressed_the_raw_one_is_taken(tmp_path: Path) -> None:
    entries = [Entry("/cam/image", color(0), 0), Entry("/cam/image/compressed", jpeg(0), 0)]
    assert topics_of(tmp_path, *entries).image == "/cam/image"


def test_our_own_pictures_are_no_camera(tmp_path: Path) -> None:
    entries = [Entry("/cam/image", color(0), 0), Entry("/llavaseg/overlay", color(0), 0)]
    assert topics_of(tmp_path, *entries).image == "/cam/image"


def test_color_goes_before_gray(tmp_path: Path) -> None:
    gray = color(0)
    gray.encoding, gray.step = "mono8", 64
    entries = [Entry("/infra/image", gray, 0), Entry("/cam/image", color(0), 0)]
    assert topics_of(tmp_path, *entries).image == "/cam/image"


def test_several_cameras_are_a_question(tmp_path: Path) -> None:
    entries = [Entry("/left/image", color(0), 0), Entry("/right/image", color(0), 0)]
    with pytest.raises(BadRequest, match="--image: /left/image, /right/image"):
        topics_of(tmp_path, *entries)
    assert choose_topics(open_bag(tmp_path / "bag"), image="/right/image").image == "/right/image"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"image": "/no"}, "image topic /no is not there; expected one of /cam/depth/image_raw|/cam/color"),
        ({"image": "/cam/depth/image_raw"}, "/cam/depth/image_raw is no color image; expected one of /cam/color"),
        ({"depth": "/cam/color/image_raw"}, "is no depth image"),
        ({"camera_info": "/cam/color/image_raw"}, "camera info topic.*sensor_msgs/msg/Image; expected one of /cam"),
    ],
)
def test_a_topic_that_is_not_what_it_should_be(tmp_path: Path, given: dict[str, str], match: str) -> None:
    bag = open_bag(camera_bag(tmp_path / "bag", 1))
    with pytest.raises(BadRequest, match=match):
        choose_topics(bag, **given)


def test_a_bag_without_images_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"no camera image.*/said \(std_msgs/msg/String\)"):
        topics_of(tmp_path, Entry("/said", String(data="x"), 0))
    with pytest.raises(BadRequest, match="no camera image"):
        choose_topics(open_bag(write_bag(tmp_path / "depth", [Entry("/cam/depth", depth(0), 0)])))


def test_of_several_depth_images_the_aligned_one(tmp_path: Path) -> None:
    entries = [Entry(name, depth(0), 0) for name in ("/cam/depth/image", "/cam/aligned_depth/image")]
    found = topics_of(tmp_path, Entry("/cam/color/image", color(0), 0), *entries)
    assert found.depth == "/cam/aligned_depth/image"
    assert "--depth chooses another" in found.notes[0]
    assert "no camera_info for /cam/color/image" in found.notes[1]


# --- frames ---


def test_a_frame_gets_the_nearest_depth_whenever_it_was_recorded(tmp_path: Path) -> None:
    entries = [
        Entry("/cam/color/camera_info", camera_info(0), 0),
        Entry("/cam/depth/camera_info", camera_info(0), 0),
        Entry("/cam/depth/image", depth(0), 0),
        Entry("/cam/color/image", color(0), 0),
        Entry("/cam/color/image", color(1), 1),
        Entry("/cam/color/image", color(2), 2),
        Entry("/cam/depth/image", depth(2), 2),
        Entry("/cam/depth/image", depth(1), 3),
    ]
    bag = open_bag(write_bag(tmp_path / "bag", entries))
    frames = list(FrameReader(bag, choose_topics(bag)).frames())
    assert [frame.number for frame in frames] == [0, 1, 2]
    stamps = [frame.depth_stamp_ns if frame.depth else None for frame in frames]
    # The depth of frame 1 came after a newer one: frames do not wait for what is out of order.
    assert stamps == [START_NS, None, START_NS + 2 * PERIOD_NS]


def test_frames_do_not_wait_for_depth_that_never_comes(tmp_path: Path) -> None:
    entries = [Entry("/cam/depth/image", depth(0), 0)]
    entries += [Entry("/cam/color/image", color(number), number) for number in range(20)]
    bag = open_bag(write_bag(tmp_path / "bag", entries))
    frames = FrameReader(bag, choose_topics(bag)).frames()
    assert next(frames).depth is not None
    assert [frame.depth for frame in frames] == [None] * 19


def test_transforms_are_taken_from_tf_static() -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = {name.rsplit("/", 1)[1]: kind for name, kind in store.types.items() if not name.startswith("rosgraph")}

    def link(parent: str, child: str, x: float, quarter: bool = False) -> Any:
        turn = (0.0, 0.0, 0.5**0.5, 0.5**0.5) if quarter else (0.0, 0.0, 0.0, 1.0)
        stamp = store.types["builtin_interfaces/msg/Time"](0, 0)
        return types["TransformStamped"](
            store.types["std_msgs/msg/Header"](stamp, parent),
            child,
            types["Transform"](
                store.types["geometry_msgs/msg/Vector3"](x, 0.0, 0.0),
                store.types["geometry_msgs/msg/Quaternion"](*turn),
            ),
        )

    class Static:
        topics = {"/tf_static": Topic("/tf_static", "tf2_msgs/msg/TFMessage", 1)}

        def messages(self, _: Any) -> Any:
            links = [link("base", "mount", 1.0), link("mount", "color", 0.2, quarter=True), link("mount", "depth", 0.5)]
            message = types["TFMessage"](links)
            yield BagMessage("/tf_static", 0, bytes(store.serialize_cdr(message, "tf2_msgs/msg/TFMessage")))

    found = StaticTransforms(Static())  # type: ignore[arg-type]
    point = found.matrix("color", "depth", 0, "") @ [0.0, 0.0, 0.0, 1.0]
    # 0.3 m along the mount's x is along -y of a frame that is turned to the left.
    assert point[:3] == pytest.approx([0.0, -0.3, 0.0])
    assert (found.matrix("base", "depth", 0, "") @ [0, 0, 0, 1])[:3] == pytest.approx([1.5, 0, 0])
    with pytest.raises(NoDepth, match="why it is asked: /tf_static of the bag has no transform from 'depth' to 'hand'"):
        found.matrix("hand", "depth", 0, "why it is asked")


def test_depth_of_another_frame_without_a_transform_is_told(tmp_path: Path) -> None:
    entries = [
        Entry("/cam/color/camera_info", camera_info(0), 0),
        Entry("/cam/depth/camera_info", camera_info(0, "depth_frame"), 0),
        Entry("/cam/depth/image", depth(0, "depth_frame"), 0),
        Entry("/cam/color/image", color(0), 0),
    ]
    summary = BagJob(write_bag(tmp_path / "bag", entries), tmp_path, Options(("the mug",))).run(ScriptedPipeline())
    assert (summary.counts.with_mask, summary.counts.with_geometry) == (1, 0)
    answer = read_back(summary.path).of("/llavaseg/answer")[0]
    assert answer.error_code == 5  # NO_DEPTH
    assert "/tf_static" in answer.error_msg
    assert answer.found


def test_a_depth_image_that_does_not_decode_is_told(tmp_path: Path) -> None:
    broken = CompressedImage(header=header(0), format="16UC1; compressedDepth png", data=bytes(40))
    entries = [
        Entry("/cam/camera_info", camera_info(0), 0),
        Entry("/cam/depth/camera_info", camera_info(0), 0),
        Entry("/cam/depth/image/compressedDepth", broken, 0),
        Entry("/cam/image", color(0), 0),
    ]
    summary = BagJob(write_bag(tmp_path / "bag", entries), tmp_path, Options(("the mug",))).run(ScriptedPipeline())
    answer = read_back(summary.path).of("/llavaseg/answer")[0]
    assert answer.error_code == 5
    assert "depth image" in answer.error_msg
