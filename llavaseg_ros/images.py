# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image and mask files. Pictures are uint8 [H, W, 3] RGB, masks bool [H, W]; OpenCV's BGR stays inside this file."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.files import write_whole

_EXIF_ORIENTATION = 0x0112
_HEADS = (b"\x89PNG", b"\xff\xd8")
# A header can claim any size; nothing that a robot carries makes more pixels than this.
MAX_PIXELS = 100_000_000


def read_rgb(path: Path | str) -> np.ndarray:
    """Read a picture as uint8 [H, W, 3] RGB; gray, alpha and 16-bit files are converted, EXIF rotation is applied.

    Raises BadRequest when the file is missing, empty or not a picture.
    """
    bgr = _decode(Path(path), cv2.IMREAD_COLOR, "image")
    return np.ascontiguousarray(bgr[:, :, ::-1])


def read_mask(path: Path | str) -> np.ndarray:
    """Read a mask as bool [H, W]: 0 is background, any other value of any channel is target. Alpha is ignored.

    Raises BadRequest when the file is missing, empty or not a picture.
    """
    array = _decode(Path(path), cv2.IMREAD_UNCHANGED, "mask")
    if array.ndim == 3:
        colors = array[:, :, :3] if array.shape[2] == 4 else array
        return np.asarray(colors.any(axis=2))
    return np.asarray(array != 0)


def read_ids(path: Path | str) -> np.ndarray:
    """Read an instance map as uint8 [H, W]: 0 is background, other values are object ids.

    Raises BadRequest when the file is missing, empty or not an 8-bit gray picture.
    """
    array = _decode(Path(path), cv2.IMREAD_UNCHANGED, "instance map")
    if array.ndim != 2 or array.dtype != np.uint8:
        raise BadRequest(f"instance map {path}: expected 8-bit gray, got {array.dtype} {list(array.shape)}")
    return array


def picture_size(path: Path | str) -> tuple[int, int]:
    """Height and width of a picture as `read_rgb` would give it, from its head alone.

    Raises BadRequest when the file is missing or not a picture.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except (OSError, Image.DecompressionBombError) as error:
        raise BadRequest(f"image {path}: cannot be read as a picture ({error})") from error
    return (width, height) if turned else (height, width)


def write_rgb(path: Path | str, rgb: np.ndarray) -> None:
    """Write uint8 [H, W, 3] RGB; the file type is that of the name. Makes the folder. Raises OSError on failure."""
    _write(Path(path), np.ascontiguousarray(rgb[:, :, ::-1]))


def write_mask(path: Path | str, mask: np.ndarray) -> None:
    """Write a mask [H, W] (bool, or other than 0 = target) as an 8-bit PNG of 0 and 255. Makes the folder."""
    _write(Path(path), (mask != 0).astype(np.uint8) * 255)


def jpeg_bytes(rgb: np.ndarray, max_width: int = 0, quality: int = 82) -> bytes:
    """Encode uint8 [H, W, 3] RGB as JPEG, made smaller first when wider than `max_width` (0 = never)."""
    height, width = rgb.shape[:2]
    if 0 < max_width < width:
        size = (max_width, max(1, round(height * max_width / width)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    done, buffer = cv2.imencode(".jpg", np.ascontiguousarray(rgb[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError(f"could not encode an image of {width}x{height} px as JPEG")
    return buffer.tobytes()


def png_bytes(rgb: np.ndarray) -> bytes:
    """Encode uint8 [H, W, 3] RGB as PNG, without loss."""
    done, buffer = cv2.imencode(".png", np.ascontiguousarray(rgb[:, :, ::-1]))
    if not done:
        raise OSError(f"could not encode an image of {rgb.shape[1]}x{rgb.shape[0]} px as PNG")
    return buffer.tobytes()


def _decode(path: Path, flags: int, kind: str) -> np.ndarray:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise BadRequest(f"{kind} {path}: cannot be read ({error.strerror or error})") from error
    if data.size == 0:
        raise BadRequest(f"{kind} {path}: the file is empty")
    try:
        kind_of(data, f"{kind} {path}")
    except (OSError, ValueError, SyntaxError):
        if not data[:64].tobytes().startswith(_HEADS):  # how large it would become nobody knows before it is
            raise BadRequest(f"{kind} {path}: not a picture that can be read (PNG and JPEG are)") from None
        # A broken one: OpenCV says so.
    try:
        array = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise BadRequest(f"{kind} {path}: cannot be decoded ({error})") from error
    if array is None or array.size == 0:
        raise BadRequest(f"{kind} {path}: not a picture that can be read (PNG and JPEG are)")
    return array


def kind_of(data: np.ndarray, what: str, formats: tuple[str, ...] | None = None) -> str | None:
    """The format of a picture file, from its head alone: a few kilobytes can claim, and then fill, gigabytes.

    data: of the file, uint8. what: for the error's text. formats: those that are tried; None: all that Pillow knows.
    Raises BadRequest for more than MAX_PIXELS, and what Pillow raises for a broken or unknown head.
    """
    try:
        with Image.open(io.BytesIO(data.data), formats=formats) as picture:
            kind, (width, height) = picture.format, picture.size
    except Image.DecompressionBombError as error:
        raise BadRequest(f"{what}: more than {MAX_PIXELS} pixels ({error})") from error
    if width * height > MAX_PIXELS:
        raise BadRequest(f"{what}: {width} x {height} px are more than {MAX_PIXELS} pixels")
    return kind


def _write(path: Path, array: np.ndarray) -> None:
    done, buffer = cv2.imencode(path.suffix or ".png", array)
    if not done:
        raise OSError(f"{path}: could not encode the picture")
    write_whole(path, buffer.tobytes())


def smaller_image(rgb: np.ndarray) -> np.ndarray:
    """An image at three quarters of its height and width, each side at least 16 px: uint8 [H, W, 3] RGB, a copy.

    >>> smaller_image(np.zeros((480, 20, 3), np.uint8)).shape
    (360, 16, 3)
    """
    height, width = (max(16, 3 * side // 4) for side in rgb.shape[:2])
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))
