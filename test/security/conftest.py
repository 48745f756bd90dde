# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The helpers of other folders' tests."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("core", "ros", "view"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))
