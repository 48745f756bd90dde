# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a model to a page: the runner, the scores of its files, and what the page shows."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from llavaseg_ros.errors import BadReply, Cancelled
from llavaseg_ros.evaluation.dataset import DatasetError, Sample, read_dataset, read_predictions, write_jsonl
from llavaseg_ros.evaluation.metrics import Score, score_masks
from llavaseg_ros.evaluation.predict import predict
from llavaseg_ros.evaluation.report import write_report
from llavaseg_ros.evaluation.scoring import Row, score_all
from llavaseg_ros.evaluation.tables import groups, metrics, text_table, write_json
from llavaseg_ros.images import read_mask, write_mask, write_rgb
from llavaseg_ros.types import Attributes, Result, Segment, Thought

HEIGHT, WIDTH = 30, 40


def square(x: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, x : x + 10] = True
    return mask


class ScriptedModel:
    """Says what the test tells it to, in order, and counts the images."""

    def __init__(self, replies: Sequence[Result | Exception]) -> None:
        self.replies = list(replies)
        self.images: list[np.ndarray] = []

    def set_image(self, rgb: np.ndarray) -> None:
        self.images.append(rgb)

    def segment(self, command: str) -> Result:
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def result(target: str, mask: np.ndarray | None, location: str = "", answer: str = "") -> Result:
    thought = Thought(target, Attributes("red", "", location), answer, found=mask is not None)
    segments = () if mask is None else (Segment(mask, 0.9, (0, 0, 1, 1)),)
    return Result("", thought, answer, mask is not None, segments, 0.9, {})


