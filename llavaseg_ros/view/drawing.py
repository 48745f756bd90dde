# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Drawing for the page: a mask that is not of this frame, and depth in colors. Pure functions of NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from llavaseg_ros import viz

_NO_DEPTH = (44, 46, 52)  # RGB: darker than any color of the scale
_DARKEST = 26
_GRAY = (90, 96, 108)


def draw_old_masks(rgb: np.ndarray, masks: Sequence[np.ndarray], age_s: float) -> np.ndarray:
    """Masks of an earlier frame on a newer one: a dashed, faded outline without a tint, and how old it is in words.

    rgb: uint8 [H, W, 3] RGB, not changed. masks: bool [H, W] each; those of another size are left out. age_s: how much
    older their frame is, s. Returns a new uint8 [H, W, 3] RGB; without any mask of this size, the image alone.
    """
    out = np.array(rgb)
    height, width = rgb.shape[:2]
    drawn = [mask for mask in masks if mask.shape == (height, width) and mask.any()]
    if not drawn:
        return out
    thickness = max(2, round(max(height, width) / 320))
    dash = 5 * thickness
    for index, mask in enumerate(drawn):
        color = viz.PALETTE[index % len(viz.PALETTE)]
        lines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
        dashes = [line[at : at + dash] for line in lines for at in range(0, len(line), 2 * dash)]
        faded = out.copy()
        cv2.polylines(faded, dashes, False, (20, 20, 20), thickness + 2, cv2.LINE_AA)
        cv2.polylines(faded, dashes, False, color, thickness, cv2.LINE_AA)
        out = np.asarray(cv2.addWeighted(faded, 0.8, out, 0.2, 0))
    return viz.label(out, f"mask from {age_text(age_s)} ago", (6, height - 6), _GRAY)


def draw_points(rgb: np.ndarray, points: Sequence[tuple[float, float]], labels: Sequence[int]) -> np.ndarray:
    """Clicked points: a green disk with a plus for the foreground, a red one with a minus for the background.

    points: x, y in pixels of `rgb`. labels: 1 or 0 for each. Returns a new array.
    """
    out = np.array(rgb)
    radius = max(5, round(max(rgb.shape[:2]) / 90))
    for (x, y), kind in zip(points, labels, strict=True):
        at = (int(round(x)), int(round(y)))
        cv2.circle(out, at, radius + 1, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(out, at, radius, (24, 128, 72) if kind else (190, 40, 40), cv2.FILLED, cv2.LINE_AA)
        arm = radius // 2
        cv2.line(out, (at[0] - arm, at[1]), (at[0] + arm, at[1]), (255, 255, 255), 1, cv2.LINE_AA)
        if kind:
            cv2.line(out, (at[0], at[1] - arm), (at[0], at[1] + arm), (255, 255, 255), 1, cv2.LINE_AA)
    return out


def depth_range(depth_m: np.ndarray, last: tuple[float, float] | None = None) -> tuple[float, float] | None:
    """Nearest and farthest depth to tell apart, m: the 1st and 99th percentile, to the next 5 cm.

    depth_m: float [H, W], m, NaN = no value. last: the range of the frame before, which stays as long as it fits, so
    that colors do not flicker. None when there is no depth at all.
    """
    step = max(1, depth_m.size // 20_000)
    values = depth_m.reshape(-1)[::step]
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = (float(value) for value in np.percentile(values, (1, 99)))
    near, far = np.floor(low * 20) / 20, np.ceil(high * 20) / 20
    far = max(far, near + 0.05)
    if last is not None and all(abs(a - b) < 0.15 * (far - near) for a, b in zip((near, far), last, strict=True)):
        return last
    return float(near), float(far)


def colorize_depth(depth_m: np.ndarray, span_m: tuple[float, float]) -> np.ndarray:
    """Depth as colors: near is red, far is blue, no value is dark gray.

    depth_m: float [H, W], m, NaN = no value. span_m: nearest and farthest, m; beyond them the color stays the last.
    Returns uint8 [H, W, 3] RGB.
    """
    near, far = span_m
    known = np.isfinite(depth_m)
    closeness = np.clip((far - np.where(known, depth_m, far)) / (far - near), 0, 1)
    # Not the darkest end of the scale, which would pass for no value. The page's CSS has the same scale.
    steps = (_DARKEST + closeness * (255 - _DARKEST) + 0.5).astype(np.uint8)
    rgb = np.array(cv2.applyColorMap(steps, cv2.COLORMAP_TURBO)[:, :, ::-1])
    rgb[~known] = _NO_DEPTH
    return rgb


def age_text(seconds: float) -> str:
    """ "0.4 s", "12 s", "3 min" """
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
