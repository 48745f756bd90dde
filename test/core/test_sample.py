# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The released weights on a fixed sample of the generated test set (test/sample), held against recorded figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llavaseg_ros.evaluation.dataset import read_dataset
from llavaseg_ros.evaluation.predict import predict
from llavaseg_ros.evaluation.scoring import score_all
from llavaseg_ros.evaluation.tables import metrics
from llavaseg_ros.pipeline import LLaVASeg

SAMPLE = Path(__file__).resolve().parents[1] / "sample"
RECORDED = json.loads((SAMPLE / "metrics.json").read_text(encoding="utf-8"))["all"]
# Another processor rounds otherwise, and a near tie in the decoding then falls the other way. A change of weights or
# code moves more, in either direction: record the figures again (benchmarks/take_sample.py says how).
COMMANDS = 2.5  # that may fall the other way
IOU = 0.03
BY_COMMAND = ("right_target", "location", "absent_accuracy", "present_refused", "right_answer", "failed")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("sample")
    samples = read_dataset(SAMPLE / "commands.jsonl", need_truth=True)
    predictions = predict(LLaVASeg.from_pretrained("default"), samples, out)
    return metrics([row.score for row in score_all(samples, predictions, out)])["all"]


@pytest.mark.parametrize("name", BY_COMMAND)
def test_shares_are_those_recorded(measured: dict, name: str) -> None:
    now, then = measured[name], RECORDED[name]
    assert now["count"] == then["count"] > 0
    assert abs(now["value"] - then["value"]) * then["count"] <= COMMANDS, (now, then)


@pytest.mark.parametrize("name", ["giou", "miou", "calibration_error"])
def test_means_are_those_recorded(measured: dict, name: str) -> None:
    assert measured[name]["count"] == pytest.approx(RECORDED[name]["count"], abs=COMMANDS)
    assert measured[name]["value"] == pytest.approx(RECORDED[name]["value"], abs=IOU)
