# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Asking twice before an arm moves: the same command about the same picture, a little turned and made smaller.

A model that has understood a command means the same thing both times; where it guesses, it often does not. Where the
two differ, a third look, turned the other way, may stand by the first.
"""

from __future__ import annotations

import cv2
import numpy as np

# Degrees, of the second look and of the third. With the scale nothing at the border is lost but a corner.
SECOND, THIRD = 3.0, -3.0
SCALE = 0.93
SAME = 0.3  # IoU of the two masks from which on they are of one thing


def _matrix(shape: tuple[int, ...], degrees: float) -> np.ndarray:
    height, width = shape[:2]
    return np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, SCALE))


def turned(rgb: np.ndarray, degrees: float) -> np.ndarray:
    """The picture for another look. rgb: uint8 [H, W, 3]; the same shape comes back, its border mirrored."""
    size = (rgb.shape[1], rgb.shape[0])
    return np.asarray(cv2.warpAffine(rgb, _matrix(rgb.shape, degrees), size, borderMode=cv2.BORDER_REFLECT))


def turned_back(mask: np.ndarray, degrees: float) -> np.ndarray:
    """A mask of that look, bool [H, W], as it lies on the picture itself."""
    matrix, size = _matrix(mask.shape, degrees), (mask.shape[1], mask.shape[0])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=flags)).astype(bool)


def same_thing(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    """Whether two masks, bool [H, W], are of one thing. None: nothing was found; that is never the same."""
    if first is None or second is None:
        return False
    union = int((first | second).sum())
    return union > 0 and int((first & second).sum()) / union >= SAME
