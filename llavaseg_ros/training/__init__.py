# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training of the embedded default and of adapters: scenes, features, and one readable loop a stage."""
