# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policy against the names that the nodes really use: nothing is missing, and nothing is to spare."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

import rclpy
from policy import Profile, dds_topics, full_name, read_policy
from rclpy.action import get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_harness import DOMAIN, WAIT_S, spin_in_thread
from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.nodes.example_grasp_planner import ExampleGraspPlanner
from llavaseg_ros.nodes.llavaseg_node import LLaVASegNode
from llavaseg_ros.nodes.speech_command import SpeechCommand
from llavaseg_ros.nodes.viewer import Viewer

NAMESPACE = "/policy"
# Services that older distributions do not have.
NEWER = {"get_type_description"}


class Nobody:
    """A microphone in a silent room, and a recognizer that is never asked."""

    name = "silence"

    def blocks(self, stop: threading.Event) -> Iterator[Any]:
        stop.wait()
        return iter(())


def make_llavaseg(**arguments: Any) -> Any:
    return LLaVASegNode(
        loader=lambda *_: ScriptedPipeline(), parameter_overrides=[Parameter("warm_up", value=False)], **arguments
    )


def make_viewer(**arguments: Any) -> Any:
    return Viewer(parameter_overrides=[Parameter("port", value=0)], **arguments)


def make_speech(**arguments: Any) -> Any:
    source: Any = Nobody()
    return SpeechCommand(source=source, recognizer=source, **arguments)


MAKERS = {
    "llavaseg": make_llavaseg,
    "viewer": make_viewer,
    "example_grasp_planner": ExampleGraspPlanner,
    "speech_command": make_speech,
}


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made, domain_id=DOMAIN, args=[])
    yield made
    rclpy.shutdown(context=made)


@pytest.fixture(scope="module")
def observer(context: Context) -> Iterator[Node]:
    node = Node("observer", namespace=NAMESPACE, context=context, use_global_arguments=False)
    yield node
    node.destroy_node()


@pytest.fixture
def running(request: pytest.FixtureRequest, context: Context) -> Iterator[str]:
    """One node, running as it does by default; its name."""
    from rclpy.executors import MultiThreadedExecutor

    node = MAKERS[request.param](namespace=NAMESPACE, context=context, use_global_arguments=False)
    executor = MultiThreadedExecutor(2, context=context)
    executor.add_node(node)
    spinner = spin_in_thread(executor)
    yield request.param
    if hasattr(node, "close"):
        node.close()
    executor.shutdown(timeout_sec=20.0)
    node.destroy_node()
    spinner.join(20.0)


def used(observer: Node, name: str) -> frozenset[tuple[str, str]]:
    """What the graph says that a node does, as (verb, name); what actions are made of is left to them."""

    def names(pairs: Any) -> list[str]:
        return [name for name, _ in pairs]

    verbs = {
        "publish": names(observer.get_publisher_names_and_types_by_node(name, NAMESPACE)),
        "subscribe": names(observer.get_subscriber_names_and_types_by_node(name, NAMESPACE)),
        "reply": names(observer.get_service_names_and_types_by_node(name, NAMESPACE)),
        "request": names(observer.get_client_names_and_types_by_node(name, NAMESPACE)),
        "execute": names(get_action_server_names_and_types_by_node(observer, name, NAMESPACE)),
        "call": names(get_action_client_names_and_types_by_node(observer, name, NAMESPACE)),
    }
    return frozenset((verb, name) for verb, found in verbs.items() for name in found if "/_action/" not in name)


def expected(profile: Profile) -> frozenset[tuple[str, str]]:
    """The policy's rights in this test's namespace."""
    assert profile.namespace == "/"
    everyones = {"/rosout", "/parameter_events", "/diagnostics"}
    return frozenset((verb, name if name in everyones else NAMESPACE + name) for verb, name in profile.allowed)


def test_every_node_of_the_policy_is_tested() -> None:
    profiles = read_policy()
    assert profiles.keys() == MAKERS.keys()
    assert all(profile.enclave == f"/{name}" for name, profile in profiles.items())


@pytest.mark.parametrize("running", list(MAKERS), indirect=True)
def test_policy_is_what_the_node_uses(running: str, observer: Node) -> None:
    wanted = expected(read_policy()[running])

    def difference() -> tuple[list[Any], list[Any]]:
        found = used(observer, running)
        spare = {right for right in wanted - found if right[1].rsplit("/")[-1] not in NEWER}
        return sorted(found - wanted), sorted(spare)

    # The graph comes together bit by bit: what is right at once may be so by chance.
    end, right_since = time.monotonic() + WAIT_S, 0
    while time.monotonic() < end and right_since < 5:
        right_since = right_since + 1 if difference() == ([], []) else 0
        time.sleep(0.1)
    missing, spare = difference()
    assert not missing, f"{running} uses what the policy does not allow: {missing}"
    assert not spare, f"the policy allows what {running} does not use: {spare}"


def test_no_wildcards_and_nobody_but_llavaseg_publishes_its_results() -> None:
    profiles = read_policy()
    for profile in profiles.values():
        assert not [name for _, name in profile.allowed if "*" in name or "?" in name]
    results = {
        name for verb, name in profiles["llavaseg"].allowed if verb == "publish" and name.startswith("/llavaseg/")
    }
    assert len(results) == 9
    for node in profiles.keys() - {"llavaseg"}:
        published = {name for verb, name in profiles[node].allowed if verb == "publish"}
        assert not published & results
    planner = profiles["example_grasp_planner"].allowed
    assert not [right for right in planner if right[0] in ("call", "request") or "command" in right[1]]


def test_names_are_resolved_as_ros_does() -> None:
    assert full_name("~/mask", "llavaseg", "/") == "/llavaseg/mask"
    assert full_name("~/mask", "llavaseg", "/robot") == "/robot/llavaseg/mask"
    assert full_name("image", "llavaseg", "/robot") == "/robot/image"
    assert full_name("/rosout", "llavaseg", "/robot") == "/rosout"


def test_dds_topics() -> None:
    topics = dds_topics(frozenset([("publish", "/a/mask"), ("reply", "/a/follow"), ("execute", "/a/segment")]))
    assert "rt/a/mask" in topics["publish"] and "rr/a/followReply" in topics["publish"]
    assert (
        "rq/a/followRequest" in topics["subscribe"] and "rq/a/segment/_action/send_goalRequest" in topics["subscribe"]
    )
    assert "rt/a/segment/_action/feedback" in topics["publish"]
    call = dds_topics(frozenset([("call", "/a/segment")]))
    assert "rq/a/segment/_action/cancel_goalRequest" in call["publish"]
    assert "rt/a/segment/_action/status" in call["subscribe"]
