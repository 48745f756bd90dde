# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation sets from outside the domain of training; see bench_out_of_domain.py."""
