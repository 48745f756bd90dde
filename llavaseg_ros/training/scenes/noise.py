# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a camera does to a clean picture: lens, shake, white balance, exposure, sensor noise, compression."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

Rng = np.random.Generator


def _shake(length: float, degrees: float) -> np.ndarray:
    """Kernel float32 [K, K], sum 1, of a movement of `length` pixels along a direction."""
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    # Half a pixel beyond the middle on either side, drawn with four bits of fraction.
    step = 0.5 * (length - 1) * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    ends = [np.rint(16 * (size // 2 + sign * step)).astype(int).tolist() for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], (1.0,), 1, cv2.LINE_AA, 4)
    if kernel.sum() == 0:
        kernel[size // 2, size // 2] = 1
    return kernel / kernel.sum()


def _lens(image: Any, rng: Rng) -> Any:
    """Blur, fringes of color towards the borders, shake. image: float32 [H, W, 3]."""
    height, width = image.shape[:2]
    # Never quite sharp: lenses are not, and it hides the stairs of edges drawn without antialiasing.
    sigma = rng.uniform(1.1, 1.9) if rng.uniform() < 0.08 else rng.uniform(0.45, 1.0)
    image = cv2.GaussianBlur(image, (0, 0), float(sigma))
    if rng.uniform() < 0.3:
        channels = list(cv2.split(image))
        for channel in (0, 2):
            scale = 1 + rng.uniform(-0.0022, 0.0022)
            matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 0, scale)
            channels[channel] = cv2.warpAffine(channels[channel], matrix, (width, height),
                                               borderMode=cv2.BORDER_REPLICATE)
        image = cv2.merge(channels)
    if rng.uniform() < 0.16:
        length = rng.uniform(7, 13) if rng.uniform() < 0.2 else rng.uniform(2.5, 7)
        image = cv2.filter2D(image, -1, _shake(length, rng.uniform(0, 180)), borderType=cv2.BORDER_REPLICATE)
    return image


def camera_noise(rgb: np.ndarray, rng: Rng, pixel_rng: Rng | None = None) -> np.ndarray:
    """A noisy copy of `rgb` (uint8 [H, W, 3] RGB). Mild enough that color words stay true.

    rng draws the camera's setting, and the noise of the pixels too unless `pixel_rng` is given.
    """
    height, width = rgb.shape[:2]
    image: Any = rgb.astype(np.float32) * np.float32(1 / 255)  # Any: cv2's stubs widen every result
    image = _lens(image, rng)
    warm = rng.normal(0, 0.04)
    gains = (rng.normal(1.0, 0.022, 3) + [warm, 0, -warm]).clip(0.89, 1.11) * rng.uniform(0.86, 1.12)
    image *= gains.astype(np.float32)
    np.clip(image, 0, 1, out=image)
    image = cv2.pow(image, float(rng.uniform(0.82, 1.18)))
    if rng.uniform() < 0.5:
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)
        image *= (1 - rng.uniform(0, 0.32) * (x[None] ** 2 + y[:, None] ** 2) / 2)[..., None].astype(np.float32)
    level = rng.uniform(0.020, 0.032) if rng.uniform() < 0.10 else rng.uniform(0.002, 0.018)
    shot = (rng if pixel_rng is None else pixel_rng).standard_normal((height, width, 3), dtype=np.float32)
    if rng.uniform() < 0.4:
        shot = cv2.GaussianBlur(shot, (0, 0), 0.7) * 2.0
    image += shot * (level * (0.5 + cv2.sqrt(image)))
    out = (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)
    if rng.uniform() < 0.4:
        quality = int(rng.uniform(30, 85))  # as a camera sends it; the data set's own JPEG comes on top
        coded = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out = np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1])
    return out


def depth_noise(depth_m: np.ndarray, rng: Rng) -> np.ndarray:
    """What a structured-light or stereo camera makes of a clean depth image: uint16 [H, W], mm, 0 = no value.

    depth_m: float32 [H, W], m along the optical axis. Edges are off by a pixel or so and partly mixed between front and
    back, about half of the edge pixels have no value, noise grows with the distance, millimetres are whole.
    """
    height, width = depth_m.shape
    # Sideways: each pixel may be its neighbour's, which only shows at edges.
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    shift = rng.normal(0, 0.5, (2, height, width)).astype(np.float32)
    moved: Any = cv2.remap(depth_m, u + shift[0], v + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    square = np.ones((3, 3), np.uint8)
    edges = np.asarray(cv2.dilate(depth_m, square)) - np.asarray(cv2.erode(depth_m, square)) > 0.02
    sigma = 0.0008 + 0.0016 * np.square(np.maximum(moved - 0.4, 0))
    # Neighbouring pixels share most of their noise: the sensor matches windows.
    grain: Any = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 1.0)
    out = moved + sigma * grain / grain.std()
    out[edges & (rng.random((height, width)) < 0.5)] = 0
    out[out >= 10.0] = 0  # past any such sensor's reach, the sky of the simulator among it
    return np.rint(1000 * out).astype(np.uint16)
