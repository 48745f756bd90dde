"""Drawing for the page: a mask that is not of this frame, and depth in colors. Pure functions of NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from llavaseg_ros import viz

_NO_DEPTH = (44, 46, 52)  # RGB: darker than any color of the scale
_LEGEND_PX = 26
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
    thickness = max(2, round(max(height, width) / 260))
    period = 5 * thickness
    rows, cols = np.ogrid[:height, :width]
    dashes = (rows + cols) % (2 * period) < period
    for index, mask in enumerate(drawn):
        line = np.zeros((height, width), np.uint8)
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]
        cv2.drawContours(line, contours, -1, 255, thickness)
        color = viz.PALETTE[index % len(viz.PALETTE)]
        out = viz.tint(out, (line > 0) & dashes, color, 0.75)
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
    rgb = _turbo((closeness * 255 + 0.5).astype(np.uint8))
    rgb[~known] = _NO_DEPTH
    return rgb


def depth_legend(width: int, span_m: tuple[float, float]) -> np.ndarray:
    """The scale of `colorize_depth` with its figures, to be put under the picture: uint8 [26, width, 3] RGB."""
    near, far = span_m
    out = np.full((_LEGEND_PX, width, 3), 24, np.uint8)
    left, right = 58, max(60, width - 148)
    ramp = np.linspace(255, 0, right - left).astype(np.uint8)
    out[8 : _LEGEND_PX - 8, left:right] = _turbo(np.tile(ramp, (_LEGEND_PX - 16, 1)))
    _write(out, f"{near:.2f} m", 6)
    _write(out, f"{far:.2f} m", right + 6)
    box = right + 66
    out[8 : _LEGEND_PX - 8, box : box + 10] = _NO_DEPTH
    cv2.rectangle(out, (box, 8), (box + 10, _LEGEND_PX - 9), (150, 150, 150), 1)
    _write(out, "no depth", box + 16)
    return out


def age_text(seconds: float) -> str:
    """ "0.4 s", "12 s", "3 min" """
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _turbo(values: np.ndarray) -> np.ndarray:
    return np.array(cv2.applyColorMap(values, cv2.COLORMAP_TURBO)[:, :, ::-1])


def _write(rgb: np.ndarray, text: str, x: int) -> None:
    cv2.putText(rgb, text, (x, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (235, 235, 235), 1, cv2.LINE_AA)
