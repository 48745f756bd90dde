# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Comparing predictions with the truth, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llavaseg_ros.evaluation.answers import answer_is_right
from llavaseg_ros.evaluation.dataset import DatasetError, Prediction, Sample, match
from llavaseg_ros.evaluation.metrics import Score, score_masks
from llavaseg_ros.images import read_mask


@dataclass(frozen=True)
class Row:
    """One command with its truth, its prediction and its score. folder: where predictions.jsonl lies."""

    sample: Sample
    prediction: Prediction
    score: Score
    folder: Path


def load_masks(sample: Sample, prediction: Prediction, folder: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The predicted and the true mask, bool [H, W]; None = no target. folder: where predictions.jsonl lies."""
    predicted = read_mask(folder / prediction.mask) if prediction.mask is not None else None
    truth = read_mask(sample.mask_path) if sample.mask_path is not None else None
    return predicted, truth


def score_all(samples: Sequence[Sample], predictions: Sequence[Prediction], folder: Path) -> list[Row]:
    """Score every command. Raises DatasetError when the two lists do not belong together or a mask has another size."""
    match(list(samples), list(predictions))
    return [
        Row(sample, prediction, _score(sample, prediction, folder), folder)
        for sample, prediction in zip(samples, predictions, strict=True)
    ]


def _score(sample: Sample, said: Prediction, folder: Path) -> Score:
    predicted, truth = load_masks(sample, said, folder)
    ignored = read_mask(sample.ignore_path) if sample.ignore_path is not None else None
    true, words = sample.attributes, said.attributes
    try:
        return score_masks(
            predicted,
            truth,
            ignored,
            failed=bool(said.error),
            kind=sample.kind,
            phrasing=sample.phrasing,
            held_out_pair=sample.held_out_pair,
            held_out_category=sample.held_out_category,
            asks=sample.asks,
            target=(sample.target or "", said.target or ""),
            color=(true.color, words.color),
            location=(true.location, words.location),
            right_answer=_right_answer(sample, said),
            confidence=said.score,
            seconds=said.seconds,
        )
    except ValueError as error:
        raise DatasetError(f"data line {sample.line}, {sample.command!r}: {error}") from error


def _right_answer(sample: Sample, said: Prediction) -> bool | None:
    if sample.expected is None:
        return None
    return not said.error and answer_is_right(said.answer, sample.expected)
