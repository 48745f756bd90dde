# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Names of places in an image, as people say them of a table: nine, by thirds. The top of the image is "back"."""

from __future__ import annotations

LOCATIONS = (
    ("back left", "back", "back right"),
    ("left", "middle", "right"),
    ("front left", "front", "front right"),
)


def location_name(cx: float, cy: float, width: int, height: int) -> str:
    """Name of the place of an image point. cx, cy: pixels.

    >>> location_name(10, 400, 640, 480)
    'front left'
    """
    column = min(max(int(3 * cx / width), 0), 2)
    row = min(max(int(3 * cy / height), 0), 2)
    return LOCATIONS[row][column]
