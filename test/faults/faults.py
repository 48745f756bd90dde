# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a case of the fault suite is: something that breaks, what the node does, and what a planner sees.

    @fault("camera stops", group="Camera", node="...", planner="...")
    def test_camera_stops(make_stack): ...

The three texts go into the table of docs/reliability.md (`python test/faults/table.py` writes it, a test holds the page
equal). In a parametrized test each parameter that is a fault of its own carries its texts:

    @pytest.mark.parametrize("size", [pytest.param(0, marks=fault("zero size", group="Camera", ...), id="zero")])

A file of cases must be collected everywhere, or the table would differ from machine to machine: skip inside the test or
by `pytest.mark.skipif`, not by `pytest.importorskip` on the level of the module.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

GROUPS = (
    "Camera",
    "Depth and calibration",
    "Clock",
    "Commands",
    "Clients",
    "Parameters",
    "Lifecycle",
    "Model",
    "Watchdog",
    "Diagnostics",
    "Memory",
    "Language model server",
    "Bundles",
    "Processes",
    "Disk",
)
"""The order of the table."""


@dataclass(frozen=True)
class Fault:
    """One line of the table. name: what is broken. node: what it does. planner: what stands on the topics."""

    name: str
    group: str
    node: str
    planner: str

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ValueError(f"fault {self.name!r}: group {self.group!r} is not one of {', '.join(GROUPS)}")
        for field in ("name", "node", "planner"):
            text = getattr(self, field)
            if not text.strip() or "\n" in text:
                raise ValueError(f"fault {self.name!r}: {field} is {text!r}; expected one line")


def fault(name: str, *, group: str, node: str, planner: str) -> pytest.MarkDecorator:
    """A mark that carries the texts of a case. Raises ValueError for an unknown group, or an empty text."""
    return pytest.mark.fault(Fault(name, group, node, planner))
