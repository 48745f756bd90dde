# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are the camera: by type and encoding first, by their names where there are several."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from sensor_msgs.msg import CompressedImage, Image

from llavaseg_ros.bags.reading import Bag
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.ros.cdr import RawMessage
from llavaseg_ros.ros.convert import COLOR_ENCODINGS, DEPTH_ENCODINGS

IMAGE_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
GRAY_ENCODINGS = ("mono8", "mono16", "8UC1")
# What this package publishes itself, when it ran while the bag was recorded.
OWN_OUTPUTS = ("/llavaseg/mask", "/llavaseg/overlay", "/llavaseg/overlay/compressed")


@dataclass(frozen=True)
class CameraTopics:
    """Names of topics; "" where the bag has none. notes: what was chosen among several, and what is missing."""

    image: str
    camera_info: str = ""
    depth: str = ""
    depth_camera_info: str = ""
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> set[str]:
        """The names that are there."""
        return {self.image, self.camera_info, self.depth, self.depth_camera_info} - {""}


def choose_topics(
    bag: Bag, *, image: str = "", camera_info: str = "", depth: str = "", depth_camera_info: str = ""
) -> CameraTopics:
    """Find the color image of a bag, its depth and their calibrations. A name that is given is taken.

    depth "none": do not look for it. Raises BadRequest when a given topic is not there or not of its kind, when there
    is no image, and when there are several and none was given.
    """
    for what, name in (("image", image), ("depth", "" if depth == "none" else depth)):
        if name:
            _check(bag, what, name, IMAGE_TYPES)
    for what, name in (("camera info", camera_info), ("depth camera info", depth_camera_info)):
        if name:
            _check(bag, what, name, (CAMERA_INFO_TYPE,))
    kinds = _kinds(bag)
    notes: list[str] = []
    if image and kinds.get(image) not in ("color", "gray"):
        raise BadRequest(f"{bag.path}: {image} is no color image; expected one of {_list(_of(kinds, 'color', 'gray'))}")
    if depth not in ("", "none") and kinds.get(depth) != "depth":
        raise BadRequest(f"{bag.path}: {depth} is no depth image (32FC1 or 16UC1)")
    image = image or _only_image(bag, kinds)
    infos = [topic.name for topic in bag.topics.values() if topic.type_name == CAMERA_INFO_TYPE]
    camera_info = camera_info or _info_of(image, infos, depth_too=False)
    if depth == "none":
        return CameraTopics(image, camera_info)
    if not depth:
        depth = _depth_of(image, _of(kinds, "depth"), notes)
    if depth:
        depth_camera_info = depth_camera_info or _info_of(depth, infos, depth_too=True)
    if depth and not (camera_info and depth_camera_info):
        notes.append(f"no camera_info for {depth if camera_info else image}: masks stay without geometry (3-D)")
    return CameraTopics(image, camera_info, depth, depth_camera_info, tuple(notes))


def base_of(topic: str) -> str:
    """The raw topic that a transport's topic belongs to: /camera/image/compressed -> /camera/image."""
    for ending in ("/compressed", "/compressedDepth"):
        if topic.endswith(ending):
            return topic[: -len(ending)]
    return topic


def _check(bag: Bag, what: str, name: str, types: Collection[str]) -> None:
    topic = bag.topics.get(name)
    if topic is None or topic.type_name not in types or not topic.count:
        have = sorted(t.name for t in bag.topics.values() if t.type_name in types and t.count)
        state = "is not there" if topic is None else f"has {topic.count} messages of {topic.type_name}"
        raise BadRequest(f"{bag.path}: the {what} topic {name} {state}; expected one of {_list(have)}")


def _kinds(bag: Bag) -> dict[str, str]:
    """color, gray, depth or other of every image topic, by its first message."""
    waiting = {t.name for t in bag.topics.values() if t.type_name in IMAGE_TYPES and t.count}
    kinds: dict[str, str] = {}
    for message in bag.messages(set(waiting)):
        if message.topic in waiting:
            waiting.discard(message.topic)
            kinds[message.topic] = _kind(message.data, IMAGE_TYPES[bag.topics[message.topic].type_name])
        if not waiting:
            break
    return kinds


def _kind(data: bytes, message_type: type) -> str:
    try:
        message = RawMessage(data, message_type).fields()
    except BadRequest:
        return "other"
    if message_type is CompressedImage:
        return "depth" if "compressedDepth" in message.format or "16UC1" in message.format else "color"
    if message.encoding in GRAY_ENCODINGS:
        return "gray"
    if message.encoding in DEPTH_ENCODINGS:
        return "depth"
    return "color" if message.encoding in COLOR_ENCODINGS else "other"


def _only_image(bag: Bag, kinds: dict[str, str]) -> str:
    for kind in ("color", "gray"):
        found = [name for name in _of(kinds, kind) if name not in OWN_OUTPUTS]
        # Of two that carry the same pictures, the one that lost nothing.
        found = [name for name in found if base_of(name) == name or base_of(name) not in found]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadRequest(f"{bag.path} has several cameras; choose one with --image: {_list(found)}")
    topics = _list(sorted(f"{t.name} ({t.type_name})" for t in bag.topics.values()))
    raise BadRequest(
        f"{bag.path} has no camera image; expected sensor_msgs/msg/Image or CompressedImage, and it has: {topics}"
    )


def _info_of(topic: str, infos: list[str], *, depth_too: bool) -> str:
    """The camera_info beside a topic; else the only one there is of its kind."""
    beside = str(PurePosixPath(base_of(topic)).parent / "camera_info")
    if beside in infos:
        return beside
    inside = f"{base_of(topic)}/camera_info"
    if inside in infos:
        return inside
    same = [name for name in infos if ("depth" in name) == depth_too]
    return same[0] if len(same) == 1 else ""


def _depth_of(image: str, depths: list[str], notes: list[str]) -> str:
    depths = [name for name in depths if base_of(name) == name or base_of(name) not in depths]
    if len(depths) < 2:
        return depths[0] if depths else ""
    aligned = [name for name in depths if "aligned" in name or "registered" in name]
    camera = image.split("/")[1]
    beside = [name for name in depths if name.split("/")[1] == camera]
    for found in (aligned, beside):
        if len(found) == 1:
            notes.append(f"depth is taken from {found[0]}; --depth chooses another")
            return found[0]
    notes.append(f"several depth images and none is chosen (--depth): {_list(depths)}")
    return ""


def _of(kinds: dict[str, str], *wanted: str) -> list[str]:
    return sorted(name for name, kind in kinds.items() if kind in wanted)


def _list(names: Collection[str]) -> str:
    return ", ".join(names) or "nothing"
