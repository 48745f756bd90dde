# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Drawing a result on its image: mask tint, contour, label and answer. Pure functions of NumPy arrays and OpenCV."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

# RGB. Bright, far apart from each other, and readable for people who confuse red and green.
PALETTE: tuple[tuple[int, int, int], ...] = (
    (255, 64, 129),
    (0, 176, 255),
    (255, 196, 0),
    (124, 77, 255),
    (0, 200, 150),
    (255, 110, 64),
)

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def tint(rgb: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], alpha: float = 0.45) -> np.ndarray:
    """Blend a color into the masked pixels.

    rgb: uint8 [H, W, 3] RGB, not changed. mask: bool or uint8 [H, W], other than 0 = target. alpha: 0 keeps the image,
    1 paints it over. Returns a new uint8 [H, W, 3] RGB.

    >>> image = np.zeros((2, 2, 3), np.uint8)
    >>> tint(image, np.array([[1, 0], [0, 0]]), (200, 100, 0), alpha=0.5)[0].tolist()
    [[100, 50, 0], [0, 0, 0]]
    """
    out = np.array(_check_rgb(rgb))
    region = _check_mask(rgb, mask)
    rows, cols = _bounds(region)
    inside = region[rows, cols]
    pixels = out[rows, cols][inside].astype(np.float32)
    blended = pixels * (1.0 - alpha) + np.asarray(color, np.float32) * alpha
    out[rows, cols][inside] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)
    return out


def contour(rgb: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], thickness: int | None = None) -> np.ndarray:
    """Draw the outline of a mask, with a dark rim so that it shows on any ground.

    Arguments and result as in `tint`. thickness: pixels; by default about 1/250 of the longer side.
    """
    out = np.array(_check_rgb(rgb))
    region = np.ascontiguousarray(_check_mask(rgb, mask), dtype=np.uint8)
    width = thickness or max(1, round(max(rgb.shape[:2]) / 250))
    lines = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]
    cv2.drawContours(out, lines, -1, (20, 20, 20), width + 2, cv2.LINE_AA)
    cv2.drawContours(out, lines, -1, color, width, cv2.LINE_AA)
    return out


