# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A ROS domain for programs that tests start as processes: they use no namespace, and must not hear another test's."""

from __future__ import annotations

import functools
import socket

# The tests' own nodes have 1 to 100 (`ros_harness.DOMAIN`). The ports of these are above those that Linux gives away.
DOMAINS = range(215, 233)
_held: list[socket.socket] = []


@functools.cache
def own_domain() -> int:
    """The first that no other test process of this machine holds; it is held until this one ends."""
    for domain in DOMAINS:
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0llavaseg_ros test domain {domain}")  # a name of the same network, in no folder
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return domain
    raise RuntimeError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are held by other tests")
