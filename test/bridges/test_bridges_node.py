# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `bridges` over DDS. What needs another stack's messages is skipped where they are not installed."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from recording_bridge import RecordingBridge
from ros_harness import DOMAIN, WAIT_S, Recorder, Stack, latched, spin_in_thread, wait_until
from scripted_pipeline import ScriptedPipeline
from target_messages import masks, target

from llavaseg_ros.bridges import BRIDGES, MissingPackage
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.msg import TargetMaskArray
from llavaseg_ros.nodes.bridges import BridgesNode
from llavaseg_ros.ros.qos import LATCHED

_numbers = itertools.count(1)


def needs(*packages: str) -> Any:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


class Rig:
    """The node under test and a client, in a namespace of their own, that of `stack` if there is one."""

    def __init__(self, stack: Stack | None = None, **parameters: Any) -> None:
        self.namespace = stack.namespace if stack else f"/b{os.getpid()}_{next(_numbers)}"
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        common = {"namespace": self.namespace, "context": self.context, "use_global_arguments": False}
        self.client = Node("bridges_client", **common)
        self.node: Any = None
        self.executor = MultiThreadedExecutor(4, context=self.context)
        try:
            values = {name.replace("__", "."): value for name, value in parameters.items()}
            overrides = [Parameter(name, value=value) for name, value in values.items()]
            self.node = BridgesNode(parameter_overrides=overrides, **common)
        finally:
            for node in filter(None, (self.client, self.node)):
                self.executor.add_node(node)
            self.spinner = spin_in_thread(self.executor)
            if self.node is None:
                self.close()
        self.publisher = self.client.create_publisher(TargetMaskArray, "llavaseg/masks", LATCHED)

    def send(self, message: TargetMaskArray) -> None:
        wait_until(lambda: self.publisher.get_subscription_count() > 0, what="the node's subscription of masks")
        self.publisher.publish(message)

    def record(self, message_type: Any, topic: str, qos: Any) -> Recorder:
        recorder = Recorder(self.client, message_type, topic, qos)
        wait_until(lambda: self.client.count_publishers(recorder.subscription.topic_name), what=topic)
        return recorder

    def close(self) -> None:
        if self.node is not None:
            self.node.close()
        self.executor.shutdown(timeout_sec=20.0)
        for node in filter(None, (self.client, self.node)):
            node.destroy_node()
        rclpy.shutdown(context=self.context)
        self.spinner.join(20.0)


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(stack: Stack | None = None, **parameters: Any) -> Rig:
        made.append(Rig(stack, **parameters))
        return made[-1]

    yield make
    for one in reversed(made):
        one.close()


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As if these were not installed."""
    for name in packages:
        monkeypatch.setitem(sys.modules, f"{name}.msg", None)
        monkeypatch.setitem(sys.modules, f"{name}.action", None)


def test_masks_reach_every_bridge_also_beside_one_that_fails(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordingBridge.made.clear()
    monkeypatch.setitem(BRIDGES, "vision", ("recording_bridge", "FailingBridge"))
    monkeypatch.setitem(BRIDGES, "moveit", ("recording_bridge", "RecordingBridge"))
    one = rig(bridges=["vision", "moveit"], moveit__padding_m=0.02)
    failing, working = RecordingBridge.made
    one.send(masks(target()))
    wait_until(lambda: working.masks, what="the masks")
    assert working.masks[0].targets[0].label == "red mug"
    assert working.settings["moveit.padding_m"] == 0.02
    assert working.settings["moveit.max_image_age_s"] == 5.0
    one.send(masks(sec=200))
    wait_until(lambda: len(working.masks) > 1, what="the second masks")
    one.node.close()
    assert working.closed and failing.closed


def test_what_is_missing_is_left_out_and_the_rest_is_served(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BRIDGES, "moveit", ("recording_bridge", "RecordingBridge"))
    hide(monkeypatch, "vision_msgs", "isaac_manipulator_interfaces")
    assert list(rig().node.bridges) == ["moveit"]


def test_a_node_with_nothing_to_serve_names_the_packages(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "vision_msgs", "moveit_msgs", "isaac_manipulator_interfaces")
    with pytest.raises(MissingPackage, match="vision_msgs.*moveit_msgs.*isaac_manipulator_interfaces"):
        rig()


@pytest.mark.parametrize("names", [["visoin"], ["vision", "rviz"]])
def test_an_unknown_bridge_is_refused_with_the_names_that_are_known(rig: Callable[..., Rig], names: list[str]) -> None:
    with pytest.raises(BadRequest, match=f"{names[-1]}.*expected some of vision, moveit, isaac"):
        rig(bridges=names)


def test_as_a_process_it_ends_with_a_line_and_no_traceback() -> None:
    command = [sys.executable, "-m", "llavaseg_ros.nodes.bridges", "--ros-args", "-p", "bridges:=[visoin]"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("bridges: bridges: got ['visoin']")
    assert "Traceback" not in ended.stderr


@needs("vision_msgs")
def test_detections_over_dds(rig: Callable[..., Rig]) -> None:
    from vision_msgs.msg import Detection2DArray, Detection3DArray

    one = rig(bridges=["vision"])
    flat = one.record(Detection2DArray, "bridges/detections_2d", latched(10))
    solid = one.record(Detection3DArray, "bridges/detections_3d", latched(10))
    one.send(masks(target()))
    assert flat.wait()[0].detections[0].bbox.size_x == 12.0
    assert solid.wait()[0].detections[0].bbox.size.z == 0.1
    one.send(masks(target(geometry=False), sec=200))
    assert len(flat.wait(2)[1].detections) == 1
    assert not solid.wait(2)[1].detections


@needs("moveit_msgs", "shape_msgs")
def test_no_collision_object_outlives_its_target(rig: Callable[..., Rig]) -> None:
    from moveit_msgs.msg import CollisionObject

    one = rig(bridges=["moveit"], moveit__object_id="mug", moveit__max_image_age_s=0.0)
    scene = one.record(CollisionObject, "collision_object", 100)
    wait_until(lambda: one.node.count_subscribers(scene.subscription.topic_name), what="our subscription")

    def next_operation(message: TargetMaskArray | None) -> tuple[Any, str]:
        before = len(scene.messages)
        if message is not None:
            one.send(message)
        came = scene.wait(before + 1)[before]
        return came.operation, came.id

    # The first message clears what an earlier run may have left.
    assert next_operation(masks(target(geometry=False))) == (CollisionObject.REMOVE, "mug")
    assert next_operation(masks(target())) == (CollisionObject.ADD, "mug")
    assert next_operation(masks(target(geometry=False))) == (CollisionObject.REMOVE, "mug")
    assert next_operation(masks(target())) == (CollisionObject.ADD, "mug")
    one.node.set_parameters([Parameter("moveit.hold", value=True)])
    held = len(scene.messages)
    one.send(masks(sec=250))
    wait_until(lambda: one.node.bridges["moveit"]._last.stamp.sec == 250, what="the masks while held")
    one.node.set_parameters([Parameter("moveit.hold", value=False)])
    assert next_operation(masks(target())) == (CollisionObject.ADD, "mug")
    assert len(scene.messages) == held + 1
    one.node.close()
    last = scene.wait(held + 2)[held + 1]
    assert (last.operation, last.id) == (CollisionObject.REMOVE, "mug")


@needs("isaac_manipulator_interfaces", "vision_msgs")
class TestIsaac:
    """Goals as Isaac Manipulator's object_info_server sends them, to the real node around a scripted pipeline."""

    @pytest.fixture
    def stack(self) -> Iterator[Stack]:
        made = Stack(ScriptedPipeline())
        yield made.wait_ready()
        made.close()

    def call(self, one: Rig, **fields: Any) -> Any:
        from isaac_manipulator_interfaces.action import SegmentAnything

        client: Any = ActionClient(one.client, SegmentAnything, "segment_anything")
        assert client.wait_for_server(WAIT_S)
        goal = SegmentAnything.Goal()
        if "point" in fields:
            goal.use_point_hint = True
            goal.initial_hint_point.x, goal.initial_hint_point.y = fields["point"]
        else:
            box = goal.initial_hint_bbox
            box.center.position.x, box.center.position.y, box.size_x, box.size_y = fields["box"]
        handle = Stack.resolve(SimpleNamespace(), client.send_goal_async(goal))  # type: ignore[arg-type]
        assert handle.accepted
        return Stack.resolve(SimpleNamespace(), handle.get_result_async())  # type: ignore[arg-type]

    def test_a_point_and_a_box(self, stack: Stack, rig: Callable[..., Rig]) -> None:
        sent = stack.send_image()
        one = rig(stack, bridges=["isaac"], isaac__max_image_age_s=600.0)  # a slow machine's image is no stale one
        assert one.node.bridges["isaac"]._prompt.wait_for_service(WAIT_S)
        ended = self.call(one, box=(20.0, 20.0, 10.0, 8.0))
        assert ended.status == 4  # SUCCEEDED
        result = ended.result
        assert result.detection.bbox.size_x == 10.0
        assert result.detection.bbox.center.position.x == 20.0
        assert result.segmentation_mask.encoding == "mono8"
        assert (result.segmentation_mask.width, result.segmentation_mask.height) == (sent.width, sent.height)
        assert sum(value == 255 for value in result.segmentation_mask.data) == 80
        assert result.segmentation_mask.header == sent.header
        ended = self.call(one, point=(30.0, 20.0))
        assert ended.status == 4
        assert ended.result.detection.bbox.center.position.x == pytest.approx(30.5)

    def test_what_cannot_be_served_is_aborted(self, stack: Stack, rig: Callable[..., Rig]) -> None:
        stack.send_image(age_s=60.0)
        one = rig(stack, bridges=["isaac"])
        assert one.node.bridges["isaac"]._prompt.wait_for_service(WAIT_S)
        assert self.call(one, box=(20.0, 20.0, 0.0, 0.0)).status == 6  # ABORTED: no size
        assert self.call(one, box=(20.0, 20.0, 10.0, 8.0)).status == 6  # the image is too old
        assert self.call(one, point=(5000.0, 20.0)).status == 6  # not in the image

    def test_without_the_node_it_aborts(self, rig: Callable[..., Rig]) -> None:
        assert self.call(rig(bridges=["isaac"]), point=(3.0, 3.0)).status == 6

    def test_the_target_of_the_last_command(self, rig: Callable[..., Rig]) -> None:
        one = rig(bridges=["isaac"], isaac__source="target", isaac__max_image_age_s=0.0)
        assert self.call(one, point=(3.0, 3.0)).status == 6  # nothing yet
        one.send(masks(target()))
        wait_until(lambda: one.node.bridges["isaac"]._masks is not None, what="the masks")
        ended = self.call(one, point=(3.0, 3.0))
        assert ended.status == 4
        assert ended.result.detection.results[0].hypothesis.class_id == "red mug"
        one.send(masks(sec=200))
        wait_until(lambda: not one.node.bridges["isaac"]._masks.targets, what="the empty masks")
        assert self.call(one, point=(3.0, 3.0)).status == 6
