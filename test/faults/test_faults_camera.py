# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults of the camera: what it sends, when, and whether it sends at all."""

from __future__ import annotations

import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import PIL.Image
import pytest
from builtin_interfaces.msg import Time
from faults import fault
from images import changed, compressed, encoded, serialized
from ros_harness import picture, wait_until
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros.convert import COLOR_ENCODINGS


def goes_on(stack: Any) -> None:
    """After the fault, a good image and a command are served as ever."""
    image = stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == image.header


def refused(stack: Any, message: Any, words: str) -> None:
    """A command about this image ends with BAD_REQUEST, and its text names what is wrong."""
    count = stack.node.inputs.images.count
    stack.publish_image(message)
    wait_until(lambda: stack.node.inputs.images.count > count, what="the image")
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.BAD_REQUEST and words in result.error_msg, result.error_msg
    assert not result.masks.targets


# --- when ---


@fault(
    "stops",
    group="Camera",
    node="keeps the last frame, and takes it as long as it is younger than `sync.max_image_age_s`",
    planner="STALE_IMAGE for each command, no mask; the latched one keeps its old stamp; following falls silent",
)
def test_camera_stops(make_stack: Any) -> None:
    stack = make_stack(sync__max_image_age_s=0.3, sync__wait_for_image_s=0.05, follow__enabled=True)
    for _ in range(20):  # on a slow machine a frame may be too old at once
        image = stack.send_image()
        if stack.do("take the mug").result.error_code == ErrorCode.NONE:
            break
    time.sleep(0.4)
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.STALE_IMAGE and "sync.max_image_age_s" in result.error_msg
    wait_until(lambda: stack.observer.finals()[-1:] == [result.answer], what="the answer")
    assert all(masks.command_id != result.answer.command_id for masks in stack.observer.record.masks)
    assert stack.observer.last_mask.header == image.header


@fault(
    "never sends an image",
    group="Camera",
    node="waits `sync.wait_for_image_s`, then gives up",
    planner="NO_IMAGE, and the text says where to look; no mask on any topic",
)
def test_camera_never_comes(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=0.05)
    answer = stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_IMAGE and "topic" in answer.error_msg
    assert answer.header == Header() and not stack.observer.record.masks


