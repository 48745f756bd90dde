"""From a quaternion to a rotation; `llavaseg_ros.geometry.quaternion_of` goes the other way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rotation_of(quaternion: Sequence[float]) -> np.ndarray:
    """Rotation [3, 3] of a quaternion x, y, z, w of any length but zero. Raises ValueError for zero, NaN or infinity.

    >>> rotation_of((0, 0, 0, 2)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    q = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(q)
    if not np.isfinite(length) or length < 1e-9:
        raise ValueError(f"orientation: {q.tolist()} is no rotation; expected a quaternion x, y, z, w of length 1")
    x, y, z, w = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
