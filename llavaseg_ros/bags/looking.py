# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One frame of a bag, and what is said and segmented on it: the messages that the node would have published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from llavaseg_ros import viz
from llavaseg_ros.bags.frames import BagFrame
from llavaseg_ros.bags.lifting import BagLifter
from llavaseg_ros.bags.options import Options
from llavaseg_ros.bags.segments import OutMessage
from llavaseg_ros.bags.state import State, Track
from llavaseg_ros.errors import BadRequest, LLaVASegError
from llavaseg_ros.msg import Answer, TargetMaskArray
from llavaseg_ros.ros import messages
from llavaseg_ros.ros.convert import mask_to_image, rgb_to_image, to_rgb
from llavaseg_ros.ros.jobs import as_error
from llavaseg_ros.types import Result, Segment

JPEG_QUALITY = 90
_NS = 1_000_000_000


class Looking:
    """Looks at frames in order. Keeps in `state` what the next frame depends on, and counts there.

    model: has the methods of `LLaVASeg`. lifter: gives the masks their place.
    """

    def __init__(self, model: Any, options: Options, state: State, lifter: BagLifter) -> None:
        self._model, self._options, self._state, self._lifter = model, options, state, lifter
        if not state.tracks:
            state.tracks = [Track() for _ in options.commands]

    @staticmethod
    def topics(options: Options) -> dict[str, str]:
        """Name and type of every topic that is written."""
        found: dict[str, str] = {}
        for index in range(len(options.commands)):
            place = topic_prefix(options, index)
            found[f"{place}/masks"] = "llavaseg_ros/msg/TargetMaskArray"
            found[f"{place}/mask"] = "sensor_msgs/msg/Image"
            found[f"{place}/answer"] = "llavaseg_ros/msg/Answer"
            if options.points:
                found[f"{place}/target_points"] = "sensor_msgs/msg/PointCloud2"
                found[f"{place}/target_pose"] = "geometry_msgs/msg/PoseStamped"
            if options.overlay == "jpeg":
                found[f"{place}/overlay/compressed"] = "sensor_msgs/msg/CompressedImage"
            elif options.overlay == "raw":
                found[f"{place}/overlay"] = "sensor_msgs/msg/Image"
        return found

    def look(self, frame: BagFrame) -> list[OutMessage]:
        """All messages for one frame, with its stamp; none when its image does not decode."""
        counts = self._state.counts
        try:
            message = frame.image.fields()
            rgb = to_rgb(message, copy=False)
            self._model.set_image(rgb)
        except LLaVASegError as error:
            counts.broken += 1
            counts.first_error = counts.first_error or f"image {frame.number}: {error}"
            return []
        counts.frames += 1
        self._lifter.take(frame)
        found: list[OutMessage] = []
        for index, command in enumerate(self._options.commands):
            place = topic_prefix(self._options, index)
            for name, type_name, out in self._command(frame, rgb, message.header, index, command):
                found.append(OutMessage(f"{place}/{name}", type_name, frame.log_ns, serialize_message(out)))
        return found

    def _command(
        self, frame: BagFrame, rgb: np.ndarray, header: Header, index: int, command: str
    ) -> Iterator[tuple[str, str, Any]]:
        """(topic, type, message) of one command on the frame that the model has."""
        track = self._state.tracks[index]
        # A target that is followed keeps the id of its command, as it does in the node.
        command_id = f"{index + 1}" if self._options.follow else f"{index + 1}.{frame.number}"
        started = time.monotonic()
        result: Result | None = None
        error: LLaVASegError | None = None
        try:
            result, asked = self._result(track, frame, command)
            if result is not None:
                messages.check_result(result, (rgb.shape[0], rgb.shape[1]))
        except Exception as raised:
            result, asked, error = None, True, as_error(raised)
        counts = self._state.counts
        counts.asked += asked
        masks = TargetMaskArray(header=header, command_id=command_id)
        segments: tuple[Segment, ...] = ()
        if result is not None:
            most = 1 if self._options.follow else self._options.max_targets
            masks = messages.target_masks(result, header, command_id, most)
            segments = messages.targets_of(result, most)
        masks.command = messages.clean(command)
        geometry = self._lifter.lift(masks, segments, rgb)
        if error is not None:
            counts.failed += 1
            counts.first_error = counts.first_error or f"image {frame.number}, {command!r}: {error}"
        counts.with_mask += bool(masks.targets)
        counts.with_geometry += any(target.has_geometry for target in masks.targets)
        yield "masks", "llavaseg_ros/msg/TargetMaskArray", masks
        best = masks.targets[0].mask if masks.targets else mask_to_image(np.zeros(rgb.shape[:2], np.bool_), header)
        yield "mask", "sensor_msgs/msg/Image", best
        if asked:
            answer = self._answer(result, error or geometry.problem, masks, time.monotonic() - started)
            yield "answer", "llavaseg_ros/msg/Answer", answer
        if self._options.points:
            yield "target_points", "sensor_msgs/msg/PointCloud2", geometry.target_points
            yield "target_pose", "geometry_msgs/msg/PoseStamped", geometry.target_pose
        if self._options.overlay != "none":
            seen = asked or bool(masks.targets)
            text = f"Error: {error}" if error else result.answer if result is not None and seen else "lost"
            yield self._overlay(rgb, result, masks, text)

    def _result(self, track: Track, frame: BagFrame, command: str) -> tuple[Result | None, bool]:
        """What is on the frame, None if it was not looked at, and whether the language model was asked for it."""
        if not self._options.follow:
            return self._model.segment(command, max_targets=self._options.max_targets), True
        found: Result | None = None
        if track.result is not None:
            gap_s = max(0.0, (frame.stamp_ns - track.seen_ns) / _NS)
            found = self._model.follow(track.result, gap_s=gap_s)
            if _has_pixels(found):
                track.result, track.seen_ns, track.lost = found, frame.stamp_ns, False
                return found, False
            if not track.lost:
                track.lost, track.tried_ns = True, frame.stamp_ns
        if track.tried_ns is not None:
            wait_ns = self._options.relook_after_s * _NS
            if not wait_ns or frame.stamp_ns - track.tried_ns < wait_ns:
                return found, False
        track.tried_ns = frame.stamp_ns
        result = self._model.segment(command, max_targets=1)
        if _has_pixels(result):
            track.result, track.seen_ns, track.lost = result, frame.stamp_ns, False
        return result, True

    def _answer(
        self, result: Result | None, error: LLaVASegError | None, masks: TargetMaskArray, seconds: float
    ) -> Answer:
        said: dict[str, Any] = {}
        if result is not None:
            said = {"text": result.answer, "reasoning": result.thought.reasoning, "error": messages.error_of(result)}
        if error is not None:
            said["error"] = messages.error_text(error)
        return messages.answer(
            header=masks.header,
            command_id=masks.command_id,
            session_id="",
            command=masks.command,
            latency_s=seconds,
            found=bool(masks.targets),
            **said,
        )

    def _overlay(
        self, rgb: np.ndarray, result: Result | None, masks: TargetMaskArray, text: str
    ) -> tuple[str, str, Any]:
        drawn: list[np.ndarray] = []
        if result is not None and masks.targets:
            drawn = [segment.mask for segment in messages.targets_of(result, len(masks.targets))]
        picture = viz.draw_overlay(rgb, drawn, [target.label for target in masks.targets], text)
        if self._options.overlay == "raw":
            return "overlay", "sensor_msgs/msg/Image", rgb_to_image(picture, masks.header)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise BadRequest(f"overlay: {rgb.shape[1]}x{rgb.shape[0]} px cannot be encoded as JPEG")
        compressed = CompressedImage(header=masks.header, format="rgb8; jpeg compressed bgr8", data=data.tobytes())
        return "overlay/compressed", "sensor_msgs/msg/CompressedImage", compressed


def topic_prefix(options: Options, index: int) -> str:
    """Where the topics of a command lie: under the prefix, and below that by number when there are several."""
    prefix = "/" + options.prefix.strip("/")
    return prefix if len(options.commands) == 1 else f"{prefix}/command_{index + 1}"


def _has_pixels(result: Result) -> bool:
    return result.found and any(segment.mask.any() for segment in result.segments)

