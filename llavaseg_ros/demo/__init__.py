# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo: a recorded camera bag, its reader, and what plays it."""
