# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's states, its parameters, and what it says of itself."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from ros_harness import Stack, wait_until
from scripted_pipeline import CountingLoader, ScriptedPipeline

from llavaseg_ros.errors import BundleError, ErrorCode
from llavaseg_ros.nodes.parameter_table import SPECS
from llavaseg_ros.ros.models import Wanted
from llavaseg_ros.ros.worker import ModelState


def test_ten_cycles(make_stack: Any) -> None:
    loader = CountingLoader(ScriptedPipeline())
    stack = make_stack(loader.pipeline, loader=loader, autostart=False, ready=False)
    for _ in range(10):
        assert stack.change_state(Transition.TRANSITION_CONFIGURE)
        assert stack.change_state(Transition.TRANSITION_ACTIVATE)
        stack.wait_ready()
        stack.send_image()
        assert stack.do("take the mug").result.error_code == ErrorCode.NONE
        assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
        assert stack.do("take the mug").result.error_code == ErrorCode.MODEL_NOT_READY
        assert stack.change_state(Transition.TRANSITION_CLEANUP)
        wait_until(lambda: stack.node.worker._model is None, what="the model to be freed")
    assert len(loader.calls) == 10
    assert sum(thread.name == "llavaseg-model" for thread in threading.enumerate()) == 1


def test_deactivate_keeps_the_model_and_cancels(make_stack: Any) -> None:
    pipeline = ScriptedPipeline(tokens=30_000, token_s=0.01)
    loader = CountingLoader(pipeline)
    stack = make_stack(pipeline, loader=loader)
    stack.send_image()
    handle = stack.send_goal("take the mug")
    assert pipeline.started.wait(60.0)
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    result = stack.result(handle).result
    assert result.error_code == ErrorCode.PREEMPTED and "deactivated" in result.error_msg
    assert [answer.error_code for answer in stack.answers.wait()] == [ErrorCode.PREEMPTED]
    stack.send_command("take the mug")
    wait_until(lambda: stack.node.monitor._commands == 2, what="the end of the refused command")
    pipeline.tokens = 1
    assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    # In their order: had the inactive node answered, it would stand between the two.
    assert [answer.error_code for answer in stack.answers.messages] == [ErrorCode.PREEMPTED, ErrorCode.NONE]
    assert len(loader.calls) == 1


