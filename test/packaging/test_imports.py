# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Imports run one way: nodes -> ros -> core."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "llavaseg_ros"
ROS_PACKAGES = ("rclpy", "std_msgs", "sensor_msgs", "geometry_msgs", "builtin_interfaces", "diagnostic_msgs")
GENERATED = ("llavaseg_ros.msg", "llavaseg_ros.srv", "llavaseg_ros.action")
CORE = (
    "reasoning", "segmentation", "geometry", "grasping", "simulation", "speech", "training", "datasets", "evaluation",
    "bench", "view",
)  # fmt: skip
# Above the nodes: they start them, or work as they do.
APPLICATIONS = ("cli", "demo", "pick", "bags", "bridges")


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def core_files() -> list[Path]:
    folders = [path for folder in CORE for path in (MODULE / folder).rglob("*.py")]
    return [*MODULE.glob("*.py"), *folders]


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(MODULE)))
def test_the_core_knows_no_ros(path: Path) -> None:
    above = (*ROS_PACKAGES, *GENERATED, "llavaseg_ros.ros", "llavaseg_ros.nodes")
    above += tuple(f"llavaseg_ros.{name}" for name in APPLICATIONS if path.name != "__main__.py")
    free = ("llavaseg_ros.demo.bag_reader",)  # reads files
    assert not [name for name in imported(path) if within(name, above) and not within(name, free)]


def test_the_ros_layer_knows_no_node() -> None:
    above = ("llavaseg_ros.nodes", *(f"llavaseg_ros.{name}" for name in APPLICATIONS))
    for path in (MODULE / "ros").rglob("*.py"):
        assert not [name for name in imported(path) if within(name, above)], path.name


def test_every_folder_has_its_place() -> None:
    known = {*CORE, *APPLICATIONS, "ros", "nodes", "weights"}
    assert {path.name for path in MODULE.iterdir() if path.is_dir() and path.name != "__pycache__"} == known


WITHOUT_ROS = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r} or name in {generated!r}:
            raise ModuleNotFoundError("no ROS here: " + name, name=name)

sys.meta_path.insert(0, Refuse())
from llavaseg_ros.cli.main import VERBS, main
for words in (["--help"], *([verb, "--help"] for verb in VERBS), ["train", "scenes", "--help"]):
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    assert code == 0, words
assert "rclpy" not in sys.modules
"""


def test_the_command_line_works_without_ros() -> None:
    code = WITHOUT_ROS.format(packages=set(ROS_PACKAGES), generated=set(GENERATED))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr
