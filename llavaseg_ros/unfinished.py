# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Threads that compute beside the others, and the end of the process: under one that is inside torch it would abort."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Longest wait of an ordinary exit for what is being computed.
END_S = 5.0

_changed = threading.Condition()
_inside = 0


@contextmanager
def inside_a_library() -> Iterator[None]:
    """Around what a daemon thread computes: the process waits for it at its end, unless it takes too long."""
    global _inside
    with _changed:
        _inside += 1
    try:
        yield
    finally:
        with _changed:
            _inside -= 1
            _changed.notify_all()


def wait_until_outside(timeout_s: float) -> bool:
    """True when no thread is inside a library; waits for it. From any thread."""
    with _changed:
        return _changed.wait_for(lambda: _inside == 0, timeout_s)


@atexit.register
def _end() -> None:
    if not wait_until_outside(END_S):
        # It hangs, so whatever waited for it has failed or was interrupted.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
