# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reasoning segmentation for robots: a command in words, a mask out (LLaVASeg, arXiv 2403.14141)."""

from pkgutil import extend_path

# A second folder of the same name, made by rosidl, holds the generated messages (`llavaseg_ros.msg`).
# Extending the path lets a source checkout and the installed messages live side by side.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
