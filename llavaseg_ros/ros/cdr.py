# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stamped messages as they come off the wire (CDR), so that a frame nobody asks about is never decoded.

Every message whose first field is a `std_msgs/Header` starts alike: 4 bytes of encapsulation (the second tells the byte
order), then the stamp's seconds (int32) and nanoseconds (uint32).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from llavaseg_ros.errors import BadRequest

_STAMP_AT = 4
_STAMP_END = 12


@dataclass(frozen=True)
class ImageView:
    """The fields of `sensor_msgs/Image`; data is a view of the serialized bytes, so that no pixel is copied."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


class RawMessage:
    """Serialized bytes of a stamped message and the type that they decode to. `message()` decodes, each time anew."""

    __slots__ = ("data", "type")

    def __init__(self, data: bytes, message_type: type[Any]) -> None:
        self.data, self.type = data, message_type

    def fields(self) -> Any:
        """The message for reading: an `ImageView` if it is an Image, else as `message()`. Raises as that does."""
        if self.type is not Image or self.data[1:2] not in (b"\0", b"\1"):  # only plain CDR aligns like this
            return self.message()
        try:
            return _read_image(self.data)
        except (struct.error, UnicodeDecodeError, IndexError):
            return self.message()  # says what is wrong

    def message(self) -> Any:
        """The decoded message. Raises BadRequest when the bytes are cut off or are no such message."""
        try:
            return deserialize_message(self.data, self.type)
        except Exception as error:
            raise BadRequest(
                f"image: {len(self.data)} bytes are no whole {self.type.__name__} message ({error})"
            ) from error


def read_stamp_ns(data: bytes) -> int:
    """The header's stamp in nanoseconds. Raises BadRequest when the data is too short to hold one."""
    sec, nanosec = struct.unpack_from(_order(data) + "iI", data, _STAMP_AT)
    return int(sec) * 1_000_000_000 + int(nanosec)


def with_stamp(data: bytes, stamp_ns: int) -> bytes:
    """The same message with another stamp in its header; nothing else is decoded or changed."""
    stamp = struct.pack(_order(data) + "iI", *divmod(stamp_ns, 1_000_000_000))
    return b"".join((data[:_STAMP_AT], stamp, data[_STAMP_END:]))


def _read_image(data: bytes) -> ImageView:
    order, at = _order(data), _STAMP_END

    def number() -> int:
        nonlocal at
        at += -at % 4  # the encapsulation's 4 bytes do not move the alignment
        (value,) = struct.unpack_from(order + "I", data, at)
        at += 4
        return int(value)

    def take() -> memoryview:
        nonlocal at
        size = number()
        if at + size > len(data):
            raise IndexError(f"{size} bytes at {at} of {len(data)}")
        at += size
        return memoryview(data)[at - size : at]

    def text() -> str:
        return bytes(take()).rstrip(b"\0").decode()

    sec, nanosec = struct.unpack_from(order + "iI", data, _STAMP_AT)
    header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=text())
    height, width, encoding = number(), number(), text()
    is_bigendian = data[at]
    at += 1
    return ImageView(header, height, width, encoding, is_bigendian, number(), take())


def _order(data: bytes) -> str:
    if len(data) < _STAMP_END:
        raise BadRequest(f"message of {len(data)} bytes is too short for a stamped message")
    return "<" if data[1] & 1 else ">"
