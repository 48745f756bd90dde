# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The frames of a bag that are to be annotated, each with the depth image nearest to it in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo

from llavaseg_ros.bags.reading import Bag, BagMessage
from llavaseg_ros.bags.topics import IMAGE_TYPES, CameraTopics
from llavaseg_ros.demo.bag_reader import decode_depth
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.ros.cdr import RawMessage, read_stamp_ns

# A depth image further away in time than this shows another moment.
MAX_DEPTH_GAP_S = 0.05
# In the bag, a depth image may come this long after its color image.
LATE_S = 0.5
_KEPT_DEPTHS = 16
_NS = 1_000_000_000


@dataclass(frozen=True)
class BagFrame:
    """One color image. number: its place among the images of its topic, from 0. log_ns: time of recording.

    stamp_ns: header stamp. depth: the nearest depth image, None if there is none near enough, and its stamp.
    camera_info, depth_camera_info: the last ones before it. All serialized.
    """

    number: int
    log_ns: int
    stamp_ns: int
    image: RawMessage
    depth: RawMessage | None = None
    depth_stamp_ns: int = 0
    camera_info: RawMessage | None = None
    depth_camera_info: RawMessage | None = None


@dataclass
class FrameReader:
    """Every `every`-th color image of a bag, from the first on. broken: how many were too short to have a stamp."""

    bag: Bag
    topics: CameraTopics
    every: int = 1
    broken: int = 0
    _infos: dict[str, RawMessage] = field(default_factory=dict)
    _depths: deque[tuple[int, RawMessage]] = field(default_factory=lambda: deque(maxlen=_KEPT_DEPTHS))
    _pending: deque[BagFrame] = field(default_factory=deque)

    def expected(self) -> int:
        """How many frames there should be."""
        return -(-self.bag.topics[self.topics.image].count // self.every)

    def frames(self) -> Iterator[BagFrame]:
        """The frames in order of recording."""
        number = 0
        for message in self.bag.messages(self.topics.all):
            try:
                if message.topic == self.topics.image:
                    number += 1
                    if (number - 1) % self.every == 0:
                        self._pending.append(self._frame(number - 1, message))
                elif message.topic == self.topics.depth:
                    self._depths.append((read_stamp_ns(message.data), self._raw(message)))
                else:
                    self._infos[message.topic] = RawMessage(message.data, CameraInfo)
            except BadRequest:
                self.broken += message.topic == self.topics.image
            while self._pending and self._settled(self._pending[0], message.log_ns):
                yield self._with_depth(self._pending.popleft())
        while self._pending:
            yield self._with_depth(self._pending.popleft())

    def _raw(self, message: BagMessage) -> RawMessage:
        return RawMessage(message.data, IMAGE_TYPES[self.bag.topics[message.topic].type_name])

    def _frame(self, number: int, message: BagMessage) -> BagFrame:
        return BagFrame(number, message.log_ns, read_stamp_ns(message.data), self._raw(message))

    def _settled(self, frame: BagFrame, now_ns: int) -> bool:
        """No better depth image can come."""
        if not self.topics.depth:
            return True
        newest = self._depths[-1][0] if self._depths else None
        infos = not self.topics.depth_camera_info or self.topics.depth_camera_info in self._infos
        infos = infos and (not self.topics.camera_info or self.topics.camera_info in self._infos)
        there = newest is not None and newest >= frame.stamp_ns and infos
        return there or now_ns > frame.log_ns + LATE_S * _NS

    def _with_depth(self, frame: BagFrame) -> BagFrame:
        near = min(self._depths, key=lambda kept: abs(kept[0] - frame.stamp_ns), default=None)
        if near is not None and abs(near[0] - frame.stamp_ns) > MAX_DEPTH_GAP_S * _NS:
            near = None
        return replace(
            frame,
            depth=near[1] if near else None,
            depth_stamp_ns=near[0] if near else 0,
            camera_info=self._infos.get(self.topics.camera_info),
            depth_camera_info=self._infos.get(self.topics.depth_camera_info),
        )


def depth_m_of(message: Any) -> np.ndarray:
    """A compressed depth image (PNG, 16UC1) as float32 [H, W] in m; no value is NaN. Raises BadRequest for another."""
    depth = _decoded(message).astype(np.float32) / 1000.0
    depth[depth == 0] = np.nan
    return depth


def _decoded(message: Any) -> np.ndarray:
    if "compressedDepth" in message.format:
        if "16UC1" not in message.format and "32FC1" in message.format:
            raise BadRequest(f"depth image: format {message.format!r}; expected 16UC1 (inverse depth is not read)")
        return decode_depth(np.frombuffer(message.data, np.uint8))
    # A plain 16-bit PNG, as some drivers call it `16UC1; png compressed`.
    depth = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
        raise BadRequest(f"depth image: format {message.format!r} does not decode to 16 bits a pixel")
    return depth
