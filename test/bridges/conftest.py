# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The helpers of the ROS tests serve here, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Tests talk to themselves only. Before the first context is made.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))
