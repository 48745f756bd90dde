# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The mutation tool itself: it kills what a test notices, and reports what none does."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from mutants import mutants_of
from run import RESULTS, told_before, unexplained, with_others

MODULE = '''"""A toy."""

import logging

log = logging.getLogger(__name__)
LIMIT = 3


def clamp(value: int, low: int = 0) -> int:
    """Between low and LIMIT."""
    log.debug("clamping %d", 1 + value)
    if value < low:
        return low
    return LIMIT if value > LIMIT else value
'''
TESTS = """
from toy import clamp


def test_clamp():
    assert [clamp(value) for value in (-5, 0, 2, 3, 9)] == [0, 0, 2, 3, 3]
"""
RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from forks import test_mutant
from mutants import mutants_of
folder = Path(sys.argv[2])
module = folder / "toy.py"
source, tests = module.read_text(), [str(folder / "test_toy.py")]
ends = {"": test_mutant("toy", module, source, tests, 120.0)}
ends |= {one.key: test_mutant("toy", module, one.tree, tests, 120.0) for one in mutants_of(source)}
ends["broken"] = test_mutant("toy", module, "raise ImportError", tests, 120.0)
ends["endless"] = test_mutant("toy", module, "while True: pass", tests, 1.0)
print(json.dumps(ends))
"""


def test_mutants_are_killed_or_live(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(MODULE)
    (tmp_path / "test_toy.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(HERE), str(tmp_path)], capture_output=True, text=True, timeout=280, check=True
    )
    ends = json.loads(done.stdout.splitlines()[-1])
    assert (ends.pop(""), ends.pop("broken"), ends.pop("endless")) == ("passed", "broken", "timeout")
    assert {key for key, end in ends.items() if end == "passed"} == {
        "clamp: value < low -> value <= low",
        "clamp: value > LIMIT -> value >= LIMIT",
    }
    assert ends["module: 3 -> 4"] == ends["clamp: return low -> return None"] == "failed"


def test_every_operator_makes_its_faults_and_nothing_that_is_only_text() -> None:
    keys = [mutant.key for mutant in mutants_of(MODULE)]
    assert len(keys) == len(set(keys)) and not any("clamping" in key or "__name__" in key for key in keys)
    source = '''def f(a, b, c="x"):
    """Text 1."""
    a.b = min(a, b)
    g(a, b)
    if not a and b is None:
        raise ValueError(f"no {a + 1}")
    return f"{a}" + "x" if a else [b / 2.5, -a, True, ""]
'''
    found = {mutant.key.removeprefix("f: ") for mutant in mutants_of(source)}
    assert found == {
        "'x' -> 'xX'",
        "a.b = min(a, b) -> pass",
        "g(a, b) -> pass",
        "g(a, b) -> g(b, a)",
        "if not a and b is None -> if not (not a and b is None)",
        "not a and b is None -> not a or b is None",
        "not a -> a",
        "b is None -> b is not None",
        "raise ValueError(f'no {a + 1}') -> pass",
        "return f'{a}' + 'x' if a else [b / 2.5, -a, True, ''] -> return None",
        "f'{a}' + 'x' if a else [b / 2.5, -a, True, ''] -> [b / 2.5, -a, True, ''] if a else f'{a}' + 'x'",
        "'x' -> 'xX' #2",
        "b / 2.5 -> b * 2.5",
        "2.5 -> 6.0",
        "-a -> a",
        "True -> False",
        "'' -> 'X'",
    }
    for mutant in mutants_of(source):
        assert ast.unparse(mutant.tree) != ast.unparse(ast.parse(source)), mutant.key
        compile(mutant.tree, "f", "exec")


def test_a_sample_does_not_tell_what_was_killed() -> None:
    last = {"modules": {"a": {"sample": 1, "killed": 9}, "b": {"sample": 7, "killed": 9}}}
    assert told_before(last, "a") == {"sample": 1, "killed": 9}
    assert told_before(last, "b") == told_before(last, "c") == told_before(None, "a") == {}


def test_modules_that_did_not_run_stay_and_count() -> None:
    def result(seconds: int, **killed: int) -> dict[str, Any]:
        modules = {file: {"mutants": 10, "killed": count, "timeouts": 1} for file, count in killed.items()}
        return {"seconds": seconds, "modules": modules}

    both = with_others(result(5, b=9), result(70, a=8, b=2, gone=1), ["a", "b", "c"])
    assert [(file, module["killed"]) for file, module in both["modules"].items()] == [("a", 8), ("b", 9)]
    assert {name: both[name] for name in ("mutants", "killed", "timeouts", "seconds")} == {
        "mutants": 20,
        "killed": 17,
        "timeouts": 2,
        "seconds": 5,
    }
    assert with_others(result(5, a=9), None, ["a"])["killed"] == 9


def test_every_survivor_of_the_last_run_has_its_reason_and_enough_were_killed() -> None:
    yaml = pytest.importorskip("yaml")
    results = json.loads(RESULTS.read_text())
    reasons = yaml.safe_load((HERE / "survivors.yaml").read_text())
    assert not unexplained(results, reasons)
    targets = yaml.safe_load((HERE / "targets.yaml").read_text())
    assert results.keys() == targets.keys()
    for group, modules in targets.items():
        assert results[group]["modules"].keys() == modules.keys()
        assert results[group]["killed"] >= 0.85 * results[group]["mutants"] > 0, group
