# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Core results as messages. Headers are handed through untouched: a mask carries the stamp of its image."""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from llavaseg_ros.checks import MAX_POINTS
from llavaseg_ros.errors import BadRequest, ErrorCode, LLaVASegError
from llavaseg_ros.msg import Answer, TargetMask, TargetMaskArray
from llavaseg_ros.reasoning.guard import printable
from llavaseg_ros.ros.convert import mask_to_image
from llavaseg_ros.types import Attributes, Result, Segment

MAX_COMMAND_LENGTH = 2000
MAX_SESSION_ID_LENGTH = 256
MAX_ERROR_LENGTH = 2000
# More than any model says that has an end.
MAX_TEXT_LENGTH = 20_000
MAX_NAME_LENGTH = 500  # of a target's name, color, shape and location each


def check_command(text: str) -> str:
    """The command without blanks around it. Raises BadRequest when it is empty, too long, or not words."""
    stripped = text.strip()
    if not stripped:
        raise BadRequest("command: the text is empty")
    if len(stripped) > MAX_COMMAND_LENGTH:
        raise BadRequest(f"command: {len(stripped)} characters; at most {MAX_COMMAND_LENGTH} are allowed")
    if "\ufffd" in stripped or any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\r\n" for c in stripped):
        raise BadRequest("command: holds control characters or broken UTF-8; expected plain text")
    if not any(c.isalnum() for c in stripped):
        raise BadRequest(f"command: {stripped[:40]!r} holds no word")
    return stripped


def check_session_id(session_id: str) -> None:
    """Raise BadRequest for a name that is too long to be kept."""
    if len(session_id) > MAX_SESSION_ID_LENGTH:
        raise BadRequest(
            f"session_id: {len(session_id)} characters; at most {MAX_SESSION_ID_LENGTH} are allowed"
        )


def check_result(result: Result, shape: tuple[int, int]) -> None:
    """Raise LLaVASegError when a model's result must not reach a planner: wrong size, wrong type, NaN, empty.

    shape: (height, width) of the image that was segmented.
    """
    if not isinstance(result, Result):
        raise LLaVASegError(f"the model gave {type(result).__name__}; expected a Result")
    if result.found and not result.segments:
        raise LLaVASegError("the model reports a target but gave no mask")
    for segment in result.segments:
        check_segment(segment, shape)


def check_segment(segment: Segment, shape: tuple[int, int]) -> None:
    """As `check_result`, for one mask."""
    mask = segment.mask
    if not isinstance(mask, np.ndarray):
        raise LLaVASegError(f"the model gave a mask of type {type(mask).__name__}; expected bool {list(shape)}")
    if mask.shape != shape or mask.dtype != np.bool_:
        raise LLaVASegError(f"the model gave a mask {mask.dtype} {list(mask.shape)}; expected bool {list(shape)}")
    if not math.isfinite(segment.score):
        raise LLaVASegError(f"the model gave a mask with score {segment.score}")


def error_of(result: Result) -> tuple[ErrorCode, str]:
    """The error code and text that go with a result of the core; NONE when there is a mask, or none was asked for."""
    name = result.thought.target
    empty = result.found and not any(segment.mask.any() for segment in result.segments)
    if empty or result.error_code is ErrorCode.EMPTY_MASK:
        return ErrorCode.EMPTY_MASK, f"{name!r} was named, but no pixel of the image could be given to it"
    if result.found or result.thought.is_question:
        return ErrorCode.NONE, ""
    if result.thought.unclear:
        return ErrorCode.NOT_FOUND, f"{name!r} refers to something, and this session has found nothing yet"
    return ErrorCode.NOT_FOUND, f"{name!r} is not in the image"


def error_text(error: LLaVASegError) -> tuple[ErrorCode, str]:
    """The error code and text of an exception; the text of an unreadable reply goes with it."""
    raw = getattr(error, "raw", "")
    text = str(error) or type(error).__name__
    if raw and raw not in text:
        text = f"{text}; the last reply was: {raw}"
    return error.code, text


def target_masks(result: Result, header: Header, command_id: str, max_targets: int) -> TargetMaskArray:
    """All targets of a result, best first, at most `max_targets`; none when the result is not found or has no pixel."""
    array = TargetMaskArray(header=header, command_id=command_id, command=clean(result.command))
    array.targets = [
        target_mask(
            segment,
            header,
            number=number,
            label=result.label_of(segment),
            attributes=result.attributes_of(segment),
        )
        for number, segment in enumerate(targets_of(result, max_targets), start=1)
    ]
    return array


