# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images as a camera sends them, and as none should."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from ros_harness import picture
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from llavaseg_ros.ros.convert import rgb_to_image


def encoded(encoding: str, header: Header, height: int = 48, width: int = 64) -> Image:
    """The picture of the tests in any of the color encodings that the node reads."""
    rgb = picture(height, width)
    if encoding in ("rgb8", "bgr8", "8UC3", "rgb16", "bgr16"):
        pixels = rgb if encoding.startswith("rgb") else rgb[:, :, ::-1]
        pixels = pixels.astype(np.uint16) << 8 if encoding.endswith("16") else pixels
    elif encoding in ("rgba8", "bgra8"):
        pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA if encoding == "rgba8" else cv2.COLOR_RGB2BGRA)
    elif encoding.startswith("bayer"):
        # Which channel (0 red, 1 green, 2 blue) each pixel of a square of four sees: the name tells.
        pattern = ["rgb".index(letter) for letter in encoding[6:10]]
        pixels = np.empty((height, width), np.uint8)
        for number, channel in enumerate(pattern):
            row, col = divmod(number, 2)
            pixels[row::2, col::2] = rgb[row::2, col::2, channel]
    elif encoding in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv"):
        y, u, v = (cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)[:, :, c] for c in range(3))
        pixels = np.empty((height, width, 2), np.uint8)
        luma, chroma = (1, 0) if encoding in ("yuv422", "uyvy") else (0, 1)
        pixels[:, :, luma] = y
        pixels[:, 0::2, chroma], pixels[:, 1::2, chroma] = u[:, ::2], v[:, ::2]
    else:
        pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        pixels = pixels.astype(np.uint16) << 8 if encoding == "mono16" else pixels
    msg = Image(header=header, height=height, width=width, encoding=encoding, step=pixels.nbytes // height)
    msg.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
    return msg


def changed(header: Header, **fields: Any) -> Image:
    """A good image with these fields in place of its own."""
    msg = rgb_to_image(picture(), header)
    for name, value in fields.items():
        setattr(msg, name, value)
    return msg


def serialized(msg: Image, keep: int) -> bytes:
    """The first bytes of a message as it is on the wire; a negative number leaves so many out at the end."""
    return bytes(serialize_message(msg))[:keep]


def compressed(header: Header, rgb: np.ndarray | None = None, ext: str = ".jpg") -> CompressedImage:
    """A JPEG or PNG."""
    ok, data = cv2.imencode(ext, (picture() if rgb is None else rgb)[:, :, ::-1])
    assert ok
    name = "jpeg" if ext == ".jpg" else "png"
    return CompressedImage(header=header, format=f"rgb8; {name} compressed bgr8", data=data.tobytes())