@pytest.fixture
def data(tmp_path: Path) -> list[Sample]:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_rgb(tmp_path / f"{name}.png", rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    write_mask(tmp_path / "m.png", square(10))
    words = {"color": "red", "location": "left"}
    mug: dict[str, Any] = {"image": "a.png", "mask": "m.png", "target": "red mug", "attributes": words}
    none: dict[str, Any] = {"mask": None, "target": None}
    count: dict[str, Any] = {"expected": {"kind": "count", "value": 3}, "answer": "There are three mugs."}
    rows = [
        {**mug, "command": "the mug", "kind": "name", "phrasing": "known", "held_out_pair": True},
        {**mug, "command": "I am <b>thirsty</b>", "kind": "use", "phrasing": "held_out"},
        {**none, "image": "a.png", "command": "the banana", "kind": "absent", "phrasing": "known"},
        {**none, "image": "b.png", "command": "how many?", "kind": "question", "phrasing": "known", **count},
        {**mug, "command": "the cup", "kind": "name", "phrasing": "known"},
    ]
    write_jsonl(tmp_path / "data.jsonl", rows)
    return read_dataset(tmp_path / "data.jsonl", need_truth=True)


@pytest.fixture
def scored(data: list[Sample], tmp_path: Path) -> tuple[ScriptedModel, Path, list[Row]]:
    model = ScriptedModel(
        [
            result("red mug", square(10), "left", "The red mug."),
            result("blue bowl", square(15), "right", "This bowl."),
            result("banana", None, answer="I see no banana."),
            result("", None, answer="There are three."),
            BadReply("the reply could not be read", raw="blah"),
        ]
    )
    out = tmp_path / "out"
    predictions = predict(model, data, out)
    return model, out, score_all(data, predictions, out)


def test_predict_writes_masks_and_lines_in_order(
    scored: tuple[ScriptedModel, Path, list[Row]], data: list[Sample]
) -> None:
    _, out, rows = scored
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [line["command"] for line in lines] == [sample.command for sample in data]
    assert lines[0]["target"] == "red mug"
    assert lines[0]["attributes"] == {"color": "red", "shape": "", "location": "left"}
    assert lines[0]["found"] is True
    assert lines[0]["score"] == 0.9
    assert np.array_equal(read_mask(out / lines[0]["mask"]), square(10))
    assert (lines[2]["found"], lines[2]["mask"], lines[2]["score"]) == (False, None, 0.0)
    assert lines[3]["target"] is None
    assert lines[4]["error"] == "the reply could not be read"
    assert all(line["seconds"] >= 0 for line in lines)
    # What was written says the same as what was returned, up to the rounding of the figures.
    assert [p.as_json() for p in read_predictions(out / "predictions.jsonl")] == [r.prediction.as_json() for r in rows]


def test_an_image_is_encoded_once_for_commands_that_follow_each_other(
    scored: tuple[ScriptedModel, Path, list[Row]],
) -> None:
    assert len(scored[0].images) == 3  # a (three commands), b, a again


def test_an_unreadable_image_is_a_line_and_the_next_one_works(data: list[Sample], tmp_path: Path) -> None:
    data[0].image_path.write_bytes(b"not a picture")
    model = ScriptedModel([result("", None)])
    predictions = predict(model, data[2:4], tmp_path / "out")
    assert "a.png: not a picture" in predictions[0].error
    assert not predictions[1].error


def test_cancel_ends_the_run(data: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        predict(ScriptedModel([Cancelled("stop")]), data, tmp_path / "out")


def test_scores_of_the_files(scored: tuple[ScriptedModel, Path, list[Row]]) -> None:
    ious = [row.score.iou for row in scored[2]]
    assert ious == pytest.approx([1.0, 50 / 150, 1.0, 1.0, 0.0])
    assert [row.score.right_target for row in scored[2]] == [True, False, None, None, False]
    assert [row.score.right_location for row in scored[2]] == [True, False, None, None, False]
    assert [row.score.right_answer for row in scored[2]] == [None, None, None, True, None]
    assert [row.score.confidence for row in scored[2]] == [0.9, 0.9, 0.0, 0.0, 0.0]
    assert [row.score.failed for row in scored[2]] == [False] * 4 + [True]
    assert scored[2][1].score.target == ("red mug", "blue bowl")
    assert scored[2][3].score.asks == "count"


def test_a_mask_of_another_size_is_an_error_that_names_the_line(data: list[Sample], tmp_path: Path) -> None:
    small = Result("", Thought("mug"), "", True, (Segment(np.ones((3, 3), bool), 0.9, (0, 0, 3, 3)),), 0.9, {})
    out = tmp_path / "out"
    predictions = predict(ScriptedModel([small]), data[:1], out)
    with pytest.raises(DatasetError, match=r"data line 1, 'the mug': mask sizes differ.*\[3, 3\].*\[30, 40\]"):
        score_all(data[:1], predictions, out)


def test_an_answer_is_wrong_when_it_says_another_number_or_nothing(data: list[Sample], tmp_path: Path) -> None:
    for reply in (result("", None, answer="There are two."), BadReply("no reply", raw="")):
        rows = score_all(data[3:4], predict(ScriptedModel([reply]), data[3:4], tmp_path), tmp_path)
        assert rows[0].score.right_answer is False


def test_an_expected_answer_of_an_unknown_kind_names_the_line(data: list[Sample], tmp_path: Path) -> None:
    odd = [replace(data[3], expected={"kind": "weight", "value": 3})]
    predictions = predict(ScriptedModel([result("", None, answer="Three.")]), odd, tmp_path)
    with pytest.raises(DatasetError, match=r"data line 4, 'how many\?': .*weight"):
        score_all(odd, predictions, tmp_path)


def test_figures_as_text_and_json(scored: tuple[ScriptedModel, Path, list[Row]], tmp_path: Path) -> None:
    scores = [row.score for row in scored[2]]
    table = text_table(scores)
    assert re.search(r"^gIoU +0\.583 +0\.\d+ to 1\.000 +4$", table, re.MULTILINE)  # (1 + 1/3 + 1 + 0) / 4
    assert re.search(r"^use +1 +0\.000 ", table, re.MULTILINE)
    assert re.search(r"^held out +1 ", table, re.MULTILINE)
    assert re.search(r"^how many +1 +1\.000$", table, re.MULTILINE)
    write_json(tmp_path / "metrics.json", metrics(scores))
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["all"]["giou"]["value"] == 0.58333
    assert found["all"]["right_target"] == {
        "value": 0.33333, "count": 3, "low": 0.06149, "high": 0.79234, "title": "right target",
    }  # fmt: skip
    assert found["by"]["command type"]["absent"]["absent_accuracy"]["value"] == 1.0
    assert found["by"]["command type"]["question"]["giou"]["value"] is None
    assert found["by"]["question"]["how many"]["right_answer"]["value"] == 1.0
    assert found["iou_histogram"] == [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert found["calibration"]["bins"][9]["right"]["count"] == 2
    assert found["confusion"]["names"] == {"true": ["mug"], "said": ["mug", "(other)", "(none)"], "counts": [[1, 1, 1]]}
    assert found["confused_names"] == [["red mug", "", 1], ["red mug", "blue bowl", 1]]


def test_what_training_never_showed_stands_apart() -> None:
    def score(kind: str, pair: bool, category: bool) -> Score:
        mask = square(10)
        return score_masks(mask, mask, kind=kind, held_out_pair=pair, held_out_category=category)

    scores = [score("name", False, False), score("use", True, False), score("name", False, True)]
    found = groups(scores)
    shown = found["what training showed"]
    assert {name: s.commands for name, s in shown.items()} == {
        "held-out category": 1, "held-out color of category": 1, "trained": 1,
    }  # fmt: skip
    assert list(found["command type, of trained things only"]) == ["name"]
    assert "command type, of trained things only" not in groups(scores[:1])


def test_the_page_holds_its_pictures_and_needs_nothing_else(
    scored: tuple[ScriptedModel, Path, list[Row]], tmp_path: Path
) -> None:
    page = tmp_path / "page" / "report.html"
    write_report(page, scored[2], title="A <test>", about="five commands", most=2)
    text = page.read_text(encoding="utf-8")
    images = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]*)"', text)
    # Two best, one absent target refused, one question, one failure.
    assert sorted(alt for _, alt in images) == sorted(
        ["the mug", "I am &lt;b&gt;thirsty&lt;/b&gt;", "the cup", "the banana", "how many?"]
    )
    for data, _ in images:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (HEIGHT, WIDTH, 3)
    assert text.count("<img") == len(images)
    assert not re.search(r"(?:src|href)=\"(?!data:)|<script|<link|@import|url\(", text)
    assert "A &lt;test&gt;" in text
    assert "<b>thirsty</b>" not in text
    for words in ("Names most often wrong", "Locations", "Colors", "By command type", "held out", "calibration error"):
        assert words in text
    assert "0.061 to 0.792" in text  # right target, 1 of 3
    assert "expected:</span> There are three mugs." in text
    assert "expected:</span> red mug · left" in text


def test_the_worst_pictures_are_the_surest_wrong_ones(data: list[Sample], tmp_path: Path) -> None:
    samples = [replace(data[0], command=name) for name in ("good", "far", "sure", "none")]
    replies = [result("red mug", square(x), answer="Here.") for x in (10, 30, 25)]
    replies[2] = replace(replies[2], segments=(replace(replies[2].segments[0], score=0.95),))
    predictions = predict(ScriptedModel([*replies, result("red mug", None)]), samples, tmp_path)
    write_report(tmp_path / "report.html", score_all(samples, predictions, tmp_path), title="t", most=1)
    text = (tmp_path / "report.html").read_text()
    order = [text.index(f"<h2>{title}</h2>") for title in ("Best", "Worst", "There, but refused")]
    shown = [re.findall(r'alt="([^"]*)"', text[a:b]) for a, b in zip(order, [*order[1:], len(text)], strict=True)]
    assert shown == [["good"], ["sure"], ["none"]]


def test_a_page_of_data_without_types_or_names(tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write_jsonl(tmp_path / "data.jsonl", [{"image": "a.png", "command": "x", "mask": None}])
    samples = read_dataset(tmp_path / "data.jsonl", need_truth=True)
    rows = score_all(samples, predict(ScriptedModel([result("x", None)]), samples, tmp_path), tmp_path)
    write_report(tmp_path / "report.html", rows, title="bare")
    text = (tmp_path / "report.html").read_text()
    assert "Absent targets, refused" in text
    assert "By command type" not in text