def targets_of(result: Result, max_targets: int) -> tuple[Segment, ...]:
    """The masks of a result that go out, best first; none when it is not found."""
    if error_of(result)[0] is not ErrorCode.NONE:
        return ()
    return tuple(segment for segment in result.segments if segment.mask.any())[:max_targets]


def target_mask(
    segment: Segment, header: Header, *, number: int = 1, label: str = "", attributes: Attributes | None = None
) -> TargetMask:
    """One mask. Its place in 3-D is for `lifting.Lifter` to fill in: `has_geometry` is false."""
    attributes = attributes or Attributes()
    rows, cols = np.flatnonzero(segment.mask.any(axis=1)), np.flatnonzero(segment.mask.any(axis=0))
    msg = TargetMask(
        id=number,
        label=clean(label)[:MAX_NAME_LENGTH],
        color=clean(attributes.color)[:MAX_NAME_LENGTH],
        shape=clean(attributes.shape)[:MAX_NAME_LENGTH],
        location=clean(attributes.location)[:MAX_NAME_LENGTH],
        score=min(1.0, max(0.0, float(segment.score))),
        mask=mask_to_image(segment.mask, header),
        area_px=segment.area_px,
    )
    if rows.size:
        msg.roi = RegionOfInterest(
            x_offset=int(cols[0]),
            y_offset=int(rows[0]),
            width=int(cols[-1] - cols[0]) + 1,
            height=int(rows[-1] - rows[0]) + 1,
        )
    msg.centroid.header = header
    return msg


def answer(
    *,
    header: Header | None,
    command_id: str,
    session_id: str,
    command: str,
    latency_s: float,
    text: str = "",
    reasoning: str = "",
    found: bool = False,
    final: bool = True,
    error: tuple[ErrorCode, str] = (ErrorCode.NONE, ""),
) -> Answer:
    """An `Answer`. header: that of the source image, None when there was none. Texts are cut at the longest allowed."""
    return Answer(
        header=header or Header(),
        command_id=command_id,
        session_id=clean(session_id)[:MAX_SESSION_ID_LENGTH],
        command=clean(command)[:MAX_COMMAND_LENGTH],
        text=clean(text)[:MAX_TEXT_LENGTH],
        reasoning=clean(reasoning)[:MAX_TEXT_LENGTH],
        found=found,
        final=final,
        error_code=int(error[0]),
        error_msg=clean(error[1])[:MAX_ERROR_LENGTH],
        latency=duration(latency_s),
    )


def prompt_arrays(request: Any) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Points [N, 2] xy px, labels [N] and box [4] xyxy px of a `SegmentAtPrompt` request; None where there are none.

    Whether they make sense, and lie inside the image, is checked by the core. Raises BadRequest for too many, and for
    half a box.
    """
    for name, values in (("points", request.points), ("labels", request.labels)):
        if len(values) > MAX_POINTS:
            raise BadRequest(f"{name}: got {len(values)}, expected at most {MAX_POINTS}")
    points = np.array([[p.x, p.y] for p in request.points], np.float32) if request.points else None
    labels = np.array(list(request.labels), np.int64) if len(request.labels) else None
    box = request.box
    if not box.width and not box.height:
        return points, labels, None
    if not box.width or not box.height:
        raise BadRequest(f"box: {box.width}x{box.height} px; expected both sides above 0, or both 0 for no box")
    corners = (box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height)
    return points, labels, np.array(corners, np.float32)


def duration(seconds: float) -> Duration:
    """A duration message of seconds >= 0."""
    nanoseconds = max(0, round(seconds * 1e9))
    return Duration(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def seconds_of(value: Duration) -> float:
    """A duration message in seconds."""
    return float(value.sec) + value.nanosec * 1e-9


def stamp_ns(stamp: Time) -> int:
    """A time message in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


# A message that has waited for longer has more likely seen the clock being set.
_MAX_WAIT_S = 600.0


def arrival(info: Mapping[str, Any]) -> float:
    """When a message came, on the monotonic clock, s: not when it was taken up. Now, where no middleware tells.

    info: what rclpy gives a callback of two arguments; `received_timestamp` is of this machine's wall clock, ns.
    """
    before = time.monotonic()  # first: a thread that is delayed between the two must not make a message newer
    waited_s = (time.time_ns() - info.get("received_timestamp", 0)) * 1e-9
    return before - (waited_s if 0 <= waited_s <= _MAX_WAIT_S else 0.0)


def clean(text: str) -> str:
    """A text that a ROS string can carry, and a terminal can show: valid UTF-8, no control or invisible characters.

    Whoever echoes a topic must not have the terminal told things by a text from elsewhere.
    """
    return printable(text[: 4 * MAX_TEXT_LENGTH].encode("utf-8", "replace").decode("utf-8"))
