# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Speech: microphone or recording in, commands as text out. Free of rclpy."""
