# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Public data sets in their published layouts, read as commands with masks: `registry.read(name, root, split)`."""
