# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fault suite: `make_stack` and `observe`. At the end of every case an observer checks."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Tests talk to themselves only. Before the first context is made.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("ros", "core")]

from faulty_stack import FaultyStack
from observer import Observer
from ros_harness import DOMAIN
from scripted_pipeline import ScriptedPipeline


def pytest_configure(config: pytest.Config) -> None:
    """The mark that carries a case's line of the table."""
    config.addinivalue_line("markers", "fault(fault): what breaks, what the node does, what a planner sees")


@pytest.fixture
def make_stack() -> Iterator[Callable[..., FaultyStack]]:
    """make_stack(pipeline=ScriptedPipeline(), **parameters) -> a stack that is ready, with its `observer`.

    '__' in a parameter's name stands for '.'. At the end the node's work is ended, and the observer checks.
    """
    stacks: list[FaultyStack] = []

    def make(pipeline: Any = None, *, ready: bool = True, **arguments: Any) -> FaultyStack:
        stack = FaultyStack(pipeline if pipeline is not None else ScriptedPipeline(), **arguments)
        stacks.append(stack)
        return stack.wait_ready() if ready else stack

    yield make
    with contextlib.ExitStack() as ends:
        for stack in stacks:
            ends.callback(stack.close)
            ends.callback(stack.end_and_check)


@pytest.fixture
def observe() -> Iterator[Callable[..., Observer]]:
    """observe(namespace, domain=DOMAIN) -> an Observer of a node in a process of its own; it checks at the end."""
    observers: list[Observer] = []

    def make(namespace: str, domain: int = DOMAIN, **arguments: Any) -> Observer:
        observers.append(Observer(namespace, domain, **arguments))
        return observers[-1]

    yield make
    with contextlib.ExitStack() as ends:
        for observer in observers:
            ends.callback(observer.close)
            ends.callback(observer.check)
