# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Clients in processes of their own, to be killed: `python clients.py NAMESPACE DOMAIN goal|masks`. Prints a line when
its goal has been accepted, or its subscription is connected, and then waits for its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def start(namespace: str, domain: int, what: str) -> subprocess.Popen[str]:
    """Start one, and wait until it is there."""
    process = subprocess.Popen(
        [sys.executable, __file__, namespace, str(domain), what], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.strip() == "ready", f"the client said {line!r}"
    return process


def main() -> None:
    """See the module's text."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))
    import rclpy
    from rclpy.action import ActionClient
    from rclpy.node import Node
    from ros_harness import latched

    from llavaseg_ros.action import Segment
    from llavaseg_ros.msg import TargetMaskArray

    namespace, domain, what = sys.argv[1:4]
    rclpy.init(args=[], domain_id=int(domain))
    node = Node("other", namespace=namespace, use_global_arguments=False)
    if what == "goal":
        client: Any = ActionClient(node, Segment, "llavaseg/segment")
        assert client.wait_for_server(60.0)
        future = client.send_goal_async(Segment.Goal(text="take the mug"))
        while not future.done():
            rclpy.spin_once(node, timeout_sec=1.0)
        assert future.result().accepted
    else:
        # Never read: what is sent piles up in its history.
        subscription: Any = node.create_subscription(TargetMaskArray, "llavaseg/masks", print, latched(10))
        while not subscription.get_publisher_count():
            time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(600.0)


if __name__ == "__main__":
    main()
