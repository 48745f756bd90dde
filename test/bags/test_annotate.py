# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg annotate` on small bags, with a scripted model: what is in the new bag, and what goes wrong."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from bag_material import PERIOD_NS, START_NS, Entry, camera_bag, color, picture, read_back, storage_file, write_bag
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scripted_pipeline import ScriptedPipeline, red_mask
from std_msgs.msg import String

from llavaseg_ros.bags.annotate import BagJob
from llavaseg_ros.bags.definitions import OWN_TYPES, message_folder, typestore
from llavaseg_ros.bags.options import Options
from llavaseg_ros.cli import _args
from llavaseg_ros.cli import main as cli
from llavaseg_ros.demo.bag_reader import DEMO_BAG
from llavaseg_ros.errors import BadReply, BadRequest, ErrorCode
from llavaseg_ros.types import Result

MUG = Options(("the mug",))


def annotate(bag: Path, out: Path, options: Options = MUG, model: Any = None, **more: Any) -> Any:
    return BagJob(bag, out, options, **more).run(model or ScriptedPipeline())


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedPipeline:
    """The command line with a scripted model."""
    pipeline = ScriptedPipeline()

    def load(_: argparse.Namespace) -> ScriptedPipeline:
        return pipeline

    monkeypatch.setattr(_args, "load_model", load)
    return pipeline


def mask_of(message: Any) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


# --- what is in the new bag ---


def test_every_frame_gets_masks_answer_and_overlay_with_its_own_stamps(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "table", 5)
    summary = annotate(bag, tmp_path / "out")
    assert summary.path == tmp_path / "out" / "table_llavaseg"
    assert (summary.counts.frames, summary.counts.with_mask, summary.counts.asked) == (5, 5, 5)
    content = read_back(summary.path)
    topics = {"masks", "mask", "answer", "overlay/compressed"}
    assert set(content.topics) == {f"/llavaseg/{name}" for name in topics}
    for name in topics:
        entries = content.topics[f"/llavaseg/{name}"]
        assert [log_ns for log_ns, _ in entries] == [START_NS + number * PERIOD_NS for number in range(5)]
        stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for _, message in entries]
        assert stamps == [log_ns for log_ns, _ in entries]
        assert {message.header.frame_id for _, message in entries} == {"camera"}
    for number, (masks, mask) in enumerate(
        zip(content.of("/llavaseg/masks"), content.of("/llavaseg/mask"), strict=True)
    ):
        expected = red_mask(picture(number))
        assert ((mask_of(mask) == 255) == expected).all()
        assert (mask_of(masks.targets[0].mask) == mask_of(mask)).all()
        assert (masks.command, masks.targets[0].label, masks.targets[0].area_px) == ("the mug", "red mug", 240)
    answers = content.of("/llavaseg/answer")
    assert [answer.command_id for answer in answers] == [masks.command_id for masks in content.of("/llavaseg/masks")]
    assert len({answer.command_id for answer in answers}) == 5
    assert all(answer.found and answer.final and answer.text == "The red mug." for answer in answers)
    jpeg = content.of("/llavaseg/overlay/compressed")[0]
    overlay = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert overlay.shape == (48, 64, 3)
    assert np.abs(overlay.astype(int) - picture(0)[..., ::-1]).max() > 60  # something is drawn


def test_geometry_comes_from_the_depth_of_the_bag(tmp_path: Path) -> None:
    summary = annotate(camera_bag(tmp_path / "bag", 3), tmp_path)
    assert summary.counts.with_geometry == 3
    target = read_back(summary.path).of("/llavaseg/masks")[2].targets[0]
    assert target.has_geometry and target.depth_coverage == 1.0
    # The box of 20 x 12 px at x = 6 to 25, y = 8 to 19, 0.8 m away from a camera with f = 60 px and c = (31.5, 23.5).
    center = target.centroid.pose.position
    assert center.z == pytest.approx(0.8)
    assert center.x == pytest.approx((15.5 - 31.5) / 60 * 0.8, abs=0.002)
    assert center.y == pytest.approx((13.5 - 23.5) / 60 * 0.8, abs=0.002)
    assert target.size.x == pytest.approx(20 / 60 * 0.8, rel=0.1)


def test_depth_can_be_left_out(tmp_path: Path) -> None:
    summary = annotate(camera_bag(tmp_path / "bag", 2), tmp_path, Options(("the mug",), depth="none"))
    assert summary.counts.with_geometry == 0
    content = read_back(summary.path)
    assert not content.of("/llavaseg/masks")[0].targets[0].has_geometry
    assert content.of("/llavaseg/answer")[0].error_code == ErrorCode.NONE


def test_the_demo_bag_compressed_color_and_depth(tmp_path: Path) -> None:
    summary = annotate(DEMO_BAG, tmp_path, Options(("the mug",), every=30))
    assert summary.counts.frames == 3
    assert summary.counts.with_geometry == summary.counts.with_mask == 3
    assert 0.5 < read_back(summary.path).of("/llavaseg/masks")[0].targets[0].centroid.pose.position.z < 1.5


