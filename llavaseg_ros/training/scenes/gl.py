# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MuJoCo, set up to draw without a display. Import `mujoco` from here: it reads its choice of OpenGL when imported."""

from __future__ import annotations

import os

# EGL works on a GPU and, through Mesa, on a CPU. A choice that the user made stands.
os.environ.setdefault("MUJOCO_GL", "egl")

HINT = (
    f"MuJoCo could not set up OpenGL (MUJOCO_GL={os.environ['MUJOCO_GL']}). Drawing without a display needs libEGL: "
    "apt-get install libegl1 libegl-mesa0, pip install 'PyOpenGL>=3.1.7', and MUJOCO_GL=egl set before mujoco is "
    "imported by anything else."
)

try:
    import mujoco
except AttributeError as error:  # PyOpenGL, when the library itself is not there
    raise ImportError(HINT) from error

__all__ = ["HINT", "mujoco"]
