# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How fast the pipeline is on this machine, against the same models used the plain way."""