@fault(
    "its stamps jump back (driver or simulation restarts, a bag begins again)",
    group="Camera",
    node="forgets the frames of the time before",
    planner="masks of the new frames; a command about an old stamp gets NO_IMAGE",
)
def test_stamps_jump_back(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    before = stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    after = stack.send_image(age_s=100.0)
    wait_until(lambda: any(m.stamp_ns < time.time_ns() - 50 * 10**9 for m in stack.observer.record.masks))
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == after.header
    assert stack.do("take the mug", image_stamp=before.header.stamp).result.error_code == ErrorCode.NO_IMAGE


@fault(
    "its stamps jump into the future, and back",
    group="Camera",
    node="takes no frame that is more than 1 s ahead of its clock; believes the clock again with the next good frame",
    planner="STALE_IMAGE with the words 'in the future', then masks again",
)
def test_stamps_jump_ahead(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=0.05)
    stack.send_image()
    stack.send_image(age_s=-3600.0)
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.STALE_IMAGE and "in the future" in result.error_msg
    goes_on(stack)


@fault(
    "stamps nothing (all stamps 0)",
    group="Camera",
    node="counts the age from the arrival",
    planner="masks with stamp 0: they belong to no moment, so do not act on them",
)
def test_zero_stamp(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image(message=changed(Header(frame_id="camera")))
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == Header(frame_id="camera")
    stack.node.set_parameters([stack.parameter("sync.max_image_age_s", 0.001)])
    assert stack.do("take the mug").result.error_code == ErrorCode.STALE_IMAGE


@fault(
    "sends stamps that no clock has (negative, or with more than 10^9 nanoseconds)",
    group="Camera",
    node="computes with them as they are: far too old, or a second further on",
    planner="STALE_IMAGE, or a mask with exactly that stamp",
)
def test_impossible_stamps(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=0.05)
    stack.send_image(message=changed(Header(stamp=Time(sec=-5, nanosec=7))))
    assert stack.do("take the mug").result.error_code == ErrorCode.STALE_IMAGE
    header = stack.header()
    header.stamp.sec, header.stamp.nanosec = header.stamp.sec - 3, header.stamp.nanosec + 2 * 10**9
    stack.send_image(message=changed(header))
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == header


@fault(
    "sends other pictures under the same stamp",
    group="Camera",
    node="takes the one that came last, and encodes it anew",
    planner="the mask of the last picture, under the stamp that they share",
)
def test_same_stamp_with_other_content(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    header, boxes = stack.header(), []
    for x in (2, 20, 40):
        stack.send_image(message=changed(header, data=picture(red=(x, 8, 10, 6)).tobytes()))
        result = stack.do("take the mug").result
        boxes.append(result.masks.targets[0].roi.x_offset)
    assert boxes == [2, 20, 40]


# --- what ---


@fault(
    "changes its size in mid-stream",
    group="Camera",
    node="takes each frame at its own size, also while it follows",
    planner="each mask has the size of the image whose stamp it carries",
)
def test_size_changes(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    for height, width in ((48, 64), (30, 40), (60, 40), (48, 64)):
        stack.send_image(picture(height, width))
        done = stack.do("take the mug").result
        assert done.error_code == ErrorCode.NONE
        assert (done.masks.targets[0].mask.height, done.masks.targets[0].mask.width) == (height, width)
        image = stack.send_image(picture(width, height))
        stack.observer.wait_mask_of(image)


@fault(
    "changes its encoding in mid-stream, to each that is known",
    group="Camera",
    node="reads each frame by its own encoding",
    planner="the same mask whatever the encoding (mono ones have no color)",
)
def test_encoding_changes(make_stack: Any) -> None:
    stack = make_stack()
    for encoding in COLOR_ENCODINGS:
        image = stack.send_image(message=encoded(encoding, stack.header()))
        result = stack.do("take the mug").result
        assert result.masks.header == image.header
        if "mono" in encoding or encoding == "8UC1":
            assert result.error_code == ErrorCode.EMPTY_MASK  # the scripted model looks for red
            continue
        assert result.error_code == ErrorCode.NONE, (encoding, result.error_msg)
        roi = result.masks.targets[0].roi
        # Bayer and YUV blur the rim by a pixel.
        assert abs(roi.x_offset - 10) <= 1 and abs(roi.y_offset - 8) <= 1 and abs(roi.width - 20) <= 2, encoding


@fault(
    "changes to an encoding that is not known",
    group="Camera",
    node="refuses the frame, and takes the next good one",
    planner="BAD_REQUEST with the encoding's name and those that are expected",
)
def test_unknown_encoding(make_stack: Any) -> None:
    stack = make_stack()
    goes_on(stack)
    for encoding in ("32FC3", "", "nv21", "RGB8", "8" * 5000):
        refused(stack, changed(stack.header(), encoding=encoding), "encoding")
    goes_on(stack)


@fault(
    "sends less data than size and step say",
    group="Camera",
    node="refuses the frame; never reads past its end",
    planner="BAD_REQUEST with the number of bytes and what is needed",
)
def test_too_little_data(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    goes_on(stack)
    whole = changed(stack.header()).data
    for keep in (0, 1, len(whole) // 2, len(whole) - 1):
        refused(stack, changed(stack.header(), data=whole[:keep]), "bytes of data")
    goes_on(stack)


@fault(
    "sends messages that are cut off on the wire",
    group="Camera",
    node="drops what has no stamp; refuses the others when a command wants them",
    planner="BAD_REQUEST, or the last whole frame as long as it is fresh",
)
def test_cut_off_messages(make_stack: Any) -> None:
    stack = make_stack()
    goes_on(stack)
    for keep in (-1, 2000, 40, 13):
        refused(stack, serialized(changed(stack.header()), keep), "no whole Image message")
    for keep in (11, 4):
        broken = stack.node.inputs.broken
        stack.publish_image(serialized(changed(stack.header()), keep))
        wait_until(lambda before=broken: stack.node.inputs.broken > before, what="the count of broken messages")
    goes_on(stack)


@fault(
    "sends a step that does not fit the width",
    group="Camera",
    node="refuses a step that is too small; takes padded rows",
    planner="BAD_REQUEST with the step and what is needed; with padding, the right mask",
)
def test_wrong_step(make_stack: Any) -> None:
    stack = make_stack()
    refused(stack, changed(stack.header(), step=0), "step 0")
    refused(stack, changed(stack.header(), step=191), "step 191")
    refused(stack, changed(stack.header(), step=2**32 - 1), "bytes of data")
    padded = np.zeros((48, 200), np.uint8)
    padded[:, :192] = picture().reshape(48, 192)
    stack.send_image(message=changed(stack.header(), step=200, data=padded.tobytes()))
    roi = stack.do("take the mug").result.masks.targets[0].roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (10, 8, 20, 12)


@pytest.mark.parametrize(
    "width, height, words",
    [
        pytest.param(
            0,
            0,
            "expected at least 1x1",
            id="zero",
            marks=fault(
                "sends images of no pixels",
                group="Camera",
                node="refuses the frame",
                planner="BAD_REQUEST with the size",
            ),
        ),
        pytest.param(
            2**32 - 1,
            2**32 - 1,
            "is more than",
            id="huge",
            marks=fault(
                "claims a size of 2^32 x 2^32 pixels",
                group="Camera",
                node="refuses the frame before any memory is taken for it",
                planner="BAD_REQUEST with the size",
            ),
        ),
    ],
)
def test_impossible_sizes(make_stack: Any, width: int, height: int, words: str) -> None:
    stack = make_stack()
    refused(stack, changed(stack.header(), width=width, height=height), words)
    goes_on(stack)


@fault(
    "sends a frame_id that is empty, very long, or another one each time",
    group="Camera",
    node="hands it through",
    planner="each mask with the frame_id of its image",
)
def test_frame_id(make_stack: Any) -> None:
    stack = make_stack()
    for frame_id in ("", "a" * 100_000, "näh/../%s\n", "camera"):
        image = stack.send_image(message=changed(stack.header(frame_id=frame_id)))
        assert stack.do("take the mug").result.masks.header == image.header


@fault(
    "sends compressed pictures that are broken",
    group="Camera",
    node="refuses what is cut off, is no JPEG or PNG, or holds nothing",
    planner="BAD_REQUEST; no mask of half a picture",
)
def test_broken_compressed_pictures(make_stack: Any) -> None:
    stack = make_stack(image_transport="compressed", follow__enabled=True)
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    for ext in (".jpg", ".png"):
        good = compressed(stack.header(), noise, ext)
        for keep in (0, 10, len(good.data) // 2, len(good.data) - 2):
            message = CompressedImage(header=stack.header(), format=good.format, data=good.data[:keep])
            refused(stack, message, "image: compressed image")
    refused(stack, CompressedImage(header=stack.header(), format="jpeg", data=b"GIF89a" * 50), "expected JPEG or PNG")
    refused(stack, CompressedImage(header=stack.header(), format="16UC1; compressedDepth", data=b"0" * 50), "depth")
    image = stack.send_image(message=compressed(stack.header()))
    assert stack.do("take the mug").result.masks.header == image.header


@fault(
    "sends compressed pictures whose size changes, or is a trap",
    group="Camera",
    node="takes the size that the picture has; refuses more than 100 million pixels before it unpacks them",
    planner="masks of the picture's size; BAD_REQUEST",
)
def test_compressed_pictures_of_other_sizes(make_stack: Any) -> None:
    stack = make_stack(image_transport="compressed")
    for height, width in ((48, 64), (30, 80), (48, 64)):
        image = stack.send_image(message=compressed(stack.header(), picture(height, width)))
        mask = stack.do("take the mug").result.masks.targets[0].mask
        assert (mask.height, mask.width) == (height, width) and mask.header == image.header
    trap = io.BytesIO()
    PIL.Image.new("1", (12_000, 9_000)).save(trap, "PNG")  # a few kilobytes
    claim = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    for data in (trap.getvalue(), claim + chunk(b"IDAT", b"")):
        message = CompressedImage(header=stack.header(), format="png", data=data)
        refused(stack, message, "more than 100000000 pixels")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
