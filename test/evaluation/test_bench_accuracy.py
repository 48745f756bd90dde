# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The accuracy benchmark: true words, and figures that two halves give when they are put together."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.evaluation.dataset import DatasetError, read_dataset, write_jsonl
from llavaseg_ros.images import write_mask, write_rgb
from llavaseg_ros.types import Attributes, Result, Segment, Thought

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_accuracy.py"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench_accuracy", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules["bench_accuracy"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_accuracy"]


def square(x: int) -> np.ndarray:
    mask = np.zeros((20, 40), bool)
    mask[5:15, x : x + 10] = True
    return mask


class ScriptedModel:
    """Says "red mug" and finds it with true words; without its true place the mask is half off."""

    def set_image(self, rgb: np.ndarray) -> None:
        pass

    def segment(self, command: str) -> Result:
        if "absent" in command:
            return Result(command, Thought("pen"), "", False, (), 0.1, {})
        return self.segment_thought(Thought("red mug", Attributes("red", "", "left"), found=True))

    def segment_thought(self, thought: Thought) -> Result:
        mask = square({"left": 0, "": 5}.get(thought.attributes.location, 20))
        return Result("", thought, "", True, (Segment(mask, 0.75, (0, 0, 1, 1)),), 0.9, {})


def measure(bench: Any, folder: Path, name: str, rows: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    write_jsonl(folder / f"{name}.jsonl", rows)
    samples = read_dataset(folder / f"{name}.jsonl", need_truth=True)
    entries = bench.measure(ScriptedModel(), samples, folder / name)
    # Through text, as --json and --merge do it.
    return name, json.loads(json.dumps(bench.as_json({"model": "m", "mode": "fast"}, entries)))


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    write_rgb(tmp_path / "a.png", np.zeros((20, 40, 3), np.uint8))
    write_mask(tmp_path / "m.png", square(0))
    write_mask(tmp_path / "n.png", square(5))
    mug = {"image": "a.png", "target": "red mug", "attributes": {"location": "left"}, "held_out_pair": False}
    return [
        {**mug, "mask": "m.png", "command": "the mug", "kind": "name", "phrasing": "known"},
        {**mug, "mask": "m.png", "command": "again", "kind": "use", "phrasing": "known"},
        {**mug, "mask": "n.png", "command": "other", "kind": "name", "phrasing": "held_out", "held_out_pair": True},
        {"image": "a.png", "mask": None, "target": "pen", "command": "absent", "kind": "absent"},
    ]


def test_true_words_are_measured_once_a_target(bench: Any, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    _, part = measure(bench, tmp_path, "all", rows)
    found = [command["true_words"] for command in part["commands"]]
    assert found[0] == {"true attributes": 1.0, "without location": pytest.approx(1 / 3), "wrong location": 0.0}
    assert found[1] is None
    assert found[2]["without location"] == 1.0
    assert found[3] is None
    assert part["true_words"]["all"]["true attributes"]["value"] == pytest.approx((1 + 1 / 3) / 2, abs=1e-5)
    apart = part["true_words"]["held-out color of category"]["true attributes"]
    assert (apart["value"], apart["count"]) == (pytest.approx(1 / 3, abs=1e-5), 1)


def test_halves_put_together_give_the_figures_of_the_whole(
    bench: Any, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    _, whole = measure(bench, tmp_path, "whole", rows)
    halves = [measure(bench, tmp_path, "a", rows[:1]), measure(bench, tmp_path, "b", rows[1:])]
    merged = json.loads(json.dumps(bench.as_json(*bench.merge(halves))))
    for part in (whole, merged):
        for command in part["commands"]:
            del command["score"]["seconds"]
        for summary in (part["all"], *(s for group in part["by"].values() for s in group.values())):
            del summary["median_seconds"]
    # The second command's target had its turn in the first half: its figure is not counted twice.
    assert merged == whole
    assert "mIoU of the segmentation half" in bench.show(*bench.merge(halves))


def test_parts_that_do_not_belong_together_are_refused(bench: Any, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    a, b = measure(bench, tmp_path, "a", rows[:2]), measure(bench, tmp_path, "b", rows[1:])
    with pytest.raises(DatasetError, match="b: 'again' on .*a.png is in a too"):
        bench.merge([a, b])
    with pytest.raises(DatasetError, match="settings .*cot"):
        bench.merge([a, ("c", {**b[1], "settings": {"model": "m", "mode": "cot"}})])
    with pytest.raises(DatasetError, match="c: not written by this version"):
        bench.merge([("c", {"figures": {}})])


def test_merging_from_the_command_line(
    bench: Any,
    tmp_path: Path,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, part in (measure(bench, tmp_path, "a", rows[:2]), measure(bench, tmp_path, "b", rows[2:])):
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    files = [str(tmp_path / f"{name}.json") for name in "ab"]
    monkeypatch.setattr(sys, "argv", ["bench", "--merge", *files, "--json", str(tmp_path / "c.json")])
    bench.main()
    assert "4 commands on 1 images; model m, mode fast" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["all"]["commands"] == 4
    monkeypatch.setattr(sys, "argv", ["bench"])
    with pytest.raises(SystemExit):
        bench.main()