def test_ros2_bag_info_finds_what_it_reads(tmp_path: Path) -> None:
    """metadata.yaml as rosbag2 has it: counts, types, one file, a version that Humble reads."""
    summary = annotate(camera_bag(tmp_path / "bag", 2), tmp_path)
    info = yaml.safe_load((summary.path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (info["storage_identifier"], info["version"], info["message_count"]) == ("mcap", 8, 8)
    assert info["relative_file_paths"] == ["bag_llavaseg.mcap"]
    assert (summary.path / "bag_llavaseg.mcap").is_file()
    types = {entry["topic_metadata"]["type"] for entry in info["topics_with_message_count"]}
    assert {"llavaseg_ros/msg/TargetMaskArray", "llavaseg_ros/msg/Answer"} <= types


@pytest.mark.parametrize("name", OWN_TYPES)
def test_our_definitions_have_the_hash_that_ros_gives_them(name: str) -> None:
    """Else a player would refuse the bag's messages, or misread them."""
    description = message_folder() / f"{name}.json"
    if not description.is_file():
        pytest.skip("this distribution installs no type descriptions")
    full = f"llavaseg_ros/msg/{name}"
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(description.read_text())["type_hashes"]}
    assert typestore().hash_rihs01(full) == hashes[full]


def test_several_commands_have_topics_of_their_own(tmp_path: Path) -> None:
    options = Options(("the mug", "the banana", "how many mugs?"), overlay="none")
    content = read_back(annotate(camera_bag(tmp_path / "bag", 2), tmp_path, options).path)
    assert {topic for topic in content.topics} == {
        f"/llavaseg/command_{number}/{name}" for number in (1, 2, 3) for name in ("masks", "mask", "answer")
    }
    found, absent, question = (content.of(f"/llavaseg/command_{number}/answer")[0] for number in (1, 2, 3))
    assert (found.found, found.error_code) == (True, ErrorCode.NONE)
    assert (absent.found, absent.error_code) == (False, ErrorCode.NOT_FOUND)
    assert (question.found, question.error_code, question.text) == (False, ErrorCode.NONE, "There is one mug.")
    assert not content.of("/llavaseg/command_2/masks")[0].targets
    assert not mask_of(content.of("/llavaseg/command_2/mask")[0]).any()


def test_every_and_limit_choose_frames(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "bag", 10)
    content = read_back(annotate(bag, tmp_path, Options(("the mug",), every=3, limit=3, prefix="/some/where")).path)
    numbers = [(log_ns - START_NS) // PERIOD_NS for log_ns, _ in content.topics["/some/where/masks"]]
    assert numbers == [0, 3, 6]


def test_copy_takes_the_input_over_byte_by_byte(tmp_path: Path) -> None:
    entries = [Entry("/cam/image", color(0), 0), Entry("/said", String(data="hello"), 1)]
    bag = write_bag(tmp_path / "bag", [*entries, Entry("/cam/image", color(2), 2)])
    content = read_back(annotate(bag, tmp_path / "out", Options(("the mug",), copy=True, overlay="raw")).path)
    before = read_back(bag)
    for topic in before.topics:
        assert content.topics[topic] == before.topics[topic]
    assert len(content.of("/llavaseg/overlay")) == 2
    with pytest.raises(BadRequest, match="/llavaseg/answer.*another --prefix"):
        BagJob(tmp_path / "out" / "bag_llavaseg", tmp_path / "again", Options(("the mug",), copy=True))


def test_copy_keeps_types_that_nobody_else_knows_and_qos(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg("std_msgs/Header header\nfloat64[3] force", "arm_msgs/msg/Touch"))
    touch = store.types["arm_msgs/msg/Touch"]
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        image = writer.add_connection("/cam/image", "sensor_msgs/msg/Image", typestore=store)
        writer.write(image, START_NS, serialize_message(color(0)))
        qos = Qos(
            QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
            QosTime(0, 0), QosTime(0, 0), QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
        )  # fmt: skip
        other = writer.add_connection("/touch", "arm_msgs/msg/Touch", typestore=store, offered_qos_profiles=[qos])
        stamp = store.types["builtin_interfaces/msg/Time"](1, 2)
        message = touch(store.types["std_msgs/msg/Header"](stamp, "hand"), np.array([1.0, 2.0, 3.0]))
        writer.write(other, START_NS, store.serialize_cdr(message, "arm_msgs/msg/Touch"))
    for number, bag in enumerate([tmp_path / "bag", storage_file(tmp_path / "bag")]):
        summary = annotate(bag, tmp_path / str(number), Options(("the mug",), copy=True))
        with AnyReader([summary.path]) as reader:
            (found,) = [connection for connection in reader.connections if connection.topic == "/touch"]
            assert found.ext.offered_qos_profiles[0].durability == QosDurability.TRANSIENT_LOCAL  # type: ignore
            (data,) = [data for connection, _, data in reader.messages([found])]
            assert list(reader.deserialize(data, found.msgtype).force) == [1.0, 2.0, 3.0]  # type: ignore


# --- follow mode ---


def test_following_reasons_once_and_again_when_the_target_was_away(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "bag", 20, red=[*range(5), *range(12, 20)])
    model = ScriptedPipeline()

    def reasons(command: str, rgb: np.ndarray) -> Result | None:
        return None if red_mask(rgb).any() else ScriptedPipeline().result("the banana", rgb)

    model.on_segment = reasons
    summary = annotate(bag, tmp_path, Options(("the mug",), follow=True, relook_after_s=0.3), model)
    content = read_back(summary.path)
    # At first, when it has been away for 0.3 s (lost at 5), and so on until it is followed again.
    asked = [(log_ns - START_NS) // PERIOD_NS for log_ns, _ in content.topics["/llavaseg/answer"]]
    assert asked == [0, 8, 11]
    seen = [bool(masks.targets) for masks in content.of("/llavaseg/masks")]
    assert seen == [number < 5 or number >= 12 for number in range(20)]
    assert {masks.command_id for masks in content.of("/llavaseg/masks")} == {"1"}
    assert model.followed[0][1] == pytest.approx(0.1)
    # Each frame goes on from the last one on which it was found.
    for number, (last, _) in enumerate(model.followed[:4]):
        assert (last.segments[0].mask == red_mask(picture(number))).all()
    assert max(gap_s for _, gap_s in model.followed) == pytest.approx(0.8)


def test_following_without_relook_reasons_once(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "bag", 12, red=range(3))
    model = ScriptedPipeline()
    annotate(bag, tmp_path, Options(("the mug",), follow=True, relook_after_s=0.0), model)
    assert len(model.commands) == 1


# --- what goes wrong ---


def test_a_command_that_fails_is_an_answer_with_its_error(tmp_path: Path) -> None:
    def mumble(command: str, rgb: np.ndarray) -> Result | None:
        if (rgb[10, 5] != 120).any():  # the first frames, where the box is there
            raise BadReply("the reply could not be read", raw="hmpf")
        return None

    summary = annotate(camera_bag(tmp_path / "bag", 4), tmp_path, model=ScriptedPipeline(on_segment=mumble))
    assert (summary.counts.failed, summary.counts.frames) == (2, 4)
    assert "image 0, 'the mug'" in summary.counts.first_error
    answers = read_back(summary.path).of("/llavaseg/answer")
    assert [answer.error_code for answer in answers] == [ErrorCode.BAD_REPLY] * 2 + [ErrorCode.NONE] * 2
    assert "hmpf" in answers[0].error_msg
    assert not read_back(summary.path).of("/llavaseg/masks")[0].targets


def test_an_image_that_does_not_decode_is_left_out_and_counted(tmp_path: Path) -> None:
    entries = [Entry("/cam/image", color(0), 0), Entry("/cam/image", color(1, encoding="nonsense"), 1)]
    summary = annotate(write_bag(tmp_path / "bag", [*entries, Entry("/cam/image", color(2), 2)]), tmp_path)
    assert (summary.counts.frames, summary.counts.broken) == (2, 1)
    assert "image 1" in summary.counts.first_error and "nonsense" in summary.counts.first_error


def test_a_failed_bag_does_not_stop_the_others(
    tmp_path: Path, scripted: ScriptedPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    good = camera_bag(tmp_path / "good", 2)
    words = write_bag(tmp_path / "words", [Entry("/said", String(data="hello"), 0)])
    argv = ["annotate", str(words), str(good), "--command", "the mug", "--out", str(tmp_path / "out")]
    assert cli.main(argv) == 1
    said = capsys.readouterr()
    assert "left out" in said.err and "/said (std_msgs/msg/String)" in said.err
    assert "good_llavaseg: 2 frames, 2 masks, 2 with geometry" in said.out
    assert read_back(tmp_path / "out" / "good_llavaseg").topics
    assert "Traceback" not in said.err


def test_two_bags_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bags = [str(camera_bag(tmp_path / place / "bag", 1)) for place in ("a", "b")]
    assert cli.main(["annotate", *bags, "--command", "x", "--out", str(tmp_path)]) == 1
    assert "would both become" in capsys.readouterr().err


def test_without_ray_workers_come_one_after_the_other(
    tmp_path: Path,
    scripted: ScriptedPipeline,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    bags = [str(camera_bag(tmp_path / name, 2)) for name in ("a", "b")]
    assert cli.main(["annotate", *bags, "--command", "x", "--out", str(tmp_path / "out"), "--workers", "2"]) == 0
    said = capsys.readouterr()
    assert "Ray is not installed (pip install 'llavaseg_ros[ray]'); one bag after the other" in said.err
    assert said.out.count("2 frames, 2 masks") == 2


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--every", "0"], "--every.*from 1 on"),
        (["--image", "camera"], "--image.*full name"),
        (["--command", " "], "the command is empty"),
        (["--relook-after", "-1"], "--relook-after"),
        ([], "--command"),
    ],
)
def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], match: str) -> None:
    argv = ["annotate", str(DEMO_BAG), *arguments]
    if arguments and "--command" not in arguments:
        argv += ["--command", "the mug"]
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert re.search(match, capsys.readouterr().err)
