# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Transforms between frames at a stamp, through tf2 where it is installed. The wheels on PyPI do not have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from llavaseg_ros.errors import NoDepth
from llavaseg_ros.geometry import rotation_of

# A transform of the image's stamp is often published a little later than the image.
WAIT_S = 0.2
# A language model may think for long about an image: its transform is then this old.
CACHE_S = 120.0


class Transforms:
    """Asks tf2. Subscribes to /tf only on a robot that needs other frames than the image's."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None
        self._problem = ""

    def listen(self) -> None:
        """Listen from now on, if tf2 is there: what was published before the first question can then be asked for."""
        if self._buffer is not None or self._problem:
            return
        try:
            from tf2_ros import Buffer, TransformListener

            buffer = Buffer(cache_time=Duration(seconds=CACHE_S))
            self._listener = TransformListener(buffer, self._node)
            self._buffer = buffer
        except ImportError:
            self._problem = "needs the package tf2_ros, which is not installed here"
        except Exception as error:  # told by the first question, and not in whoever prepares for it
            self._problem = f"tf2 cannot be used: {error}"

    def matrix(self, target: str, source: str, stamp_ns: int, why: str) -> np.ndarray:
        """float64 [4, 4]: from the frame `source` to `target` at a stamp. why: what needs it, for the error.

        Blocks for WAIT_S at most: for the worker's thread. Raises NoDepth when tf2 is missing or does not know.
        """
        if source == target:
            return np.eye(4)
        self.listen()
        if self._buffer is None:
            raise NoDepth(f"{why}: {self._problem}")
        try:
            found = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp_ns), timeout=Duration(seconds=WAIT_S)
            )
        except Exception as error:  # tf2's own exceptions have no common base outside of tf2
            raise NoDepth(f"{why}: no transform from {source!r} to {target!r} at the image's stamp: {error}") from error
        move, turn = found.transform.translation, found.transform.rotation
        return rigid((move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w))


def rigid(translation: tuple[float, float, float], quaternion: tuple[float, float, float, float]) -> np.ndarray:
    """float64 [4, 4] of a translation, m, and a rotation x, y, z, w of any length above 0."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_of(quaternion)
    matrix[:3, 3] = translation
    return matrix
