"""Comparing predictions with the truth, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llavaseg_ros.evaluation.dataset import DatasetError, Prediction, Sample, match
from llavaseg_ros.evaluation.metrics import Score, same_name, score_masks
from llavaseg_ros.images import read_mask


@dataclass(frozen=True)
class Row:
    """One command with its truth, its prediction and its score."""

    sample: Sample
    prediction: Prediction
    score: Score


def load_masks(sample: Sample, prediction: Prediction, folder: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The predicted and the true mask, bool [H, W]; None = no target. folder: where predictions.jsonl lies."""
    predicted = read_mask(folder / prediction.mask) if prediction.mask is not None else None
    truth = read_mask(sample.mask_path) if sample.mask_path is not None else None
    return predicted, truth


def score_all(samples: Sequence[Sample], predictions: Sequence[Prediction], folder: Path) -> list[Row]:
    """Score every command. Raises DatasetError when the two lists do not belong together or a mask has another size."""
    match(list(samples), list(predictions))
    rows = []
    for sample, prediction in zip(samples, predictions, strict=True):
        predicted, truth = load_masks(sample, prediction, folder)
        try:
            score = score_masks(
                predicted,
                truth,
                kind=sample.kind,
                phrasing=sample.phrasing,
                right_target=same_name(prediction.target, sample.target),
                right_location=same_name(prediction.attributes.location, sample.attributes.location),
                seconds=prediction.seconds,
            )
        except ValueError as error:
            raise DatasetError(f"data line {sample.line}, {sample.command!r}: {error}") from error
        rows.append(Row(sample, prediction, score))
    return rows
