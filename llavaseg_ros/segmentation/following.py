# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Is this the object of the frame before? Rules on masks, in pixels of one image format. Pure functions.

Between two frames of a camera that moves at arm's speed a target keeps some of its place. Something that looks like it
a quarter of the picture away is another one of its kind.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from llavaseg_ros.places import LOCATIONS, location_name
from llavaseg_ros.segmentation.preprocess import roi_of
from llavaseg_ros.types import Thought

REACH, SPEED = 0.15, 1.0  # how far a target's middle may move: image widths, at once and a second
SAME_PLACE = 0.5  # overlap (IoU) from which a mask is in the very place of the last one
SAME_TARGET = 0.3  # and from which it is the same target, if the words fit it
MOMENT_S = 0.25  # after a longer gap what lies in the target's old place may be anything
GROWN = 0.1  # of the box's sides: where the target may have moved to
_PLACES = frozenset(name for row in LOCATIONS for name in row)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool masks [H, W]; 0 if both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0


def at_size(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """bool [H, W] as a mask of an image of another size, shape (height, width)."""
    if mask.shape == shape:
        return mask
    return cv2.resize(mask.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST).view(np.bool_)


def middle(mask: np.ndarray) -> tuple[float, float]:
    """x and y in pixels of a mask's centroid. The mask is not empty."""
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]


def within_reach(last: np.ndarray, new: np.ndarray, gap_s: float) -> bool:
    """True if a target seen at mask `last` may be at `new` after so many seconds. Both bool [H, W], not empty."""
    way = np.hypot(*np.subtract(middle(last), middle(new))) / last.shape[1]
    return bool(way <= REACH + SPEED * gap_s)


def moved_along(thought: Thought, mask: np.ndarray) -> Thought:
    """The thought with the place where the target was last seen, if its location is one of the nine places: those are
    of the image, and change as the camera moves. Other words (beside the bowl) stay."""
    if thought.attributes.location not in _PLACES:
        return thought
    place = location_name(*middle(mask), mask.shape[1], mask.shape[0])
    return replace(thought, attributes=replace(thought.attributes, location=place))


def grown_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 in pixels: the box of a mask that is not empty, a little larger, inside its image."""
    x, y, width, height = roi_of(mask)
    dx, dy = GROWN * width, GROWN * height
    return max(0.0, x - dx), max(0.0, y - dy), min(mask.shape[1], x + width + dx), min(mask.shape[0], y + height + dy)
