# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The measures of a parallel gripper, for planning and for the simulation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gripper:
    """All in metres. The defaults are those of the simulated robot, close to common two-finger grippers.

    opening: most that fits between the fingers. finger_width: across the closing direction. finger_thickness: along
    it. finger_length: from the tips to the palm. palm_length, palm_width: along and across the closing direction.
    """

    opening: float = 0.085
    finger_width: float = 0.020
    finger_thickness: float = 0.010
    finger_length: float = 0.055
    palm_length: float = 0.130
    palm_width: float = 0.050

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < 1:
                raise ValueError(f"gripper: {name} is {value}; expected metres, above 0 and below 1")
