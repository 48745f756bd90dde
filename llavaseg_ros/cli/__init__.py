# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command line `llavaseg`: one verb a file. Nothing heavy is imported before a verb runs."""
