# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the ROS tests: `make_stack` starts a node under test with a scripted (or any other) pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Tests talk to themselves only. Before the first context is made.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

from ros_harness import Stack
from scripted_pipeline import ScriptedPipeline


@pytest.fixture
def make_stack() -> Iterator[Callable[..., Stack]]:
    """make_stack(pipeline=ScriptedPipeline(), **parameters) -> a Stack that is ready; '__' in a name stands for '.'."""
    stacks: list[Stack] = []

    def make(pipeline: Any = None, *, ready: bool = True, **arguments: Any) -> Stack:
        stack = Stack(pipeline if pipeline is not None else ScriptedPipeline(), **arguments)
        stacks.append(stack)
        return stack.wait_ready() if ready else stack

    yield make
    for stack in reversed(stacks):
        stack.close()
