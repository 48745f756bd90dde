# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reads an SROS 2 policy: what a node may do, as names of ROS, and as topics of DDS."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2" / "llavaseg.policy.xml"
VERBS = {
    "topics": ("publish", "subscribe"),
    "services": ("reply", "request"),
    "actions": ("execute", "call"),
}
# What each verb needs of DDS: (side, prefix, suffix).
_SERVICE = {
    "reply": (("publish", "rr", "Reply"), ("subscribe", "rq", "Request")),
    "request": (("publish", "rq", "Request"), ("subscribe", "rr", "Reply")),
}
_ACTION_SERVICES = ("cancel_goal", "get_result", "send_goal")
_ACTION_TOPICS = ("feedback", "status")


@dataclass(frozen=True)
class Profile:
    """A node's rights. allowed: (verb, full name)."""

    enclave: str
    node: str
    namespace: str
    allowed: frozenset[tuple[str, str]]


def read_policy(path: Path = POLICY) -> dict[str, Profile]:
    """Every profile by its node's name. AssertionError for what the format does not have."""
    root = ET.parse(path).getroot()
    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    profiles: dict[str, Profile] = {}
    for enclave in root.findall("enclaves/enclave"):
        for profile in enclave.findall("profiles/profile"):
            node, namespace = profile.attrib["node"], profile.attrib["ns"]
            allowed: list[tuple[str, str]] = []
            for group in profile:
                (verb, rule), *more = group.attrib.items()
                assert verb in VERBS[group.tag] and rule == "ALLOW" and not more, (node, group.tag, group.attrib)
                names = [full_name(child.text or "", node, namespace) for child in group]
                assert names and all(child.tag == group.tag[:-1] for child in group)
                allowed += [(verb, name) for name in names]
            assert len(allowed) == len(set(allowed)), f"{node}: something is listed twice"
            assert node not in profiles
            profiles[node] = Profile(enclave.attrib["path"], node, namespace, frozenset(allowed))
    return profiles


def full_name(name: str, node: str, namespace: str) -> str:
    """A name of a policy as the graph shows it."""
    base = namespace.rstrip("/") + "/"
    if name.startswith("~/"):
        return f"{base}{node}{name[1:]}"
    return name if name.startswith("/") else base + name


def dds_topics(allowed: frozenset[tuple[str, str]]) -> dict[str, list[str]]:
    """The DDS topics that a node may "publish" and "subscribe", ROS's own discovery included."""
    topics: dict[str, set[str]] = {"publish": {"ros_discovery_info"}, "subscribe": {"ros_discovery_info"}}
    for verb, name in allowed:
        if verb in topics:
            topics[verb].add(f"rt{name}")
        elif verb in _SERVICE:
            for side, prefix, suffix in _SERVICE[verb]:
                topics[side].add(f"{prefix}{name}{suffix}")
        else:
            for service in _ACTION_SERVICES:
                for side, prefix, suffix in _SERVICE["reply" if verb == "execute" else "request"]:
                    topics[side].add(f"{prefix}{name}/_action/{service}{suffix}")
            side = "publish" if verb == "execute" else "subscribe"
            topics[side] |= {f"rt{name}/_action/{topic}" for topic in _ACTION_TOPICS}
    return {side: sorted(names) for side, names in topics.items()}
