# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Running a model over a data set: masks and predictions.jsonl in, nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from llavaseg_ros.errors import Cancelled, LLaVASegError
from llavaseg_ros.evaluation.dataset import Prediction, Sample
from llavaseg_ros.files import named_errors
from llavaseg_ros.images import read_rgb, write_mask
from llavaseg_ros.types import Result

PREDICTIONS = "predictions.jsonl"


class Model(Protocol):
    """The part of `llavaseg_ros.pipeline.LLaVASeg` that is used here."""

    def set_image(self, rgb: np.ndarray) -> None:
        """Encode uint8 [H, W, 3] RGB."""

    def segment(self, command: str) -> Result:
        """Answer one command on the image."""


def predict(
    model: Model,
    samples: Sequence[Sample],
    out: Path,
    *,
    on_done: Callable[[Prediction], None] | None = None,
) -> list[Prediction]:
    """Answer every command, in order, and write `out/predictions.jsonl` and `out/masks/*.png`.

    Lines are written as they come, to `predictions.jsonl.part`, which gets its name when all are there: what was
    interrupted stays to be read, and is never taken for the whole.

    Commands that follow each other on one image share its encoding. A command that fails with one of the project's own
    errors becomes a line with "error" and no mask; any other exception passes through.
    """
    out.mkdir(parents=True, exist_ok=True)
    predictions: list[Prediction] = []
    encoded: Path | None = None
    part = out / f"{PREDICTIONS}.part"
    with named_errors(part), part.open("w", encoding="utf-8") as file:
        for index, sample in enumerate(samples):
            started = time.perf_counter()
            try:
                if sample.image_path != encoded:
                    encoded = None
                    model.set_image(read_rgb(sample.image_path))
                    encoded = sample.image_path
                result = model.segment(sample.command)
            except Cancelled:
                raise
            except LLaVASegError as error:
                prediction = Prediction(
                    sample.image, sample.command, seconds=time.perf_counter() - started, error=str(error)
                )
            else:
                seconds = time.perf_counter() - started
                prediction = _prediction(sample, result, out, f"masks/{index:06d}.png", seconds)
            file.write(json.dumps(prediction.as_json(), ensure_ascii=False) + "\n")
            file.flush()
            predictions.append(prediction)
            if on_done is not None:
                on_done(prediction)
    part.replace(out / PREDICTIONS)
    return predictions


def _prediction(sample: Sample, result: Result, out: Path, mask: str, seconds: float) -> Prediction:
    found = result.found and bool(result.segments)
    if found:
        write_mask(out / mask, result.segments[0].mask)
    return Prediction(
        image=sample.image,
        command=sample.command,
        answer=result.answer,
        target=result.thought.target or None,
        attributes=result.thought.attributes,
        found=found,
        score=float(result.segments[0].score) if found else 0.0,
        mask=mask if found else None,
        seconds=seconds,
    )
