# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""QoS profiles of the nodes, and what to log when a peer's profile does not fit."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks  # type: ignore[no-redef]

# Cameras: take what comes, only the newest. A best-effort subscriber matches best-effort and reliable publishers alike.
SENSOR = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)
# Commands: none may be lost, even when many come at once.
COMMAND = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
# Results: a planner that starts late still gets the last one, and checks its stamp.
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
DIAGNOSTICS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)


def subscription_events(topic: str, warn: Callable[[str], object]) -> SubscriptionEventCallbacks:
    """Say by `warn` when a publisher's QoS cannot reach our subscription of `topic`."""

    def incompatible(event: object) -> None:
        policy = getattr(event, "last_policy_kind", "unknown policy")
        warn(
            f"a publisher on {topic} offers a QoS that this node cannot receive ({policy}): nothing comes from it. "
            "Compare the two with `ros2 topic info --verbose`."
        )

    return SubscriptionEventCallbacks(incompatible_qos=incompatible, use_default_callbacks=False)


# An event handler is a waitable, and rclpy's executor fails when a waitable is destroyed under it, so what `cleanup`
# destroys has none. None is missed: best effort takes from any publisher, latched and reliable serves any subscriber.
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
