# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `ask`, `predict` and `evaluate` print and write around a scripted model; `ask` with the real one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.bundle import default_bundle
from llavaseg_ros.cli import _args
from llavaseg_ros.cli import main as cli
from llavaseg_ros.demo.bag_reader import read_frames
from llavaseg_ros.errors import BadReply
from llavaseg_ros.evaluation.dataset import write_jsonl
from llavaseg_ros.images import read_mask, read_rgb, write_mask, write_rgb
from llavaseg_ros.types import Attributes, Result, Segment, Stage, Thought

BOX = np.zeros((40, 60), bool)
BOX[10:30, 20:40] = True


class BoxModel:
    """Finds the box for "mug", nothing for "banana", answers "how many?", and cannot reply to "mumble"."""

    def set_image(self, rgb: np.ndarray) -> None:
        assert rgb.shape == (40, 60, 3)

    def segment(self, command: str, **_: Any) -> Result:
        if "mumble" in command:
            raise BadReply("the reply could not be read", raw="hmpf")
        seconds = {"encode": 0.1, "reason": 0.2, "segment": 0.3}
        if command == "how many?":
            return Result(command, Thought(answer="Three."), "Three.", False, (), 0.0, seconds)
        found = "mug" in command
        words = Attributes("red", "", "left")
        thought = Thought("red mug" if found else "banana", words if found else Attributes(), found=found)
        segments = (Segment(BOX, 0.9, (20, 10, 20, 20)),) if found else ()
        return Result(command, thought, "Here." if found else "No banana.", found, segments, 0.9, seconds)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(_args, "load_model", lambda args: BoxModel())
    path = tmp_path / "photo.png"
    write_rgb(path, np.full((40, 60, 3), 90, np.uint8))
    yield path


@pytest.fixture
def data(photo: Path) -> Path:
    write_mask(photo.parent / "m.png", BOX)
    rows: list[dict[str, Any]] = [
        {"image": "photo.png", "command": "the mug", "mask": "m.png", "target": "red mug", "kind": "name"},
        {"image": "photo.png", "command": "the banana", "mask": None, "target": None, "kind": "absent"},
        {"image": "photo.png", "command": "mumble", "mask": "m.png", "target": "red mug", "kind": "name"},
    ]
    write_jsonl(photo.parent / "data.jsonl", rows)
    return photo.parent / "data.jsonl"


