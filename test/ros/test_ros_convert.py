# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images between messages and arrays."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from llavaseg_ros.checks import is_immutable
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.ros.cdr import RawMessage, read_stamp_ns, with_stamp
from llavaseg_ros.ros.convert import (
    COLOR_ENCODINGS,
    depth_mm_to_image,
    depth_to_image,
    mask_to_image,
    rgb_to_image,
    to_depth_m,
    to_rgb,
)

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)


def message(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Image:
    """A message of an array [H, W, C], with `padding` bytes of noise after each row."""
    if big:
        pixels = pixels.byteswap()
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1).view(np.uint8)
    noise = RNG.integers(0, 256, (rows.shape[0], padding), dtype=np.uint8)
    data = np.hstack([rows, noise])
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=data.shape[1],
        is_bigendian=int(big),
        data=data.tobytes(),
    )


ALPHA = np.dstack([RGB, RNG.integers(0, 256, (6, 8), dtype=np.uint8)])
GRAY = np.repeat(RGB[:, :, :1], 3, axis=2)
EXACT: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "8UC3": (RGB[:, :, ::-1], RGB),
    "rgba8": (ALPHA, RGB),
    "bgra8": (ALPHA[:, :, [2, 1, 0, 3]], RGB),
    "mono8": (RGB[:, :, :1], GRAY),
    "8UC1": (RGB[:, :, :1], GRAY),
    "mono16": (RGB[:, :, :1].astype(np.uint16) * 256 + 77, GRAY),
    "rgb16": (RGB.astype(np.uint16) * 256 + 77, RGB),
    "bgr16": (RGB[:, :, ::-1].astype(np.uint16) * 256 + 77, RGB),
}


@pytest.mark.parametrize("padding", [0, 4, 10])
@pytest.mark.parametrize("encoding", EXACT)
def test_color_encodings(encoding: str, padding: int) -> None:
    pixels, expected = EXACT[encoding]
    rgb = to_rgb(message(pixels, encoding, padding))
    assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous and rgb.flags.writeable
    assert np.array_equal(rgb, expected)
    if pixels.dtype == np.uint16:
        assert np.array_equal(to_rgb(message(pixels, encoding, padding, big=True)), expected)


# A flat orange as each Bayer pattern and each YUV order sees it: only the right order gives orange back.
ORANGE = (230, 120, 20)
BAYER = {"rggb": "RGGB", "bggr": "BGGR", "gbrg": "GBRG", "grbg": "GRBG"}


@pytest.mark.parametrize("pattern", BAYER)
def test_bayer(pattern: str) -> None:
    value = dict(zip("RGB", ORANGE, strict=True))
    tile = np.array([value[c] for c in BAYER[pattern]], np.uint8).reshape(2, 2)
    rgb = to_rgb(message(np.tile(tile, (4, 5))[:, :, None], f"bayer_{pattern}8"))
    assert rgb.shape == (8, 10, 3) and (rgb[2:-2, 2:-2] == ORANGE).all()


