# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The ROS layer below the nodes: message conversion, freshness, QoS, the worker thread, diagnostics."""
