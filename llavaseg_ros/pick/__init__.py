# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Picks in simulation from a spoken-style command to a lifted thing, counted: our masks beside the simulator's."""
