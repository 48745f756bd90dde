# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""COCO's shapes, checked and drawn: polygons, and runs in their plain and their packed form.

`pycocotools` draws them. It does not check that runs fill the picture (a short list gives a mask of memory rubbish),
nor that a polygon is one (four numbers are taken for a box), so all of that is checked here, before drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llavaseg_ros.errors import LLaVASegError

MAX_PIXELS = 1 << 28


class MissingPackage(LLaVASegError):
    """A package that only some data sets need is not installed; the text has the command that installs it."""


@dataclass(frozen=True)
class Empty:
    """No target in a picture of this size."""

    height: int
    width: int

    def mask(self) -> np.ndarray:
        """bool [height, width], all False."""
        return np.zeros((self.height, self.width), bool)

    def ignored(self) -> None:
        """There are none."""


@dataclass(frozen=True)
class Shapes:
    """The union of COCO segmentations that `check` has passed."""

    height: int
    width: int
    segmentations: tuple[Any, ...]

    def mask(self) -> np.ndarray:
        """bool [height, width]."""
        coder = _coder()
        rles: list[dict[str, Any]] = []
        for segmentation in self.segmentations:
            for part in _parts(segmentation):
                if isinstance(part, list):
                    rles += coder.frPyObjects([part], self.height, self.width)
                elif isinstance(part["counts"], list):
                    rles.append(coder.frPyObjects(part, self.height, self.width))
                else:
                    rles.append(part)
        return np.asarray(coder.decode(coder.merge(rles)) != 0)

    def ignored(self) -> None:
        """There are none."""


def check(segmentation: Any, height: int, width: int) -> None:
    """Check one COCO segmentation for a picture of this size: a list of polygons [x, y, x, y, ...], an RLE with size
    and counts, or a list of those. Raises ValueError, which says what is wrong.
    """
    parts = _parts(segmentation)
    if not parts:
        raise ValueError("no shape at all")
    for part in parts:
        if isinstance(part, list):
            _check_polygon(part, height, width)
        elif isinstance(part, dict):
            _check_runs(part, height, width)
        else:
            raise ValueError(f"expected a polygon or an RLE, got {type(part).__name__}")


def check_size(height: Any, width: Any) -> None:
    """Raises ValueError unless both are whole numbers that a picture can have."""
    for value in (height, width):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"a picture of {width!r} x {height!r}; expected whole numbers above 0")
    if height * width > MAX_PIXELS:
        raise ValueError(f"a picture of {width} x {height}; expected at most {MAX_PIXELS} pixels")


def unpacked(counts: str | bytes) -> np.ndarray:
    """The runs of a packed RLE, int64 [N]: background, target, background, ... in column order.

    Six bits a character from "0" on: five of the number, lowest first, and one that says that more follow. From the
    fourth run on, a number is the difference from the run before the last. Raises ValueError for anything else.
    """
    try:
        raw = (
            np.frombuffer(counts.encode("ascii") if isinstance(counts, str) else counts, np.uint8).astype(np.int64) - 48
        )
    except UnicodeEncodeError:
        raise ValueError("RLE counts hold characters that are none of its own") from None
    if raw.size == 0 or raw.min() < 0 or raw.max() > 63:
        raise ValueError("RLE counts are empty or hold characters that are none of its own")
    ends = np.flatnonzero((raw & 32) == 0)
    if ends.size == 0 or ends[-1] != raw.size - 1:
        raise ValueError("RLE counts are cut short")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise ValueError("RLE counts hold a number that is too large")
    place = np.arange(raw.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((raw & 31) << (5 * place), starts)
    negative = (raw[ends] & 16) != 0
    numbers -= np.where(negative, np.int64(1) << (5 * lengths), 0)
    runs = numbers.copy()
    for first in (1, 2):  # runs 1, 3, 5, ... and 2, 4, 6, ... each add up; run 0 stands alone
        runs[first::2] = np.cumsum(numbers[first::2])
    return runs


def _parts(segmentation: Any) -> list[Any]:
    return segmentation if isinstance(segmentation, list) else [segmentation]


def _check_polygon(points: list[Any], height: int, width: int) -> None:
    if len(points) < 6 or len(points) % 2:
        raise ValueError(f"a polygon of {len(points)} numbers; expected x and y of three points or more")
    # Polygons reach over the border by a little. Far coordinates would make the drawing take all memory.
    limit = 2 * max(height, width)
    for x in points:
        if isinstance(x, bool) or not isinstance(x, int | float) or not abs(x) <= limit:
            raise ValueError(f"a polygon with the coordinate {x!r} in a picture of {width} x {height}")


def _check_runs(rle: dict[str, Any], height: int, width: int) -> None:
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise ValueError(f"an RLE of the size {size!r}; the picture has [{height}, {width}]")
    if isinstance(counts, str | bytes):
        runs = unpacked(counts)
    elif isinstance(counts, list) and all(isinstance(x, int) and not isinstance(x, bool) for x in counts):
        if any(abs(x) > MAX_PIXELS for x in counts):
            raise ValueError("an RLE with a run that is larger than any picture")
        runs = np.array(counts, np.int64)
    else:
        raise ValueError("an RLE whose counts are neither a text nor a list of whole numbers")
    if runs.size and runs.min() < 0:
        raise ValueError("an RLE with a negative run")
    if int(runs.sum()) != height * width:
        raise ValueError(f"an RLE of {int(runs.sum())} pixels; the picture has {height * width}")


def _coder() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise MissingPackage(
            "masks of this data set are drawn by pycocotools, which is not installed: pip install 'pycocotools>=2.0.8'"
        ) from error
    return mask
