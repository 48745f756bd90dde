# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images between ROS messages and NumPy arrays: one copy on the way in, one on the way out, no cv_bridge.

Reading never trusts a message: size, `step`, encoding and the amount of data are checked, and the error names the field
and what was expected. Messages are told apart by their fields, so that a test or a bag reader may hand in any object
with the fields of `sensor_msgs/Image` or `sensor_msgs/CompressedImage`.
"""

from __future__ import annotations

import array
import sys
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.images import MAX_PIXELS, kind_of

# encoding -> (bytes a channel, channels, OpenCV conversion to RGB or None)
_COLOR: dict[str, tuple[int, int, int | None]] = {
    "rgb8": (1, 3, None),
    "bgr8": (1, 3, cv2.COLOR_BGR2RGB),
    "rgba8": (1, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": (1, 4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, 1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, 1, cv2.COLOR_GRAY2RGB),
    "8UC3": (1, 3, cv2.COLOR_BGR2RGB),
    "mono16": (2, 1, cv2.COLOR_GRAY2RGB),
    "rgb16": (2, 3, None),
    "bgr16": (2, 3, cv2.COLOR_BGR2RGB),
    # OpenCV names a Bayer pattern by its second row, ROS by its first: hence the crossed names.
    "bayer_rggb8": (1, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (1, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (1, 1, cv2.COLOR_BayerGB2RGB),
    "yuv422": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (1, 2, cv2.COLOR_YUV2RGB_YUYV),
    "yuyv": (1, 2, cv2.COLOR_YUV2RGB_YUYV),
}
_PAIRED = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")
_DEPTH: dict[str, type[np.generic]] = {"32FC1": np.float32, "16UC1": np.uint16, "mono16": np.uint16}

COLOR_ENCODINGS = tuple(_COLOR)
DEPTH_ENCODINGS = tuple(_DEPTH)


def to_rgb(msg: Any, *, copy: bool = True) -> np.ndarray:
    """Read `sensor_msgs/Image` or `CompressedImage` as uint8 [H, W, 3] RGB, contiguous, a copy of its own.

    copy: False gives a view of the message's data where its pixels are RGB as they are. 16-bit images keep their upper
    8 bits. Raises BadRequest for an unknown encoding, a zero size, a wrong step, too little data, or a compressed
    picture that does not decode.
    """
    return decompress(msg) if hasattr(msg, "format") else image_to_rgb(msg, copy=copy)


def image_to_rgb(msg: Any, *, copy: bool = True) -> np.ndarray:
    """Read `sensor_msgs/Image`. See `to_rgb`."""
    if msg.encoding not in _COLOR:
        raise BadRequest(
            f"image: unknown encoding {msg.encoding!r} for a color image; expected one of {', '.join(COLOR_ENCODINGS)}"
        )
    depth, channels, conversion = _COLOR[msg.encoding]
    if msg.encoding in _PAIRED and msg.width % 2:
        raise BadRequest(f"image: {msg.encoding} needs an even width, got {msg.width}")
    pixels = _pixels(msg, np.dtype(np.uint8 if depth == 1 else np.uint16), channels)
    if depth == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    if conversion is None:
        return np.array(pixels) if copy else pixels
    if channels == 1:
        pixels = pixels[:, :, 0]
    if msg.encoding.startswith("bayer") and min(pixels.shape[:2]) < 3:
        raise BadRequest(f"image: {msg.encoding} needs at least 3x3 pixels, got {msg.width}x{msg.height}")
    # OpenCV takes padded rows as they are, but not a read-only or byte-swapped view of another layout.
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), conversion))


def decompress(msg: Any) -> np.ndarray:
    """Read `sensor_msgs/CompressedImage` (JPEG, PNG) as uint8 [H, W, 3] RGB.

    Raises BadRequest for other formats, data that is cut off or does not decode, and more than MAX_PIXELS.
    """
    form = str(msg.format)
    data = np.frombuffer(msg.data, np.uint8)
    if data.size == 0:
        raise BadRequest(f"image: compressed image with format {form!r} has no data")
    if "compressedDepth" in form:
        raise BadRequest(f"image: format {form!r} is a depth image; expected a JPEG or PNG color image")
    _check_compressed(data, form)
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise BadRequest(f"image: compressed image with format {form!r} does not decode: {error}") from error
    if bgr is None or bgr.size == 0:
        raise BadRequest(
            f"image: compressed image with format {form!r} ({data.size} bytes) does not decode; expected JPEG or PNG"
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _check_compressed(data: np.ndarray, form: str) -> None:
    """Look at the head and the end only. Raises BadRequest for what must not be decoded."""
    try:
        kind = kind_of(data, "image: compressed image", ("JPEG", "PNG"))
    except BadRequest:
        raise
    except Exception as error:  # whatever a broken head makes Pillow raise
        raise BadRequest(
            f"image: compressed image with format {form!r} ({data.size} bytes) does not decode; expected JPEG or PNG"
        ) from error
    # Some versions of OpenCV paint the rest of a JPEG that was cut off gray. Inside of a scan, FF is never followed by
    # D9 (end) or DA (the next scan); a thumbnail's own end comes before the last scan.
    tail = data.tobytes()
    if kind == "JPEG" and tail.rfind(b"\xff\xd9") < tail.rfind(b"\xff\xda"):
        raise BadRequest(f"image: compressed image with format {form!r} ({data.size} bytes) is cut off")


def to_depth_m(msg: Any) -> np.ndarray:
    """Read a depth `sensor_msgs/Image` as float32 [H, W] in metres; no value is NaN.

    32FC1 holds metres, 16UC1 (or mono16) millimetres (REP-118). Zero, negative and infinite values become NaN.
    Raises BadRequest as `to_rgb` does.
    """
    if msg.encoding not in _DEPTH:
        raise BadRequest(
            f"depth image: unknown encoding {msg.encoding!r}; expected one of {', '.join(DEPTH_ENCODINGS)}"
        )
    pixels = _pixels(msg, np.dtype(_DEPTH[msg.encoding]), 1, what="depth image")[:, :, 0]
    depth = pixels.astype(np.float32)
    if msg.encoding != "32FC1":
        depth /= 1000.0
    depth[~((depth > 0) & np.isfinite(depth))] = np.nan
    return depth


def image_size(msg: Any) -> tuple[int, int]:
    """(height, width) in pixels of an Image, or of a CompressedImage (which is decoded for it)."""
    if hasattr(msg, "format"):
        height, width = decompress(msg).shape[:2]
        return int(height), int(width)
    return int(msg.height), int(msg.width)


def _pixels(msg: Any, dtype: np.dtype[Any], channels: int, what: str = "image") -> np.ndarray:
    """A view [H, W, channels] in the machine's byte order of a message's data, rows cut to their width."""
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    if height == 0 or width == 0:
        raise BadRequest(f"{what}: size {width}x{height} px; expected at least 1x1")
    if height * width > MAX_PIXELS:
        raise BadRequest(f"{what}: size {width}x{height} px is more than {MAX_PIXELS} pixels")
    row = width * channels * dtype.itemsize
    if step < row:
        raise BadRequest(
            f"{what}: step {step} is too small; {msg.encoding} at width {width} needs at least {row} bytes a row"
        )
    if step % dtype.itemsize:
        raise BadRequest(f"{what}: step {step} is not a whole number of {dtype.itemsize}-byte values")
    data = np.frombuffer(msg.data, np.uint8)
    # Some drivers leave out the padding of the last row.
    needed = step * (height - 1) + row
    if data.size < needed:
        raise BadRequest(f"{what}: {data.size} bytes of data; {height} rows with step {step} need {needed}")
    strided = np.lib.stride_tricks.as_strided(data, (height, row), (step, 1), writeable=False)
    values = np.ascontiguousarray(strided).view(dtype).reshape(height, width, channels)
    if dtype.itemsize > 1 and bool(msg.is_bigendian) != (sys.byteorder == "big"):
        values = values.byteswap()
    return values


def rgb_to_image(rgb: np.ndarray, header: Header) -> Image:
    """`sensor_msgs/Image` (rgb8) of uint8 [H, W, 3] RGB, with this header."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"image: expected uint8 [H, W, 3] RGB, got {rgb.dtype} {list(rgb.shape)}")
    return _to_image(rgb, "rgb8", header)


