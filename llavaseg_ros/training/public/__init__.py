# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training adapters for a full-size SAM on the public sets: thoughts once, then adapters alone."""
