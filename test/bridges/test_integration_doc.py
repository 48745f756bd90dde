# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The behaviour tree of docs/integration.md, run as it stands there against the node with a scripted model."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_domain import own_domain
from ros_harness import WAIT_S, Stack, wait_until
from scripted_pipeline import ScriptedPipeline

py_trees = pytest.importorskip("py_trees", reason="py_trees is not installed")
from py_trees.common import Status

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bags"))
from bag_material import camera_bag

from llavaseg_ros.nodes.bag_player import BagPlayer
from llavaseg_ros.types import Result

DOC = Path(__file__).resolve().parents[2] / "docs" / "integration.md"


def snippet() -> dict[str, Any]:
    (code,) = [text for text in re.findall(r"```python\n(.*?)```", DOC.read_text("utf-8"), re.S) if "py_trees" in text]
    names: dict[str, Any] = {}
    exec(compile(code, str(DOC), "exec"), names)
    return names


class Pick(py_trees.behaviour.Behaviour):
    """Notes the target that it would pick."""

    def __init__(self) -> None:
        super().__init__("pick")
        self.picked: list[Any] = []
        self.blackboard = self.attach_blackboard_client("pick")
        self.blackboard.register_key("target", access=py_trees.common.Access.READ)

    def update(self) -> Status:
        self.picked.append(self.blackboard.target)
        return Status.SUCCESS


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """The node, with a camera that has depth."""
    made = Stack(ScriptedPipeline(tokens=20, token_s=0.01)).wait_ready()
    from rclpy.parameter import Parameter

    player = BagPlayer(
        namespace=made.namespace,
        context=made.context,
        use_global_arguments=False,
        parameter_overrides=[Parameter("bag", value=str(camera_bag(tmp_path / "bag", 20)))],
    )
    wait_until(lambda: made.node.inputs.depth.count and made.node.inputs.depth_camera_info.count, what="depth")
    yield made
    player.close()
    player.destroy_node()
    made.close()


def tick(tree: Any, until: Any) -> None:
    end = time.monotonic() + WAIT_S
    while True:
        tree.tick_once()
        if until(tree.status):
            return
        assert time.monotonic() < end, tree.status
        time.sleep(0.01)


def tree_for(stack: Stack, command: str, names: dict[str, Any]) -> tuple[Any, Pick]:
    pick = Pick()
    tree = names["pick_tree"](stack.client, command, pick)
    leaf = tree.children[0].decorated
    wait_until(leaf._client.server_is_ready, what="the action server")
    return tree, pick


def test_a_target_with_a_pose_is_picked(stack: Stack) -> None:
    tree, pick = tree_for(stack, "the mug", snippet())
    tree.tick_once()
    assert tree.status == Status.RUNNING
    tick(tree, lambda status: status != Status.RUNNING)
    assert tree.status == Status.SUCCESS
    assert pick.picked[0].label == "red mug"
    assert pick.picked[0].centroid.pose.position.z == pytest.approx(0.8)


def test_after_three_looks_it_gives_up(stack: Stack) -> None:
    names = snippet()
    tree, pick = tree_for(stack, "the banana", names)
    tick(tree, lambda status: status == Status.FAILURE)
    assert not pick.picked
    assert "'banana' is not in the image" in tree.children[0].decorated.feedback_message
    assert stack.pipeline.commands == ["the banana"] * 3


def test_a_tree_that_turns_elsewhere_cancels(stack: Stack) -> None:
    def long(_: str, __: Any) -> Result | None:
        stack.pipeline.token_s = 0.5
        return None

    stack.pipeline.on_segment = long
    tree, _ = tree_for(stack, "the mug", snippet())
    leaf = tree.children[0].decorated
    tick(tree, lambda _: stack.pipeline.started.is_set() and leaf._goal.done())
    tree.stop(Status.INVALID)
    wait_until(lambda: stack.pipeline.cancelled, what="the cancel")


def test_without_the_node_it_fails_at_once() -> None:
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node

    context = Context()
    rclpy.init(context=context, domain_id=own_domain(), args=[])
    try:
        node = Node("tree", context=context, use_global_arguments=False)
        leaf = snippet()["FindTarget"](node, "the mug")
        leaf.tick_once()
        assert leaf.status == Status.FAILURE
        assert "not there" in leaf.feedback_message
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
