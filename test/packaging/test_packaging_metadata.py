# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Version, licence and package data agree wherever they are written down."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import yaml

import llavaseg_ros

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def test_one_version() -> None:
    declared = re.search(r'^version = "(.+)"$', PYPROJECT, re.M)
    assert declared
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == declared[1] == llavaseg_ros.__version__


def test_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert ElementTree.parse(ROOT / "package.xml").findtext("license") == "Apache-2.0"
    assert 'license = "Apache-2.0"' in PYPROJECT


def test_torch_is_not_pinned_by_the_package_and_is_the_cpu_build_in_the_constraints() -> None:
    # To run, and to train (Muon).
    assert re.findall(r'"(torch[^"]*)"', PYPROJECT) == ["torch>=2.4", "torch>=2.9"]
    assert re.search(r"^torch==[\d.]+\+cpu$", (ROOT / "constraints.txt").read_text(), re.M)


def test_cmake_interface_packages_are_dependencies_of_the_ros_package() -> None:
    listed = re.search(r"set\(interface_packages ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())
    assert listed
    depends = {element.text for element in ElementTree.parse(ROOT / "package.xml").findall("depend")}
    assert depends == set(listed[1].split())


def test_data_files_are_inside_the_module() -> None:
    """Everything in llavaseg_ros/ is installed by both builds; these are read at run time and must be there."""
    module = ROOT / "llavaseg_ros"
    for pattern in (
        "reasoning/prompts/*.yaml",
        "training/data/*.yaml",
        "datasets/data/*.yaml",
        "evaluation/data/*.yaml",
    ):
        files = list(module.glob(pattern))
        assert files, pattern
        for path in files:
            assert yaml.safe_load(path.read_text()), path
