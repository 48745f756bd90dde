# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recorded bags without a robot: reading them, also broken ones, and writing masks and answers into new ones.

Needs the message packages and rclpy's serialization, so that an annotated bag holds what the node would have published.
"""