def test_activation_does_not_wait_for_the_model(make_stack: Any) -> None:
    release = threading.Event()
    pipeline = ScriptedPipeline()

    def loader(_: Wanted) -> Any:
        release.wait(120.0)
        return pipeline

    stack = make_stack(pipeline, loader=loader, ready=False)
    assert not release.is_set()
    status = stack.record(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
    stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and "loaded" in result.error_msg
    wait_until(lambda: any(values_of(stack, m).get("model state") == "loading" for m in status.messages))
    release.set()
    stack.wait_ready()
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    wait_until(lambda: any(values_of(stack, m).get("model state") == "ready" for m in status.messages))


def values_of(stack: Stack, message: DiagnosticArray) -> dict[str, str]:
    """The values of this stack's node; other tests' nodes share the topic."""
    name = stack.node.get_fully_qualified_name().lstrip("/")
    for status in message.status:
        if status.hardware_id == name:
            return {value.key: value.value for value in status.values}
    return {}


def test_bundle_that_does_not_load(make_stack: Any) -> None:
    broken = [True]
    pipeline = ScriptedPipeline()

    def loader(_: Wanted) -> Any:
        if broken[0]:
            raise BundleError("bundle /x: segmenter/sam.safetensors is cut off")
        return pipeline

    stack = make_stack(pipeline, loader=loader, ready=False)
    wait_until(lambda: stack.node.worker.state is ModelState.ERROR)
    stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and "sam.safetensors" in result.error_msg
    status = stack.record(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
    wait_until(lambda: any("sam.safetensors" in values_of(stack, m).get("model error", "") for m in status.messages))
    broken[0] = False
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    stack.wait_ready()
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


def test_warm_up_in_the_worker_leaves_no_image(make_stack: Any) -> None:
    stack = make_stack(warm_up=True, sync__wait_for_image_s=0.0)
    assert stack.pipeline.warmed == 1 and len(stack.pipeline.threads) == 1 and stack.pipeline.image_shape is None
    assert stack.do("take the mug").result.error_code == ErrorCode.NO_IMAGE


def test_cleanup_while_loading(make_stack: Any) -> None:
    release = threading.Event()
    stack = make_stack(loader=lambda *_: release.wait(120.0) and ScriptedPipeline(), ready=False)
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert stack.change_state(Transition.TRANSITION_CLEANUP)
    release.set()
    time.sleep(0.1)
    assert stack.node.worker.state is ModelState.UNLOADED and stack.node.worker._model is None


# --- parameters ---


def set_parameter(stack: Stack, name: str, value: Any) -> Any:
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    return stack.call(SetParameters, "llavaseg/set_parameters", request).results[0]


@pytest.mark.parametrize(
    "name, value",
    [
        ("sync.max_image_age_s", -1.0),
        ("timeout_s", 0.0),
        ("max_targets", 0),
        ("max_targets", 65),
        ("queue.policy", "sometimes"),
        ("session.history_length", -1),
        ("sync.ring_size", 0),
        ("timeout_s", "soon"),
        ("autostart", False),
        ("model", ""),
        ("device", "tpu"),
        ("mode", "slow"),
        ("image_transport", "compressed"),
    ],
)
def test_parameter_is_refused(make_stack: Any, name: str, value: Any) -> None:
    stack = make_stack()
    before = stack.node.get_parameter(name).value
    answer = set_parameter(stack, name, value)
    assert not answer.successful and answer.reason
    assert stack.node.get_parameter(name).value == before


def test_live_parameter_takes_effect(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=30_000, token_s=0.01))
    stack.send_image()
    assert set_parameter(stack, "timeout_s", 0.2).successful
    assert stack.ask("take the mug").error_code == ErrorCode.TIMEOUT


def test_model_parameter_can_change_while_inactive(make_stack: Any) -> None:
    loader = CountingLoader(ScriptedPipeline())
    stack = make_stack(loader.pipeline, loader=loader)
    assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
    assert set_parameter(stack, "mode", "fast").successful
    assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    wait_until(lambda: len(loader.calls) == 2)
    assert loader.calls == [Wanted("default", "auto", "cot"), Wanted("default", "auto", "fast")]


@pytest.mark.parametrize("name, value", [("queue.policy", "sometimes"), ("timeout_s", -3.0), ("device", "tpu")])
def test_bad_parameter_at_the_start(make_stack: Any, name: str, value: Any) -> None:
    with pytest.raises(Exception, match=name):
        make_stack(**{name.replace(".", "__"): value})


def test_every_parameter_is_described(make_stack: Any) -> None:
    stack = make_stack()
    names = [spec.name for spec in SPECS]
    request = DescribeParameters.Request(names=names)
    described = stack.call(DescribeParameters, "llavaseg/describe_parameters", request).descriptors
    assert [d.name for d in described] == names
    for descriptor, spec in zip(described, SPECS, strict=True):
        numeric = isinstance(spec.default, (int, float)) and not isinstance(spec.default, bool)
        assert descriptor.description
        assert bool(descriptor.floating_point_range or descriptor.integer_range) == numeric
        assert descriptor.read_only == (spec.name == "autostart")
        assert all(choice in descriptor.additional_constraints for choice in spec.choices)


def test_diagnostics(make_stack: Any) -> None:
    stack = make_stack()
    status = stack.record(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
    stack.send_image()
    stack.ask("")
    wait_until(lambda: any(values_of(stack, m).get("failed commands") == "1" for m in status.messages))
    values = next(v for m in status.messages if (v := values_of(stack, m)).get("failed commands") == "1")
    assert values["lifecycle"] == "active" and values["model state"] == "ready" and values["model name"] == "scripted"
    assert float(values["image age [s]"]) < 600 and values["images"] == "1"
    assert "BAD_REQUEST" in values["last error"] and float(values["resident memory [MB]"]) > 10
