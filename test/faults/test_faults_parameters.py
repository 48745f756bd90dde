# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults in the parameters: nonsense, and changes while the node is busy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from faults import fault
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from ros_harness import wait_until
from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.nodes.parameter_table import SPECS
from llavaseg_ros.nodes.parameters import Settings


def wrong_types() -> Iterator[tuple[str, Any]]:
    """Every parameter with values of other types, and with none."""
    for spec in SPECS:
        for value in (True, 3, 0.5, "nonsense", [1, 2], [0.5], ["a"], [b"a"], None):
            same = type(value) is type(spec.default)
            if not same:
                yield spec.name, value


def out_of_range() -> Iterator[tuple[str, Any]]:
    """Every number beyond both of its limits, every choice with another word."""
    for spec in SPECS:
        if spec.limits is not None:
            low, high = spec.limits
            kind = type(spec.default)
            yield from ((spec.name, kind(low - 1)), (spec.name, kind(high + 1)))
            yield from ((spec.name, -(2**62)), (spec.name, 2**62)) if kind is int else ()
        if spec.choices:
            yield from ((spec.name, ""), (spec.name, "nonsense"), (spec.name, spec.choices[0] + " "))
    yield from (("model", ""), ("model", " \n"), ("device", "tpu"), ("device", "cuda:-1"), ("no.such.parameter", 1))


def not_finite() -> Iterator[tuple[str, Any]]:
    """Every floating point parameter with what is no number."""
    for spec in SPECS:
        if isinstance(spec.default, float):
            yield from ((spec.name, value) for value in (math.nan, math.inf, -math.inf))


def nonsense(name: str, node: str) -> Any:
    planner = "the reason in the service's reply; the running command ends as if nothing had been"
    return fault(name, group="Parameters", node=node, planner=planner)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(
            wrong_types,
            id="types",
            marks=nonsense("every parameter set to another type while busy", "refuses it, and keeps the old value"),
        ),
        pytest.param(
            out_of_range,
            id="ranges",
            marks=nonsense(
                "every parameter set out of its range or choices while busy", "refuses it, and keeps the old value"
            ),
        ),
        pytest.param(
            not_finite,
            id="nan",
            marks=nonsense(
                "every number set to NaN or infinity while busy",
                "refuses it: a limit of NaN is never exceeded, and would switch a check off",
            ),
        ),
    ],
)
def test_nonsense_while_busy(make_stack: Any, values: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=30_000, token_s=0.005))
    image = stack.send_image()
    handle = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60)
    before = Settings.of(stack.node)
    pairs = list(values())
    messages = [Parameter(name, value=value).to_parameter_msg() for name, value in pairs]
    results = stack.call(SetParameters, "llavaseg/set_parameters", SetParameters.Request(parameters=messages)).results
    accepted = [pair for pair, result in zip(pairs, results, strict=True) if result.successful]
    assert not accepted and all(result.reason for result in results)
    assert Settings.of(stack.node) == before and len(pairs) > 20
    assert stack.node.worker.busy
    stack.resolve(handle.cancel_goal_async())
    assert stack.result(handle).result.error_code == ErrorCode.PREEMPTED
    stack.pipeline.tokens = 1
    assert stack.do("take the mug").result.masks.header == image.header


@fault(
    "several parameters set at once, one of them to nonsense",
    group="Parameters",
    node="sets none of them",
    planner="the reason, which names the wrong one",
)
def test_atomic_change(make_stack: Any) -> None:
    stack = make_stack()
    before = Settings.of(stack.node)
    changes = [Parameter("timeout_s", value=5.0), Parameter("mode", value="slow"), Parameter("queue.depth", value=3)]
    request = SetParametersAtomically.Request(parameters=[change.to_parameter_msg() for change in changes])
    result = stack.call(SetParametersAtomically, "llavaseg/set_parameters_atomically", request).result
    assert not result.successful and "mode" in result.reason and Settings.of(stack.node) == before


@fault(
    "nearest depth set beyond farthest depth",
    group="Parameters",
    node="refuses it: no depth value could be believed",
    planner="the reason, which names both",
)
def test_depth_limits_that_exclude_each_other(make_stack: Any) -> None:
    stack = make_stack()
    for name, value in (("geometry.min_depth_m", 6.0), ("geometry.max_depth_m", 0.05)):
        result = stack.node.set_parameters([Parameter(name, value=value)])[0]
        assert not result.successful and "geometry.min_depth_m" in result.reason
        assert "geometry.max_depth_m" in result.reason
    both = [Parameter("geometry.min_depth_m", value=6.0), Parameter("geometry.max_depth_m", value=9.0)]
    assert stack.node.set_parameters_atomically(both).successful


LIVE = {
    "queue.policy": ["queue", "reject", "replace"],
    "queue.depth": [1, 1000, 8],
    "sync.ring_size": [1, 100, 10],
    "sync.max_image_age_s": [0.0, 3600.0, 600.0],
    "sync.wait_for_image_s": [0.0, 60.0, 1.0],
    "follow.enabled": [True, False],
    "follow.relook_after_s": [0.0, 0.1, 2.0],
    "session.history_length": [0, 50, 10],
    "max_targets": [1, 64, 10],
    "partial_answers": [True, False],
    "timeout_s": [3600.0, 60.0],
    "geometry.required": [True, False],
    "geometry.target_frame": ["map", ""],
    "geometry.min_points": [3, 100_000, 30],
}


@fault(
    "parameters change between good values while commands come and a target is followed",
    group="Parameters",
    node="reads them at the start of each command and frame",
    planner="one final answer a command, each mask whole",
)
def test_changes_while_busy(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=2, token_s=0.001), follow__enabled=True)
    stack.send_image()
    asked = 0
    for turn in range(6):
        for name, values in LIVE.items():
            value = values[turn % len(values)]
            assert stack.node.set_parameters([Parameter(name, value=value)])[0].successful, (name, value)
            if asked % 3 == 0:
                stack.send_image()
            stack.send_command(f"take mug {asked}")
            asked += 1
    wait_until(lambda: len(stack.observer.finals()) == asked, what=f"{asked} answers")
    for name, values in LIVE.items():
        assert stack.node.set_parameters([Parameter(name, value=values[-1])])[0].successful
    image = stack.send_image()
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == image.header