def label(rgb: np.ndarray, text: str, anchor: tuple[int, int], color: tuple[int, int, int]) -> np.ndarray:
    """Write a short text on a filled box with its lower left corner at `anchor` (x, y in px), moved inside the image.

    rgb: uint8 [H, W, 3] RGB, not changed. Returns a new array.
    """
    out = np.array(_check_rgb(rgb))
    height, width = out.shape[:2]
    scale = font_scale(height)
    text = fit(plain_text(text), width - 8, scale)
    if not text:
        return out
    (text_w, text_h), base = cv2.getTextSize(text, _FONT, scale, 1)
    pad = max(2, text_h // 3)
    box_w, box_h = text_w + 2 * pad, text_h + base + 2 * pad
    x = int(np.clip(anchor[0], 0, max(0, width - box_w)))
    y = int(np.clip(anchor[1] - box_h, 0, max(0, height - box_h)))
    cv2.rectangle(out, (x, y), (x + box_w, y + box_h), color, cv2.FILLED)
    ink = (0, 0, 0) if sum(color) > 330 else (255, 255, 255)
    cv2.putText(out, text, (x + pad, y + pad + text_h), _FONT, scale, ink, 1, cv2.LINE_AA)
    return out


def caption(rgb: np.ndarray, text: str) -> np.ndarray:
    """Write a text over a darkened band at the bottom, broken into at most four lines; the image keeps its size.

    rgb: uint8 [H, W, 3] RGB, not changed. Returns a new array.
    """
    out = np.array(_check_rgb(rgb))
    height, width = out.shape[:2]
    scale = font_scale(height)
    lines = wrap(plain_text(text), width - 16, scale)[:4]
    if not lines:
        return out
    (_, text_h), base = cv2.getTextSize("Ag", _FONT, scale, 1)
    step = text_h + base + 4
    top = max(0, height - step * len(lines) - 8)
    out[top:] = (out[top:].astype(np.uint16) * 35 // 100).astype(np.uint8)
    for index, line in enumerate(lines):
        origin = (8, top + 4 + step * index + text_h)
        cv2.putText(out, line, origin, _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def draw_overlay(
    rgb: np.ndarray, masks: Sequence[np.ndarray] = (), labels: Sequence[str] = (), answer: str = ""
) -> np.ndarray:
    """The picture that `~/overlay`, `llavaseg ask` and the demo show: every mask tinted, outlined and named.

    rgb: uint8 [H, W, 3] RGB, not changed. masks: bool or uint8 [H, W] each, best first; empty ones are skipped.
    labels: a text for each mask, may be shorter than masks. answer: a sentence for the bottom, may be empty.
    Returns a new uint8 [H, W, 3] RGB. Raises ValueError for another shape or type.

    >>> draw_overlay(np.zeros((48, 64, 3), np.uint8), [np.ones((48, 64), bool)], ["cup"], "A cup.").shape
    (48, 64, 3)
    """
    out = np.array(_check_rgb(rgb))
    named = []
    for index, mask in enumerate(masks):
        if not _check_mask(rgb, mask).any():
            continue
        color = PALETTE[index % len(PALETTE)]
        out = contour(tint(out, mask, color), mask, color)
        if index < len(labels) and labels[index]:
            rows, cols = _bounds(_check_mask(rgb, mask))
            named.append((labels[index], (cols.start, rows.start), color))
    # Names last, so that no tint covers them.
    for text, anchor, color in named:
        out = label(out, text, anchor, color)
    return caption(out, answer) if answer else out


def compare(rgb: np.ndarray, truth: np.ndarray | None, predicted: np.ndarray | None) -> np.ndarray:
    """Truth as a green outline, prediction as a pink tint with an outline. None = no target. Shapes as in
    `draw_overlay`.
    """
    out = np.array(_check_rgb(rgb))
    if predicted is not None:
        # The outline shows the mask also where the thing itself is red or pink.
        out = contour(tint(out, predicted, PALETTE[0], 0.5), predicted, PALETTE[0])
    if truth is not None:
        out = contour(out, truth, (0, 230, 90))
    return out


def font_scale(height: int) -> float:
    """Hershey font scale for an image of this height in pixels: readable at 240 px and not huge at 2160 px."""
    return float(np.clip(height / 900, 0.35, 2.0))


def plain_text(text: str) -> str:
    """One line of ASCII, which is all that OpenCV's fonts can draw: accents are dropped, other signs become '?'."""
    text = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "-", 0x2026: "..."})
    text = "".join(c for c in unicodedata.normalize("NFKD", " ".join(text.split())) if not unicodedata.combining(c))
    return text.encode("ascii", "replace").decode("ascii")


def wrap(text: str, width_px: int, scale: float) -> list[str]:
    """Break a text at spaces into lines that fit `width_px`; a single word that is too long is cut."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and _text_width(joined, scale) <= width_px:
            lines[-1] = joined
        else:
            lines.append(fit(word, width_px, scale))
    return lines


def fit(text: str, width_px: int, scale: float) -> str:
    """Cut a text, with three dots at its end, until it fits `width_px`."""
    if _text_width(text, scale) <= width_px:
        return text
    while text and _text_width(text + "...", scale) > width_px:
        text = text[:-1]
    return text + "..." if text else ""


def _text_width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, 1)[0][0])


def _check_rgb(rgb: np.ndarray) -> np.ndarray:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ValueError(f"image: expected uint8 [H, W, 3] RGB, got {rgb.dtype} {list(rgb.shape)}")
    return rgb


def _check_mask(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if mask.shape != rgb.shape[:2]:
        raise ValueError(f"mask: expected the image's size {list(rgb.shape[:2])}, got {list(mask.shape)}")
    return mask if mask.dtype == bool else mask != 0


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
