"""From a model to a page: the runner, the scores of its files, and what the page shows."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from llavaseg_ros.errors import BadReply, Cancelled
from llavaseg_ros.evaluation.dataset import DatasetError, Sample, read_dataset, read_predictions, write_jsonl
from llavaseg_ros.evaluation.predict import predict
from llavaseg_ros.evaluation.report import text_table, write_metrics, write_report
from llavaseg_ros.evaluation.scoring import Row, score_all
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
    mug: dict[str, Any] = {"image": "a.png", "mask": "m.png", "target": "red mug", "attributes": {"location": "left"}}
    none: dict[str, Any] = {"mask": None, "target": None}
    rows = [
        {**mug, "command": "the mug", "kind": "name", "phrasing": "known"},
        {**mug, "command": "I am <b>thirsty</b>", "kind": "use", "phrasing": "held_out"},
        {**none, "image": "a.png", "command": "the banana", "kind": "absent", "phrasing": "known"},
        {**none, "image": "b.png", "command": "how many?", "kind": "question", "phrasing": "known"},
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


def test_a_mask_of_another_size_is_an_error_that_names_the_line(data: list[Sample], tmp_path: Path) -> None:
    small = Result("", Thought("mug"), "", True, (Segment(np.ones((3, 3), bool), 0.9, (0, 0, 3, 3)),), 0.9, {})
    out = tmp_path / "out"
    predictions = predict(ScriptedModel([small]), data[:1], out)
    with pytest.raises(DatasetError, match=r"data line 1, 'the mug': mask sizes differ.*\[3, 3\].*\[30, 40\]"):
        score_all(data[:1], predictions, out)


def test_figures_as_text_and_json(scored: tuple[ScriptedModel, Path, list[Row]], tmp_path: Path) -> None:
    scores = [row.score for row in scored[2]]
    table = text_table(scores)
    assert re.search(r"^all +5 +0\.583 ", table, re.MULTILINE)  # (1 + 1/3 + 1 + 0) / 4
    assert re.search(r"^use +1 +0\.333 ", table, re.MULTILINE)
    assert re.search(r"^held_out +1 ", table, re.MULTILINE)
    write_metrics(tmp_path / "metrics.json", scores)
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["all"]["giou"] == {"value": 0.58333, "count": 4, "title": "gIoU"}
    assert figures["by"]["command type"]["absent"]["absent_accuracy"]["value"] == 1.0
    assert figures["by"]["command type"]["question"]["giou"]["value"] is None


def test_the_page_holds_its_pictures_and_needs_nothing_else(
    scored: tuple[ScriptedModel, Path, list[Row]], tmp_path: Path
) -> None:
    page = tmp_path / "page" / "report.html"
    write_report(page, scored[2], scored[1], title="A <test>", about="five commands", pictures=2)
    text = page.read_text(encoding="utf-8")
    images = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]*)"', text)
    # Two best, one worst, one absent target refused, one question, one failure (which is also the worst one).
    assert sorted(alt for _, alt in images) == sorted(
        ["the mug", "I am &lt;b&gt;thirsty&lt;/b&gt;", "the cup", "the cup", "the banana", "how many?"]
    )
    for data, _ in images:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (HEIGHT, WIDTH, 3)
    assert text.count("<img") == len(images)
    assert not re.search(r"(?:src|href)=\"(?!data:)|<script|<link|@import|url\(", text)
    assert "A &lt;test&gt;" in text
    assert "<b>thirsty</b>" not in text
    for words in ("Names most often wrong", "Location of the target", "By command type", "held_out", "0.583"):
        assert words in text


def test_a_page_of_data_without_types_or_names(tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write_jsonl(tmp_path / "data.jsonl", [{"image": "a.png", "command": "x", "mask": None}])
    samples = read_dataset(tmp_path / "data.jsonl", need_truth=True)
    rows = score_all(samples, predict(ScriptedModel([result("x", None)]), samples, tmp_path), tmp_path)
    write_report(tmp_path / "report.html", rows, tmp_path, title="bare")
    text = (tmp_path / "report.html").read_text()
    assert "Absent targets, refused" in text
    assert "By command type" not in text
