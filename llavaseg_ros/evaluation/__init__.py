# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Measuring the method: data sets, a runner, metrics and one page with figures and pictures."""
