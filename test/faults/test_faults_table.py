# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""docs/reliability.md says what the cases say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faults import GROUPS, Fault
from table import PAGE, render, written


def test_the_page_holds_the_table_of_the_cases() -> None:
    """In a process of its own: a run of one file has collected nothing else."""
    script = Path(__file__).with_name("table.py")
    run = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(run.stdout.split()[-2]) >= 60


def test_a_group_has_its_section() -> None:
    table = render([Fault("a|b", GROUPS[1], "c", "d"), Fault("e", GROUPS[0], "f", "g")])
    assert table.index(f"### {GROUPS[0]}") < table.index(f"### {GROUPS[1]}") and "| a\\|b | c | d |" in table
    assert table.startswith("2 cases.") and written(PAGE.read_text(encoding="utf-8")) != table


@pytest.mark.parametrize("texts", [("", "n", "p"), ("f", "two\nlines", "p"), ("f", "n", " ")])
def test_a_fault_without_a_text_is_refused(texts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="expected one line"):
        Fault(texts[0], GROUPS[0], texts[1], texts[2])


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match="is not one of Camera"):
        Fault("f", "Weather", "n", "p")
