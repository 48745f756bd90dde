# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Seeded procedural tabletop scenes, drawn with MuJoCo: training images with instance masks, and the demo bag."""
