"""What a camera does to a clean picture: white balance, exposure, vignette, blur, sensor noise."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def camera_noise(
    rgb: np.ndarray, rng: np.random.Generator, pixel_rng: np.random.Generator | None = None
) -> np.ndarray:
    """A noisy copy of `rgb` (uint8 [H, W, 3] RGB). Mild enough that color words stay true.

    rng draws the camera's setting, and the noise of the pixels too unless `pixel_rng` is given.
    """
    height, width = rgb.shape[:2]
    image: Any = rgb.astype(np.float32) / 255.0  # Any: cv2's stubs widen every result
    # Never quite sharp: lenses are not, and it hides the stairs of edges drawn without antialiasing.
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.0)))
    if rng.uniform() < 0.10:
        # A slight shake along one direction.
        length = int(rng.integers(3, 6))
        kernel = np.zeros((length, length), np.float32)
        if rng.uniform() < 0.5:
            kernel[length // 2] = 1.0 / length
        else:
            kernel[:, length // 2] = 1.0 / length
        image = cv2.filter2D(image, -1, kernel)
    gains = rng.normal(1.0, 0.035, 3).clip(0.91, 1.09) * rng.uniform(0.86, 1.10)
    image = np.clip(image * gains.astype(np.float32), 0, 1)
    gamma = rng.uniform(0.82, 1.18)
    image = cv2.pow(image, float(gamma))
    if rng.uniform() < 0.5:
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)
        image *= (1 - rng.uniform(0, 0.22) * (x[None] ** 2 + y[:, None] ** 2) / 2)[..., None].astype(np.float32)
    level = rng.uniform(0.002, 0.018)
    shot = (rng if pixel_rng is None else pixel_rng).standard_normal((height, width, 3), dtype=np.float32)
    if rng.uniform() < 0.4:
        shot = cv2.GaussianBlur(shot, (0, 0), 0.7) * 2.0
    image += shot * (level * (0.5 + np.sqrt(image)))
    return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)
