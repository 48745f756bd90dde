# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg bench`: the real models once, and its edges around a stand-in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from llavaseg_ros.bench import run as bench
from llavaseg_ros.cli import _args
from llavaseg_ros.cli import main as cli


def test_the_embedded_default_gives_the_same_answers_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", bench.Plan(rounds=1, growth=0, commands=0, frames=0))
    path = tmp_path / "new" / "bench.json"
    assert cli.main(["bench", "--quick", "--device", "cpu", "--json", str(path)]) == 0
    said = capsys.readouterr()
    report = json.loads(path.read_text())
    assert [p.name for p in path.parent.iterdir()] == ["bench.json"]
    same = report["same"]
    assert same["equal"] == same["replies"] == 5 and same["masks"] == 4 and same["lowest_iou"] >= 0.99
    assert all(row["ratio"] > 0 for row in report["figures"]) and not report["failed"]
    assert report["model"]["mllm"]["decoding"] != "transformers"
    # Both said the same tokens.
    counts = {name: sorted(tokens for tokens, _ in replies) for name, replies in report["replies"].items()}
    assert counts["plain"] == counts["ours"] and min(counts["ours"]) > 1
    assert "first command on a frame" in said.out and "5 of 5 answers the same" in said.out.splitlines()[-1]
    assert "round 1 of 1" in said.err and "round" not in said.err.splitlines()[-1]


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """No model; what `run` was called with."""
    called: dict[str, Any] = {}

    def run(model: Any, name: str, plan: bench.Plan, told: Any) -> dict[str, Any]:
        told("round 1 of 1")
        called.update(name=name, plan=plan)
        if error := called.get("error"):
            raise error
        return {"report": name}

    monkeypatch.setattr(_args, "load_model", lambda args: called.update(loaded=args.mode))
    monkeypatch.setattr(bench, "run", run)
    monkeypatch.setattr("llavaseg_ros.bench.figures.text", lambda report: f"page of {report['report']}")
    return called


def test_plans_and_files(canned: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--model", "paper_7b"]) == 0
    assert canned["plan"] == bench.Plan() and canned["name"] == "paper_7b" and canned["loaded"] == "cot"
    assert capsys.readouterr().out == "page of paper_7b\n"
    path = tmp_path / "bench.json"
    path.write_text("old")
    assert cli.main(["bench", "--quick", "--json", str(path)]) == 0
    assert canned["plan"] == bench.QUICK and json.loads(path.read_text()) == {"report": "default"}
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (RuntimeError("broken"), 1)])
def test_a_run_that_ends_early_leaves_the_old_file(
    canned: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    path = tmp_path / "bench.json"
    path.write_text("old")
    canned["error"] = error
    assert cli.main(["bench", "--json", str(path)]) == code
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err


def test_a_file_that_cannot_be_written_is_found_first(
    canned: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    places = [tmp_path / "file" / "bench.json"] + [Path("/proc/bench.json")] * (sys.platform == "linux")
    for place in places:
        assert cli.main(["bench", "--json", str(place)]) == 1
        message = capsys.readouterr().err
        assert message.startswith("llavaseg bench: ") and str(place.parent) in message and "Traceback" not in message
        assert len(message.splitlines()) == 1
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", "--json", str(tmp_path)])
    assert caught.value.code == 2 and "is not a file" in capsys.readouterr().err
    assert "loaded" not in canned


def test_an_unknown_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bench.json"
    assert cli.main(["bench", "--model", "no_such", "--json", str(path)]) == 1
    assert "model: got 'no_such', expected one of default, " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
