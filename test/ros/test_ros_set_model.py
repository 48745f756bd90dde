# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Another model in the place of a serving one, over the real service and the real parameter."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

from lifecycle_msgs.msg import Transition
from rclpy.parameter import Parameter
from ros_harness import Stack, wait_until
from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.errors import BundleError, ErrorCode, ServerAway
from llavaseg_ros.nodes.llavaseg_node import HOUSEKEEPING_PERIOD_S
from llavaseg_ros.ros.models import Wanted
from llavaseg_ros.ros.worker import ModelState
from llavaseg_ros.srv import SetModel


class Away(ScriptedPipeline):
    """A served model whose server does not run yet."""

    def warm_up(self) -> None:
        raise ServerAway("http://127.0.0.1:9/v1: connection refused")


class Shelf:
    """Loads "default", "served", "large" once it is released, and nothing else."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.loading = threading.Event()
        self.calls: list[tuple[str, str]] = []

    def __call__(self, wanted: Wanted) -> ScriptedPipeline:
        model = wanted.model
        self.calls.append((model, wanted.device))
        if model == "large":
            self.loading.set()
            assert self.release.wait(120.0)
        elif model == "served":
            return Away()
        elif model != "default":
            raise BundleError(f"model: got {model!r}, expected default or large")
        return ScriptedPipeline(tokens=5 if model == "large" else 3)


def set_model(stack: Stack, model: str, device: str = "") -> Any:
    return stack.call(SetModel, "llavaseg/set_model", SetModel.Request(model=model, device=device))


def parameter(stack: Stack, name: str) -> str:
    return str(stack.node.get_parameter(name).value)


@pytest.fixture
def shelf(make_stack: Any) -> tuple[Shelf, Stack]:
    shelf = Shelf()
    return shelf, make_stack(None, loader=shelf, warm_up=True)


def test_the_old_model_answers_while_the_new_one_loads(shelf: tuple[Shelf, Stack]) -> None:
    models, stack = shelf
    old = stack.node.worker._model
    replies: list[Any] = []
    asking = threading.Thread(target=lambda: replies.append(set_model(stack, "large", "cpu")))
    asking.start()
    assert models.loading.wait(60.0)
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    assert stack.node.worker._model is old and not replies
    models.release.set()
    asking.join(60.0)
    assert replies[0].success and replies[0].error_code == ErrorCode.NONE and "serves" in replies[0].message
    assert stack.node.worker._model is not old and models.calls[-1] == ("large", "cpu")
    assert (parameter(stack, "model"), parameter(stack, "device")) == ("large", "cpu")
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@pytest.mark.parametrize(
    ("model", "device", "code", "says"),
    [
        ("huge", "", ErrorCode.MODEL_NOT_READY, "got 'huge', expected default or large"),
        ("served", "", ErrorCode.MODEL_NOT_READY, "connection refused"),
        (" ", "", ErrorCode.BAD_REQUEST, "parameter model: empty"),
        ("large", "tpu", ErrorCode.BAD_REQUEST, "parameter device: 'tpu'"),
    ],
)
def test_the_old_model_stays_when_the_new_one_fails(
    shelf: tuple[Shelf, Stack], model: str, device: str, code: ErrorCode, says: str
) -> None:
    _, stack = shelf
    old = stack.node.worker._model
    reply = set_model(stack, model, device)
    assert not reply.success and reply.error_code == code and says in reply.message
    assert stack.node.worker._model is old and parameter(stack, "model") == "default"
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


def test_by_the_parameter(shelf: tuple[Shelf, Stack]) -> None:
    models, stack = shelf
    models.release.set()
    old = stack.node.worker._model
    assert stack.node.set_parameters([Parameter("model", value="large")])[0].successful
    wait_until(lambda: stack.node.worker._model is not old, what="the new model")
    assert parameter(stack, "model") == "large"
    assert stack.node.set_parameters([Parameter("model", value="huge")])[0].successful
    wait_until(lambda: parameter(stack, "model") == "large", what="the parameter to be put back")
    assert stack.node.worker.state is ModelState.READY


def test_a_model_and_its_device_are_one_wish(shelf: tuple[Shelf, Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    """The node looks at its parameters now and then: not between the two that the service sets."""
    models, stack = shelf
    models.release.set()
    set_all = stack.node.set_parameters

    def slowly(values: list[Parameter]) -> Any:
        results = []
        for value in values:
            results += set_all([value])
            time.sleep(2 * HOUSEKEEPING_PERIOD_S)
        return results

    monkeypatch.setattr(stack.node, "set_parameters", slowly)
    assert set_model(stack, "large", "cpu").success
    time.sleep(2 * HOUSEKEEPING_PERIOD_S)
    assert models.calls[1:] == [("large", "cpu")] and not stack.node.worker.swapping
    assert (parameter(stack, "model"), parameter(stack, "device")) == ("large", "cpu")


def test_nothing_is_exchanged_in_a_node_that_is_not_active(make_stack: Any) -> None:
    stack = make_stack(None, loader=Shelf(), autostart=False, ready=False)
    assert stack.change_state(Transition.TRANSITION_CONFIGURE)
    reply = set_model(stack, "large")
    assert not reply.success and reply.error_code == ErrorCode.MODEL_NOT_READY and "not active" in reply.message


def test_a_model_that_could_not_be_loaded_is_replaced(make_stack: Any) -> None:
    models = Shelf()
    models.release.set()
    stack = make_stack(None, loader=models, model="huge", ready=False)
    wait_until(lambda: stack.node.worker.state is ModelState.ERROR, what="the failure")
    assert set_model(stack, "large").success
    assert stack.node.worker.state is ModelState.READY and parameter(stack, "model") == "large"


def test_a_served_model_is_taken_before_its_server_runs_where_nothing_else_serves(make_stack: Any) -> None:
    stack = make_stack(None, loader=Shelf(), model="served", warm_up=True)
    assert stack.node.worker.state is ModelState.READY
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
