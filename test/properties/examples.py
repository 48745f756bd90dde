# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How many examples a property tries: a share of what the profile says, for those that take long."""

from __future__ import annotations

from hypothesis import settings


def share(of: float) -> settings:
    """A part of the profile's examples, e.g. 0.3 of the 100 of "ci" or of the 3000 of "nightly"."""
    return settings(max_examples=max(1, int(settings.default.max_examples * of)))
