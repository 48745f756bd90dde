# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The segmentation half: a frozen SAM steered by attributes in words through trained adapters."""
