# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading DATA.jsonl and predictions.jsonl, bad lines above all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.evaluation.dataset import (
    DatasetError,
    Prediction,
    match,
    read_dataset,
    read_predictions,
)
from llavaseg_ros.images import write_mask, write_rgb
from llavaseg_ros.types import Attributes

GOOD: dict[str, Any] = {"image": "a.png", "command": "the mug", "mask": "a_1.png", "target": "red mug"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rgb(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    write_mask(tmp_path / "a_1.png", np.ones((8, 8), bool))
    return tmp_path


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def test_good_lines(folder: Path) -> None:
    absent = {"image": "a.png", "command": "the banana", "mask": None, "target": None, "kind": "absent"}
    full = {**GOOD, "kind": "name", "phrasing": "held_out", "id": "x-7", "attributes": {"color": "red"}}
    first, second, third = read_dataset(write(folder, GOOD, "", absent, full), need_truth=True)
    assert first.image_path == folder / "a.png"
    assert first.mask_path == folder / "a_1.png"
    assert (first.target, first.kind, first.line) == ("red mug", "", 1)
    assert (second.mask_path, second.target, second.kind, second.line) == (None, None, "absent", 3)
    assert (third.id, third.phrasing, third.attributes) == ("x-7", "held_out", Attributes(color="red"))


def test_questions_and_what_training_never_showed(folder: Path) -> None:
    expected = {"kind": "objects", "value": ["red mug"]}
    question = {"image": "a.png", "command": "what is there", "mask": None, "kind": "question", "expected": expected}
    finer = {**question, "meaning": ["question", "beside", "", ""], "answer": "A red mug."}
    flags = {**GOOD, "held_out_pair": False, "held_out_category": True}
    first, second, third = read_dataset(write(folder, question, finer, flags), need_truth=True)
    assert (first.expected, first.asks, second.asks, second.answer) == (expected, "objects", "beside", "A red mug.")
    assert (third.held_out_pair, third.held_out_category, third.asks) == (False, True, "")
    assert first.held_out_pair is None


def test_commands_without_truth_are_enough_for_predict(folder: Path) -> None:
    path = write(folder, {"image": "a.png", "command": "the mug"})
    assert not read_dataset(path)[0].has_truth
    with pytest.raises(DatasetError, match='line 1: "mask" is missing'):
        read_dataset(path, need_truth=True)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "expected a JSON object, got list"),
        ({"command": "the mug"}, '"image" is missing'),
        ({"image": "a.png"}, '"command" is missing'),
        ({**GOOD, "command": "  "}, '"command": expected a text that is not empty'),
        ({**GOOD, "command": 3}, '"command": expected a text that is not empty, got 3'),
        ({**GOOD, "image": "b.png"}, '"image": no such file'),
        ({**GOOD, "mask": "b.png"}, '"mask": no such file'),
        ({**GOOD, "mask": ""}, '"mask": expected a text that is not empty, or null'),
        ({**GOOD, "target": ["mug"]}, '"target": expected a text'),
        ({**GOOD, "attributes": "red"}, '"attributes": expected an object'),
        ({**GOOD, "attributes": {"color": 3}}, '"color": expected a text, got 3'),
        ({**GOOD, "held_out_pair": "no"}, '"held_out_pair": expected true, false or null'),
        ({**GOOD, "expected": {"kind": "count"}}, '"expected": expected an object with kind and value'),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: Any, text: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_dataset(write(folder, GOOD, line), need_truth=True)
    assert "data.jsonl line 2: " in str(caught.value)
    assert text in str(caught.value)


def test_all_bad_lines_are_listed_at_once_up_to_ten(folder: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read_dataset(write(folder, *["{"] * 12, GOOD))
    text = str(caught.value)
    assert "line 1:" in text
    assert "line 10:" in text
    assert "line 11:" not in text
    assert "2 more lines" in text


def test_files_that_are_no_data(folder: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_dataset(folder / "missing.jsonl")
    with pytest.raises(DatasetError, match="no lines"):
        read_dataset(write(folder, "", "  "))
    binary = folder / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_dataset(binary)


def test_predictions_come_back_as_they_were_written(folder: Path) -> None:
    attributes = Attributes("red", "cylinder", "front left")
    found = Prediction("a.png", "the mug", "Here.", "red mug", attributes, True, 0.75, "a_1.png", 0.5)
    failed = Prediction("a.png", "the mug", error="no reply")
    assert list(found.as_json()) == [
        "image", "command", "answer", "target", "attributes", "found", "score", "mask", "seconds",
    ]  # fmt: skip
    path = write(folder, found.as_json(), failed.as_json())
    assert read_predictions(path) == [found, failed]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"found": "yes"}, '"found": expected true or false'),
        ({"score": 1.5}, '"score": expected a number from 0 to 1'),
        ({"seconds": -1}, '"seconds": expected a number'),
        ({"mask": "gone.png"}, '"mask": no such file'),
    ],
)
def test_bad_predictions_are_named(folder: Path, change: dict[str, Any], text: str) -> None:
    row = {**Prediction("a.png", "the mug").as_json(), **change}
    with pytest.raises(DatasetError) as caught:
        read_predictions(write(folder, row))
    assert "line 1" in str(caught.value)
    assert text in str(caught.value)


def test_predictions_of_other_data_are_refused(folder: Path) -> None:
    samples = read_dataset(write(folder, GOOD, {**GOOD, "command": "the cup"}))
    right = [Prediction("a.png", "the mug"), Prediction("a.png", "the cup")]
    match(samples, right)
    with pytest.raises(DatasetError, match="1 predictions for 2 commands"):
        match(samples, right[:1])
    with pytest.raises(DatasetError, match="data line 1.*'the cup'.*'the mug'"):
        match(samples, right[::-1])
