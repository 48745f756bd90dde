# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The score of a mask: a scale that makes it mean how often such masks are right."""

from __future__ import annotations

import random

import pytest

from llavaseg_ros.segmentation.score import ScoreScale, fit_scale


def test_the_plain_scale_changes_nothing() -> None:
    for raw in (0.001, 0.3, 0.77, 0.999):
        assert ScoreScale()(raw) == pytest.approx(raw, abs=1e-6)
    assert 0 < ScoreScale()(0.0) < 0.001 and 0.999 < ScoreScale()(1.0) < 1


def test_a_fitted_scale_says_how_often_masks_are_right() -> None:
    rng, truth = random.Random(0), ScoreScale(1.0, 0.6)  # masks are far more often right than the raw score says
    raw = [rng.uniform(0.01, 0.99) for _ in range(4000)]
    right = [rng.random() < truth(r) for r in raw]
    scale = fit_scale(raw, right)
    assert (scale.offset, scale.gain) == (pytest.approx(1.0, abs=0.15), pytest.approx(0.6, abs=0.1))
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = [(scale(r), ok) for r, ok in zip(raw, right, strict=True) if low <= r < low + 0.2]
        mean = sum(s for s, _ in inside) / len(inside)
        assert mean == pytest.approx(sum(ok for _, ok in inside) / len(inside), abs=0.05)
    assert [scale(r / 10) for r in range(11)] == sorted(scale(r / 10) for r in range(11))


def test_a_better_mask_never_scores_less_even_where_the_data_say_so() -> None:
    scale = fit_scale([0.1, 0.2, 0.8, 0.9], [True, True, False, False])
    assert scale.gain > 0 and scale(0.9) >= scale(0.1)


def test_masks_that_are_all_right_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="3 masks, 3 of them right"):
        fit_scale([0.5, 0.6, 0.7], [True, True, True])
