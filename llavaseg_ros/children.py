# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Processes that end with the one that started them, in whatever way that ends."""

from __future__ import annotations

import ctypes
import os
import signal

# Set by whoever starts a child that must not outlive it: its own process id.
PARENT_VARIABLE = "LLAVASEG_PARENT"
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Get SIGINT when the process that started us dies in whatever way, if it asked for that (`PARENT_VARIABLE`).

    A parent that is killed cannot end its children, and a camera or a model that nobody knows of goes on for ever.
    """
    parent = os.environ.pop(PARENT_VARIABLE, "")
    if not parent.isdecimal():
        return
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    except (OSError, AttributeError):  # not Linux
        return
    if os.getppid() != int(parent):  # it was gone already
        os.kill(os.getpid(), signal.SIGINT)
