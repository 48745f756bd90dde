# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page for people: an HTTP server on the standard library, what it shows, and how that is drawn. Free of ROS."""
