# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""config/node.yaml says what the node declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

from llavaseg_ros.nodes.parameter_table import SPECS

DEFAULT = Path(__file__).resolve().parents[2] / "config" / "node.yaml"


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"sync": {"ring_size": 10}} -> {"sync.ring_size": 10}"""
    values: dict[str, Any] = {}
    for name, value in tree.items():
        values.update(flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return values


def test_default_yaml_is_the_declared_defaults() -> None:
    written = flat(yaml.safe_load(DEFAULT.read_text())["/**"]["ros__parameters"])
    assert written == {spec.name: spec.default for spec in SPECS}
    # rclpy refuses an integer where a double was declared: 1 and 1.0 are equal, but not the same.
    assert {name: type(value) for name, value in written.items()} == {spec.name: type(spec.default) for spec in SPECS}
