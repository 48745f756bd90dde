"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llavaseg_ros.evaluation.metrics import (
    by_group,
    confusion,
    normalise_name,
    overlap,
    same_name,
    score_masks,
    summarise,
)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((10, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


FULL = rectangle(0, 0, 10, 10)  # 100 px
LEFT = rectangle(0, 0, 5, 10)  # 50 px
CORNER = rectangle(0, 0, 4, 4)  # 16 px
SHIFTED = rectangle(2, 0, 6, 4)  # 16 px, 8 of them in CORNER


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
        score_masks(LEFT, FULL, right_target=True, seconds=1.0),  # 50 / 100 = 0.5
        score_masks(CORNER, SHIFTED, right_target=False, right_location=True, seconds=2.0),  # 8 / 24 = 1/3
        score_masks(None, CORNER, right_target=True, right_location=False, seconds=3.0),  # 0 / 16 = 0
        score_masks(None, None, seconds=4.0),  # absent, refused: 1
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
    assert summary.right_target.value == pytest.approx(2 / 3)
    assert (summary.location.value, summary.location.count) == (pytest.approx(1 / 2), 2)
    assert summary.median_seconds.value == 3.0


def test_a_true_mask_without_pixels_is_an_absent_target() -> None:
    score = score_masks(None, np.zeros((10, 10), np.uint8))
    assert not score.present
    assert score.iou == 1.0


def test_questions_have_their_own_figure() -> None:
    scores = [
        score_masks(LEFT, FULL, kind="name"),
        score_masks(None, None, kind="question"),
        score_masks(LEFT, None, kind="question"),
    ]
    summary = summarise(scores)
    assert summary.giou.value == pytest.approx(0.5)
    assert summary.ciou.value == pytest.approx(0.5)
    assert summary.absent_accuracy.value is None
    assert summary.questions_without_mask.value == pytest.approx(0.5)


def test_nothing_to_measure_is_no_figure_and_not_zero() -> None:
    summary = summarise([])
    assert summary.giou.value is None
    assert summary.ciou.value is None
    assert summary.right_target.text() == "-"
    assert summarise([score_masks(None, None)]).ciou.value == 1.0


def test_names_are_compared_without_case_articles_and_full_stops() -> None:
    assert normalise_name("  A Red\tMug. ") == "red mug"
    assert normalise_name(None) == ""
    assert same_name("the red mug", "Red mug") is True
    assert same_name("red cup", "red mug") is False
    assert same_name(None, "red mug") is False
    assert same_name("red mug", None) is None


def test_groups_are_sorted_and_skip_what_has_no_name() -> None:
    scores = [score_masks(LEFT, FULL, kind="use"), score_masks(None, FULL, kind="name"), score_masks(FULL, FULL)]
    table = by_group(scores, lambda s: s.kind)
    assert list(table) == ["name", "use"]
    assert table["use"].giou.value == pytest.approx(0.5)
    assert table["name"].giou.value == 0.0


def test_confusion_counts_what_differs() -> None:
    pairs = [("red mug", "the red mug"), ("cup", "mug"), ("cup", "mug"), ("cup", "")]
    assert confusion(pairs) == [("cup", "mug", 2), ("cup", "", 1)]
