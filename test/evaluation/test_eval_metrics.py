# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Metrics against values worked out by hand."""

from __future__ import annotations

import doctest
import json
from math import isclose
from types import ModuleType

import numpy as np
import pytest

from llavaseg_ros.evaluation import calibration, charts, figures, metrics, names
from llavaseg_ros.evaluation.calibration import calibration_error, reliability
from llavaseg_ros.evaluation.figures import Figure, difference, mean, share, wilson
from llavaseg_ros.evaluation.metrics import Score, by_group, overlap, score_masks, summarise, with_mask


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((10, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


FULL = rectangle(0, 0, 10, 10)  # 100 px
LEFT = rectangle(0, 0, 5, 10)  # 50 px
CORNER = rectangle(0, 0, 4, 4)  # 16 px
SHIFTED = rectangle(2, 0, 6, 4)  # 16 px, 8 of them in CORNER
RIGHT, WRONG = ("mug", "mug"), ("mug", "cup")


@pytest.mark.parametrize("module", [calibration, charts, figures, metrics, names])
def test_examples_in_the_docstrings(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_overlap_counts_pixels_of_any_value_and_type() -> None:
    assert overlap(CORNER, SHIFTED) == (8, 24)
    assert overlap(CORNER.astype(np.uint8) * 255, SHIFTED.astype(np.uint8)) == (8, 24)
    assert overlap(None, LEFT) == (0, 50)
    assert overlap(LEFT, None) == (0, 50)
    assert overlap(None, None) == (0, 0)


def test_overlap_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match=r"\[10, 10\].*\[5, 5\]"):
        overlap(FULL, np.ones((5, 5), bool))


def test_figures_by_hand() -> None:
    scores = [
        score_masks(LEFT, FULL, target=RIGHT, seconds=1.0),  # 50 / 100 = 0.5
        score_masks(CORNER, SHIFTED, target=WRONG, location=("left", "left"), seconds=2.0),  # 8 / 24 = 1/3
        score_masks(None, CORNER, target=RIGHT, location=("left", ""), seconds=3.0),  # 0 / 16 = 0
        score_masks(None, None, target=("mug", "cup"), seconds=4.0),  # absent, refused: 1
        score_masks(CORNER, None, seconds=50.0),  # absent, drawn: 0 / 16 = 0
    ]
    summary = summarise(scores)
    assert summary.commands == 5
    assert summary.giou.value == pytest.approx((0.5 + 1 / 3 + 0 + 1 + 0) / 5)
    assert summary.ciou.value == pytest.approx((50 + 8) / (100 + 24 + 16 + 0 + 16))
    assert summary.miou.value == pytest.approx((0.5 + 1 / 3 + 0) / 3)
    assert (summary.miou.count, summary.giou.count) == (3, 5)
    assert summary.absent_accuracy.value == pytest.approx(1 / 2)
    assert summary.target_accuracy.value == pytest.approx(2 / 3)
    assert summary.present_refused.value == pytest.approx(1 / 3)
    # A right name without a mask is not a right target.
    assert (summary.right_target.value, summary.right_target.count) == (pytest.approx(1 / 3), 3)
    assert (summary.location.value, summary.location.count) == (pytest.approx(1 / 2), 2)
    assert summary.median_seconds.value == 3.0


def test_a_true_mask_without_pixels_is_an_absent_target() -> None:
    score = score_masks(None, np.zeros((10, 10), np.uint8))
    assert not score.present
    assert score.iou == 1.0


def test_a_command_that_failed_counts_against_the_model_everywhere() -> None:
    scores = [
        score_masks(None, None, failed=True),
        score_masks(None, FULL, failed=True, target=("mug", "")),
        score_masks(None, None, failed=True, kind="question", right_answer=False),
    ]
    summary = summarise(scores)
    assert (summary.giou.value, summary.absent_accuracy.value, summary.present_refused.value) == (0.0, 0.0, 1.0)
    assert (summary.right_target.value, summary.right_answer.value, summary.failed.value) == (0.0, 0.0, 1.0)
    assert summary.questions_without_mask.value == 0.0


def test_questions_have_their_own_figures() -> None:
    scores = [
        score_masks(LEFT, FULL, kind="name"),
        score_masks(None, None, kind="question", right_answer=True),
        score_masks(LEFT, None, kind="question", right_answer=False),
        score_masks(None, None, kind="question"),
    ]
    summary = summarise(scores)
    assert summary.giou.value == pytest.approx(0.5)
    assert summary.ciou.value == pytest.approx(0.5)
    assert summary.absent_accuracy.value is None
    assert summary.questions_without_mask.value == pytest.approx(2 / 3)
    assert (summary.right_answer.value, summary.right_answer.count) == (0.5, 2)


def test_nothing_to_measure_is_no_figure_and_not_zero() -> None:
    summary = summarise([])
    assert summary.giou.value is None
    assert summary.ciou.value is None
    assert summary.calibration_error.value is None
    assert (summary.right_target.text(), summary.right_target.interval()) == ("-", "-")
    assert summarise([score_masks(None, None)]).ciou.value == 1.0


def test_the_drop_to_held_out_phrasings_is_in_points() -> None:
    known = [score_masks(FULL, FULL, phrasing="known", target=RIGHT if i < 3 else WRONG) for i in range(4)]
    held_out = [score_masks(FULL, FULL, phrasing="held_out", target=RIGHT if i < 1 else WRONG) for i in range(2)]
    drop = summarise([*known, *held_out]).phrasing_drop
    assert drop.value == pytest.approx(25.0)
    assert drop.count == 6
    assert summarise(known).phrasing_drop.value is None


def test_groups_are_sorted_and_skip_what_has_no_name() -> None:
    scores = [score_masks(LEFT, FULL, kind="use"), score_masks(None, FULL, kind="name"), score_masks(FULL, FULL)]
    table = by_group(scores, lambda s: s.kind)
    assert list(table) == ["name", "use"]
    assert table["use"].giou.value == pytest.approx(0.5)
    assert table["name"].giou.value == 0.0


def test_novelty_takes_the_strongest_flag() -> None:
    def novelty(pair: bool | None, category: bool | None) -> str:
        return score_masks(FULL, FULL, held_out_pair=pair, held_out_category=category).novelty

    assert novelty(None, None) == ""
    assert novelty(False, None) == novelty(False, False) == "trained"
    assert novelty(True, False) == "held-out color of category"
    assert novelty(True, True) == "held-out category"


def test_a_score_comes_back_from_json() -> None:
    score = score_masks(LEFT, FULL, kind="use", held_out_pair=False, target=WRONG, confidence=0.25, right_answer=True)
    row = json.loads(json.dumps(score.as_json()))
    assert Score.from_json(row) == score
    with pytest.raises(ValueError, match="fields of a score"):
        Score.from_json({**row, "extra": 1})


def test_wilsons_interval_against_published_values() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, count), expected in published.items():
        assert wilson(successes, count) == pytest.approx(expected, abs=6e-5)
    assert wilson(5, 5)[1] == 1.0


def test_the_difference_of_shares_has_newcombes_interval() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table II: 56 of 70 against 48 of 80.
    first, second = share([True] * 56 + [False] * 14), share([True] * 48 + [False] * 32)
    found = difference(first, second)
    assert found.value == pytest.approx(20.0)
    assert (found.low, found.high) == (pytest.approx(5.24, abs=0.006), pytest.approx(33.39, abs=0.006))
    assert difference(Figure(None, 0), second).value is None


def test_means_have_an_interval_within_0_and_1() -> None:
    assert mean([]).value is None
    assert (mean([0.4]).value, mean([0.4]).low) == (0.4, None)
    figure = mean([0.0, 1.0, 0.5, 0.5])
    half = 1.959964 * np.std([0.0, 1.0, 0.5, 0.5], ddof=1) / 2
    assert figure.low is not None and isclose(figure.low, 0.5 - half)
    assert mean([0.0, 0.0, 1.0]).low == 0.0


def test_calibration_by_hand() -> None:
    masks = [(0.95, 0.9), (0.92, 0.2), (0.15, 0.5), (1.0, 0.49)]
    bins = reliability(masks)
    assert len(bins) == 10
    assert (bins[1].score, bins[1].right.value) == (0.15, 1.0)  # IoU of just 0.5 is right
    assert (bins[9].right.count, bins[9].right.value) == (3, pytest.approx(1 / 3))  # 1.0 belongs to the last bin
    gap = abs((0.95 + 0.92 + 1.0) / 3 - 1 / 3)
    error = calibration_error(bins)
    assert (error.value, error.count) == (pytest.approx((3 * gap + 0.85) / 4), 4)


def test_calibration_counts_every_mask_and_only_masks() -> None:
    scores = [
        score_masks(FULL, FULL, confidence=0.8),
        score_masks(LEFT, None, confidence=0.7),  # absent: a wrong mask
        score_masks(LEFT, None, kind="question", confidence=0.6),  # question: a wrong mask
        score_masks(None, FULL),  # refused
        score_masks(None, None, failed=True),
    ]
    assert with_mask(scores) == [(0.8, 1.0), (0.7, 0.0), (0.6, 0.0)]
    assert summarise(scores).calibration_error.value == pytest.approx((0.2 + 0.7 + 0.6) / 3)
