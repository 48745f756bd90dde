# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes, one file each."""