def mask_to_image(mask: np.ndarray, header: Header) -> Image:
    """`sensor_msgs/Image` (mono8, 0 or 255) of a bool mask [H, W], with this header."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask: expected bool [H, W], got {mask.dtype} {list(mask.shape)}")
    return _to_image(mask.view(np.uint8) * np.uint8(255), "mono8", header)


def depth_to_image(depth_m: np.ndarray, header: Header) -> Image:
    """`sensor_msgs/Image` (32FC1, metres) of a float array [H, W], with this header."""
    return _to_image(np.asarray(depth_m, np.float32), "32FC1", header)


def depth_mm_to_image(depth_mm: np.ndarray, header: Header) -> Image:
    """`sensor_msgs/Image` (16UC1, millimetres, 0 = no value) of uint16 [H, W], with this header."""
    if depth_mm.ndim != 2 or depth_mm.dtype != np.uint16:
        raise ValueError(f"depth: expected uint16 [H, W], got {depth_mm.dtype} {list(depth_mm.shape)}")
    return _to_image(depth_mm, "16UC1", header)


def _to_image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    msg = Image()
    msg.header = header
    msg.height, msg.width = int(pixels.shape[0]), int(pixels.shape[1])
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.step = int(pixels[0].nbytes) if msg.height else 0
    # The setter takes array.array as it is and checks anything else value by value, which is slow.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).view(np.uint8).reshape(-1).data)
    msg.data = data
    return msg
