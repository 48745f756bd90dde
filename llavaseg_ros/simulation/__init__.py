# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A table with things, an RGB-D camera and a parallel gripper, in MuJoCo: pictures as in training, with contacts."""
