# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Top-down grasps for a parallel gripper, from the points of a target and of what stands around it. NumPy only."""
