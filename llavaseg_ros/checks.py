# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the core asks of its inputs. Each check names what was got and what was expected, in a BadRequest."""

from __future__ import annotations

from typing import Any

import numpy as np

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.reasoning.guard import printable

MIN_SIDE, MAX_SIDE = 16, 8192  # pixels
MAX_COMMAND = 2000  # characters
MAX_POINTS = 64


def is_immutable(array: np.ndarray) -> bool:
    """True if nobody can change an array: it is a read-only view of `bytes`, as a message off the wire is."""
    root: Any = array
    while not isinstance(root, bytes):
        root = root.obj if isinstance(root, memoryview) else getattr(root, "base", None)
        if root is None:
            return False
    return not array.flags.writeable


def check_image(rgb: Any) -> None:
    """BadRequest unless `rgb` is uint8 [H, W, 3] with each side 16 to 8192 px; the text says what was got."""
    expected = "expected a numpy array of uint8, [height, width, 3], RGB"
    if not isinstance(rgb, np.ndarray):
        raise BadRequest(f"image: got {type(rgb).__name__}, {expected}")
    if rgb.dtype != np.uint8:
        raise BadRequest(f"image: got an array of {rgb.dtype}, {expected}")
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise BadRequest(f"image: got an array of shape {list(rgb.shape)}, {expected}")
    height, width = rgb.shape[:2]
    if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE):
        raise BadRequest(f"image: got {width} x {height} px, expected {MIN_SIDE} to {MAX_SIDE} px a side")


def check_command(command: Any) -> str:
    """The command without control characters and space around it; BadRequest unless 1 to 2000 characters are left."""
    if not isinstance(command, str):
        raise BadRequest(f"command: got {type(command).__name__}, expected text")
    if len(command) > 4 * MAX_COMMAND:  # before anything is done with it
        raise BadRequest(f"command: got {len(command)} characters, expected at most {MAX_COMMAND}")
    text = printable(command).strip()
    if not text:
        raise BadRequest(f"command: got an empty text, expected 1 to {MAX_COMMAND} characters")
    if len(text) > MAX_COMMAND:
        raise BadRequest(f"command: got {len(text)} characters, expected at most {MAX_COMMAND}")
    return text


def check_prompt(
    points: Any, labels: Any, box: Any, shape: tuple[int, int]
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Points, labels and box as float32 [N, 2], int64 [N], float32 [4]; BadRequest unless they lie in the image."""
    height, width = shape
    if points is None and box is None:
        raise BadRequest("prompt: got neither points nor a box, expected at least one")
    if points is None and labels is not None:
        raise BadRequest("labels: got labels without points")
    if points is not None:
        points = _numbers(points, "points")
        if points.ndim != 2 or points.shape[1] != 2 or not 1 <= len(points) <= MAX_POINTS:
            raise BadRequest(f"points: got shape {list(points.shape)}, expected [N, 2] with N from 1 to {MAX_POINTS}")
        x, y = points[:, 0], points[:, 1]
        if not ((x >= 0) & (x < width) & (y >= 0) & (y < height)).all():
            raise BadRequest(f"points: got {_shown(points)}, expected x, y inside the image of {width} x {height} px")
        labels = np.ones(len(points)) if labels is None else _numbers(labels, "labels")
        if labels.shape != (len(points),) or not np.isin(labels, (0, 1)).all():
            raise BadRequest(f"labels: got {_shown(labels)}, expected 0 or 1 for each of {len(points)} points")
        labels = labels.astype(np.int64)
    if box is not None:
        box = _numbers(box, "box")
        if box.shape != (4,):
            raise BadRequest(f"box: got shape {list(box.shape)}, expected [4]: x0, y0, x1, y1")
        x0, y0, x1, y1 = box.tolist()
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise BadRequest(
                f"box: got {box.tolist()}, expected x0 < x1 and y0 < y1 inside the image of {width} x {height} px"
            )
    return points, labels, box


def _shown(array: np.ndarray) -> str:
    """Numbers for a message, however many there are."""
    text = str(array.tolist())
    return text if len(text) <= 200 else f"{text[:200]}… (shape {list(array.shape)})"


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise BadRequest(f"{name}: got {type(values).__name__}, expected an array of numbers") from None
    if not np.isfinite(array).all():
        raise BadRequest(f"{name}: got a number that is not finite")
    return array
