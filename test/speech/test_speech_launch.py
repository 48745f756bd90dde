# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""launch/speech.launch.py. Skipped where `launch` is missing: it comes with a ROS 2 distribution, not from PyPI."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros.actions", reason="needs a ROS 2 distribution: launch_ros is not on PyPI")

from llavaseg_ros.nodes.speech_command import SPECS


def test_every_argument_is_a_parameter_of_the_node() -> None:
    path = Path(__file__).resolve().parents[2] / "launch" / "speech.launch.py"
    spec = importlib.util.spec_from_file_location("speech_launch", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    declared = {argument.name for argument in module.generate_launch_description().get_launch_arguments()}
    assert declared == {"namespace", *module.PARAMETER_ARGUMENTS}
    assert set(module.PARAMETER_ARGUMENTS) <= {spec.name for spec in SPECS}
