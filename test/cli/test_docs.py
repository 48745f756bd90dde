# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The documentation and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llavaseg_ros.cli.main import VERBS
from llavaseg_ros.cli.train import STAGES
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.evaluation.names import LOCATIONS
from llavaseg_ros.nodes.parameter_table import SPECS
from llavaseg_ros.places import LOCATIONS as PLACES
from llavaseg_ros.ros.outputs import TOPICS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_lists_every_parameter_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+?) \|", README, re.MULTILINE))
    for spec in SPECS:
        default = str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default)
        assert rows.get(spec.name) == (default or '""'), spec.name


def test_readme_lists_every_error() -> None:
    rows = {(int(n), name) for n, name in re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", README, re.MULTILINE)}
    assert rows == {(int(code), code.name) for code in ErrorCode}


def test_readme_lists_every_output() -> None:
    for topic in TOPICS:
        assert f"`~/{topic}`" in README


def test_documentation_names_every_verb_and_stage() -> None:
    training = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"llavaseg {verb}" in README or f"make {verb}" in README, verb
    for stage in STAGES:
        assert f"train {stage}" in training, stage


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *(
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
)])  # fmt: skip
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert ((ROOT / page).parent / target).exists(), target


def test_the_report_knows_the_places_of_the_catalog() -> None:
    assert [name for row in PLACES for name in row] == list(LOCATIONS)