def test_ask_prints_and_draws(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = photo.parent / "out"
    assert cli.main(["ask", str(photo), "the mug", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == "Here."
    assert "red mug (score 0.90)" in text
    assert str(out / "photo_overlay.png") in text
    assert np.array_equal(read_mask(out / "photo_mask.png"), BOX)
    overlay = read_rgb(out / "photo_overlay.png")
    assert overlay.shape == (40, 60, 3)
    assert (overlay[15:25, 25:35] != 90).any()


def test_ask_without_a_target_leaves_no_old_mask(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(photo.parent / "out")]
    assert cli.main(["ask", str(photo), "the mug", *out]) == 0
    assert cli.main(["ask", str(photo), "the banana", *out]) == 0
    assert not read_mask(photo.parent / "out" / "photo_mask.png").any()
    assert "banana: not found" in capsys.readouterr().out
    assert cli.main(["ask", str(photo), "how many?", *out]) == 0
    assert "this is a question" in capsys.readouterr().out


def test_ask_as_json(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", str(photo), "the mug", "--json", "--out", str(photo.parent)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["target"] == "red mug"
    assert row["attributes"] == {"color": "red", "shape": "", "location": "left"}
    assert (row["found"], row["score"], row["roi"], row["area_px"]) == (True, 0.9, [20, 10, 20, 20], 400)
    assert row["seconds"] == {"encode": 0.1, "reason": 0.2, "segment": 0.3}


def test_ask_tells_what_the_model_thinks(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def thinking(self: BoxModel, command: str, *, on_progress: Any) -> Result:
        on_progress(Stage.REASONING, "a" * 200)
        on_progress(Stage.SEGMENTING, "")
        result = plain(self, command)
        return replace(result, thought=replace(result.thought, raw=("it is red", "target: red mug")))

    plain = BoxModel.segment
    monkeypatch.setattr(BoxModel, "segment", thinking)
    ask = ["ask", str(photo), "the mug", "--verbose", "--out", str(photo.parent)]
    assert cli.main(ask) == 0
    told = capsys.readouterr().err
    assert "reply 1: it is red\n" in told and "reply 2: target: red mug\n" in told
    assert "aaa" not in told, "no line that grows, where nobody sees it grow"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(ask) == 0
    told = capsys.readouterr().err
    assert f"{Stage.REASONING.value}: {'a' * 100}" in told and "a" * 101 not in told


def test_ask_shows_an_unreadable_reply(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", str(photo), "mumble", "--out", str(photo.parent)]) == 1
    assert "hmpf" in capsys.readouterr().err


def test_predict_then_evaluate_its_predictions(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data.parent / "out"
    assert cli.main(["predict", str(data), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "3 commands, 1 with a mask" in said.out
    assert "1 commands failed" in said.err
    predictions = out / "predictions.jsonl"
    page = data.parent / "page"
    assert cli.main(["evaluate", str(data), "--predictions", str(predictions), "--out", str(page)]) == 0
    figures = json.loads((page / "metrics.json").read_text())["all"]
    assert figures["giou"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["right_target"]["value"] == 0.5
    assert figures["absent_accuracy"]["value"] == 1.0
    assert (page / "report.html").read_text().count("<img") >= 3
    assert "right target" in capsys.readouterr().out


def test_evaluate_predicts_by_itself(data: Path) -> None:
    out = data.parent / "out"
    assert cli.main(["evaluate", str(data), "--out", str(out), "--limit", "2", "--pictures", "1"]) == 0
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 2
    assert json.loads((out / "metrics.json").read_text())["all"]["giou"]["value"] == 1.0


def test_evaluate_takes_several_files_and_as_many_predictions(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = data.read_text().splitlines(keepends=True)
    argv, predictions = ["evaluate"], []
    for number, part in enumerate((lines[:1], lines[1:])):
        path, out = data.parent / f"{number}.jsonl", data.parent / f"out{number}"
        path.write_text("".join(part))
        assert cli.main(["predict", str(path), "--out", str(out)]) == 0
        argv.append(str(path))
        predictions.append(str(out / "predictions.jsonl"))
    page = data.parent / "page"
    assert cli.main([*argv, "--predictions", *predictions, "--out", str(page)]) == 0
    figures = json.loads((page / "metrics.json").read_text())["all"]
    assert figures["commands"] == 3
    assert figures["giou"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert cli.main([*argv, "--predictions", predictions[0], "--out", str(page)]) == 1
    assert "1 files of predictions for 2 of data" in capsys.readouterr().err


def test_predict_fails_when_every_command_failed(data: Path) -> None:
    data.write_text(data.read_text().splitlines()[2] + "\n")
    assert cli.main(["predict", str(data), "--out", str(data.parent / "out")]) == 1


def test_predictions_of_other_data_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data.parent / "out"
    assert cli.main(["predict", str(data), "--out", str(out), "--limit", "1"]) == 0
    argv = ["evaluate", str(data), "--predictions", str(out / "predictions.jsonl"), "--out", str(out)]
    assert cli.main(argv) == 1
    assert "1 predictions for 3 commands" in capsys.readouterr().err


def test_ask_with_the_embedded_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (default_bundle() / "bundle.json").is_file(), "the embedded default is part of the repository"
    path = tmp_path / "table.png"
    rgb = next(read_frames()).rgb
    write_rgb(path, rgb)
    assert (
        cli.main(["ask", str(path), "Hand me the red mug.", "--json", "--device", "cpu", "--out", str(tmp_path)]) == 0
    )
    row = json.loads(capsys.readouterr().out)
    assert row["answer"]
    assert row["target"]
    assert set(row["seconds"]) == {"encode", "reason", "segment"}
    mask = read_mask(row["mask"])
    assert mask.shape == rgb.shape[:2]
    assert int(mask.sum()) == row["area_px"]
    assert bool(row["area_px"]) == row["found"]
    assert read_rgb(row["overlay"]).shape == rgb.shape
