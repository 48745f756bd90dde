# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every node says to `--help`, and to an argument that is none."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

import llavaseg_ros.nodes

NODES = sorted(
    path.stem for path in Path(llavaseg_ros.nodes.__file__).parent.glob("*.py") if "run_node(" in path.read_text()
)


@pytest.fixture(autouse=True)
def no_camera_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "")  # else the nodes with cameras set it for good


def test_there_are_nodes() -> None:
    assert {"llavaseg_node", "demo_player", "viewer", "speech_command"} <= set(NODES)


@pytest.mark.parametrize("name", NODES)
def test_help_tells_parameters_and_starts_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"llavaseg_ros.nodes.{name}")
    assert module.main(["--ros-args", "-p", "x:=1", "--", "--help"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(module.__doc__.strip().splitlines()[0]) and not said.err
    assert len(module.SPECS) > 1
    for spec in module.SPECS:
        assert f"  {spec.name} ({spec.default!r}): {spec.text}" in said.out


@pytest.mark.parametrize("name", NODES)
def test_an_argument_that_is_none_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"llavaseg_ros.nodes.{name}")
    assert module.main(["--rate", "5"]) == 2
    said = capsys.readouterr()
    assert "'--rate' is no argument of this node" in said.err and "--help" in said.err and "--ros-args" in said.err
    assert not said.out


def test_a_ros_argument_that_cannot_be_read_is_told() -> None:
    command = [sys.executable, "-m", "llavaseg_ros.nodes.demo_player", "--ros-args", "-p", "rate_hz=5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "rate_hz=5" in done.stderr