@pytest.mark.parametrize("encoding, order", [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV")])
def test_yuv(encoding: str, order: str) -> None:
    # Limited-range BT.601 of ORANGE.
    red, green, blue = ORANGE
    luma = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256
    u = 128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256
    v = 128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256
    pair = np.array([round({"Y": luma, "U": u, "V": v}[c]) for c in order], np.uint8).reshape(1, 2, 2)
    rgb = to_rgb(message(np.tile(pair, (4, 3, 1)), encoding)).astype(int)
    assert rgb.shape == (4, 6, 3) and np.abs(rgb - ORANGE).max() <= 3


def test_every_encoding_is_tested() -> None:
    tested = set(EXACT) | {f"bayer_{p}8" for p in BAYER} | {"yuv422", "uyvy", "yuv422_yuy2", "yuyv"}
    assert tested == set(COLOR_ENCODINGS)


def test_last_row_without_padding() -> None:
    msg = message(RGB, "rgb8", 8)
    msg.data = bytes(msg.data)[:-8]
    assert np.array_equal(to_rgb(msg), RGB)


def changed(**fields: Any) -> Image:
    msg = message(RGB, "rgb8")
    for name, value in fields.items():
        setattr(msg, name, value)
    return msg


@pytest.mark.parametrize(
    "msg, word",
    [
        (changed(encoding="jpeg"), "encoding 'jpeg'"),
        (changed(encoding=""), "encoding ''"),
        (changed(width=0), "0x6"),
        (changed(height=0), "8x0"),
        (changed(step=23), "step 23"),
        (changed(step=0), "step 0"),
        (changed(data=b""), "0 bytes"),
        (changed(data=bytes(143)), "143 bytes"),
        (changed(height=2**32 - 1, width=2**32 - 1), "pixels"),
        (changed(encoding="rgb16", step=49, data=bytes(49 * 6)), "step 49"),
        (changed(encoding="yuv422", width=3), "even width"),
        (changed(encoding="bayer_rggb8", width=2, height=2), "3x3"),
    ],
)
def test_bad_messages(msg: Image, word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        to_rgb(msg)


def test_compressed() -> None:
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    png = cv2.imencode(".png", smooth[:, :, ::-1])[1].tobytes()
    jpeg = cv2.imencode(".jpg", smooth[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert np.array_equal(to_rgb(CompressedImage(format="png", data=png)), smooth)
    difference = to_rgb(CompressedImage(format="rgb8; jpeg compressed bgr8", data=jpeg)).astype(int) - smooth
    assert np.abs(difference).mean() < 8
    for form, data, word in (
        ("jpeg", b"", "no data"),
        ("jpeg", jpeg[:20], "does not decode"),
        ("16UC1; compressedDepth png", png, "depth"),
    ):
        with pytest.raises(BadRequest, match=word):
            to_rgb(CompressedImage(format=form, data=data))


def test_mask_message() -> None:
    mask = np.zeros((5, 7), np.bool_)
    mask[1:3, 2:6] = True
    msg = mask_to_image(mask, Header(frame_id="cam"))
    assert (msg.encoding, msg.height, msg.width, msg.step, msg.header.frame_id) == ("mono8", 5, 7, 7, "cam")
    assert np.array_equal(np.frombuffer(msg.data, np.uint8).reshape(5, 7), mask * 255)
    with pytest.raises(ValueError, match="bool"):
        mask_to_image(mask.astype(np.uint8), Header())


def test_images_come_back() -> None:
    assert np.array_equal(to_rgb(rgb_to_image(RGB[:, ::-1], Header())), RGB[:, ::-1])
    with pytest.raises(ValueError, match="uint8"):
        rgb_to_image(RGB.astype(np.float32), Header())


def test_depth() -> None:
    metres = np.array([[0.5, np.nan, np.inf], [0.0, -1.0, 2.25]], np.float32)
    expected = np.array([[0.5, np.nan, np.nan], [np.nan, np.nan, 2.25]], np.float32)
    assert np.array_equal(to_depth_m(depth_to_image(metres, Header())), expected, equal_nan=True)
    assert np.array_equal(to_depth_m(message(metres[:, :, None], "32FC1", 4, big=True)), expected, equal_nan=True)
    millimetres = np.array([[500, 0, 2250]], np.uint16)
    expected = np.array([[0.5, np.nan, 2.25]], np.float32)
    assert np.array_equal(to_depth_m(depth_mm_to_image(millimetres, Header())), expected, equal_nan=True)
    with pytest.raises(BadRequest, match="depth image: unknown encoding"):
        to_depth_m(message(RGB, "rgb8"))


def test_raw_messages() -> None:
    from rclpy.serialization import deserialize_message, serialize_message

    msg = rgb_to_image(RGB, Header(frame_id="cam"))
    msg.header.stamp.sec, msg.header.stamp.nanosec = 12, 345
    data = serialize_message(msg)
    assert read_stamp_ns(data) == 12_000_000_345
    assert RawMessage(data, Image).message() == msg
    later = deserialize_message(with_stamp(data, 99_000_000_001), Image)
    assert (later.header.stamp.sec, later.header.stamp.nanosec, later.header.frame_id) == (99, 1, "cam")
    assert later.data == msg.data
    with pytest.raises(BadRequest, match="too short"):
        read_stamp_ns(data[:9])
    with pytest.raises(BadRequest, match="Image"):
        RawMessage(data[:40], Image).message()


def swapped(data: bytes, frame_id: str) -> bytes:
    """The same rgb8 message in the other byte order, written out by hand."""
    fields = RawMessage(data, Image).message()

    def text(value: str) -> bytes:
        return struct.pack(">I", len(value) + 1) + value.encode() + b"\0"

    body = struct.pack(">iI", fields.header.stamp.sec, fields.header.stamp.nanosec) + text(frame_id)
    body += b"\0" * (-len(body) % 4) + struct.pack(">II", fields.height, fields.width) + text(fields.encoding)
    body += bytes([fields.is_bigendian])
    body += b"\0" * (-len(body) % 4) + struct.pack(">II", fields.step, len(fields.data)) + bytes(fields.data)
    return b"\0\0\0\0" + body


@pytest.mark.parametrize("frame_id", ["", "c", "cam", "camera_color_optical_frame", "küche"])
def test_an_image_is_read_off_the_wire_without_a_copy(frame_id: str) -> None:
    from rclpy.serialization import serialize_message

    msg = rgb_to_image(RGB, Header(frame_id=frame_id))
    msg.header.stamp.sec, msg.header.stamp.nanosec = -2, 345
    data = serialize_message(msg)
    for wire in (data, swapped(data, frame_id)):
        fields = RawMessage(wire, Image).fields()
        assert not isinstance(fields, Image)
        for name in ("header", "height", "width", "encoding", "is_bigendian", "step"):
            assert getattr(fields, name) == getattr(msg, name), name
        rgb = to_rgb(fields, copy=False)
        assert np.array_equal(rgb, RGB)
        assert is_immutable(rgb)
        assert np.shares_memory(rgb, np.frombuffer(wire, np.uint8))
    for size in range(len(data)):
        with pytest.raises(BadRequest):
            RawMessage(data[:size], Image).fields()
    other = serialize_message(CompressedImage(format="jpeg"))
    assert RawMessage(other, CompressedImage).fields() == CompressedImage(format="jpeg")
