# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A client node over real DDS in a context and a namespace of its own, spun by the test itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

WAIT_S = 60.0  # only a failing test waits that long
DOMAIN = 1 + os.getpid() % 100


class Peer:
    """A node and an executor; use as a context manager."""

    def __init__(self, namespace: str) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        self.node = Node("peer", namespace=namespace, context=self.context, use_global_arguments=False)
        self.executor: Any = MultiThreadedExecutor(4, context=self.context)
        self.executor.add_node(self.node)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown(timeout_sec=2.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


def spin(peer: Peer, condition: Callable[[], Any], seconds: float = WAIT_S) -> None:
    """Until the condition holds. With the default of seconds the test fails when it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        peer.executor.spin_once(timeout_sec=0.05)
    if seconds == WAIT_S:
        raise AssertionError(f"waited {seconds:g} s in vain")
