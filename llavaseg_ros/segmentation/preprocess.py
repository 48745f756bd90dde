# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a camera image to SAM's input and from SAM's mask logits back to the camera image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Fit:
    """How an image was laid into SAM's input: resized to (height, width), at the top left of (padded_height,
    padded_width). coarse: memory is scarce; masks are made at `active` and enlarged pixel by pixel."""

    original: tuple[int, int]
    active: tuple[int, int]
    padded: tuple[int, int]
    img_size: int
    coarse: bool = False

    @property
    def extent(self) -> tuple[float, float]:
        """Fraction of the padded input that holds image: (x, y), each in (0, 1]."""
        return self.active[1] / self.padded[1], self.active[0] / self.padded[0]

    def to_input(self, xy: np.ndarray) -> np.ndarray:
        """Pixel coordinates of the original image, float [..., 2] -> those of SAM's input."""
        scale = np.array([self.active[1] / self.original[1], self.active[0] / self.original[0]], np.float32)
        return np.asarray(xy, np.float32) * scale


def fit_to(height: int, width: int, img_size: int, multiple: int) -> Fit:
    """The longest side becomes img_size; each side is then padded up to a multiple of `multiple`, at most img_size."""
    scale = img_size / max(height, width)
    active = (max(1, round(height * scale)), max(1, round(width * scale)))
    padded = (min(img_size, -(-active[0] // multiple) * multiple), min(img_size, -(-active[1] // multiple) * multiple))
    return Fit((height, width), active, padded, img_size)


def to_pixels(rgb: np.ndarray, fit: Fit, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 [H, W, 3] RGB -> float [1, 3, padded_height, padded_width], normalised; the padding is 0 after
    normalisation."""
    shrink = fit.active[0] < fit.original[0]
    resized = cv2.resize(rgb, fit.active[::-1], interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    pixels = torch.from_numpy(np.ascontiguousarray(resized)).to(mean.device).permute(2, 0, 1).float()
    pixels = (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    right, bottom = fit.padded[1] - fit.active[1], fit.padded[0] - fit.active[0]
    return F.pad(pixels, (0, right, 0, bottom))[None]


def to_mask(logits: torch.Tensor, fit: Fit) -> np.ndarray:
    """Mask logits of the padded input, float [h, w] at any resolution -> bool [H, W] of the original image."""
    full = F.interpolate(logits[None, None].float(), size=fit.padded, mode="bilinear", align_corners=False)
    full = full[..., : fit.active[0], : fit.active[1]]
    if fit.coarse:
        mask = drop_specks((full[0, 0] > 0).cpu().numpy())
        return cv2.resize(mask.view(np.uint8), fit.original[::-1], interpolation=cv2.INTER_NEAREST).view(np.bool_)
    full = F.interpolate(full, size=fit.original, mode="bilinear", align_corners=False)
    return drop_specks((full[0, 0] > 0).cpu().numpy())


def drop_specks(mask: np.ndarray, smallest: float = 0.1) -> np.ndarray:
    """Removes connected parts smaller than `smallest` times the largest part; larger ones may be one object seen in
    pieces.

    >>> m = np.zeros((9, 9), bool); m[:4, :4] = True; m[8, 8] = True
    >>> int(drop_specks(m).sum())
    16
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= smallest * areas.max()
    keep[0] = False
    return np.asarray(keep[labels])


def roi_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Bounding box of a mask as x, y, width, height in pixels; all 0 for an empty one."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(ys):
        return 0, 0, 0, 0
    return int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)
