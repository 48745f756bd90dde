# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of full-size shapes: its shapes are the published ones, and it runs whole where the models are tiny."""

from __future__ import annotations

import importlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("benchmarks", "test/core")]

import bench_full_size as bench  # noqa: E402

from llavaseg_ros.segmentation.sam_import import import_segment_anything  # noqa: E402


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llava-hf/llava-1.5-7b-hf", 7.06),
        ("llava-hf/llava-1.5-13b-hf", 13.35),
        ("Qwen/Qwen3-VL-2B-Instruct", 2.13),
        ("Qwen/Qwen3-VL-8B-Instruct", 8.77),
        ("Qwen/Qwen3-VL-32B-Instruct", 33.36),
    ],
)
def test_shapes_have_as_many_weights_as_published(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, billions: float
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", lambda self, folder: counts.append(self.num_parameters()))
    with torch.device("meta"):
        bench.WRITERS[name](tmp_path)
    assert counts[0] / 1e9 == pytest.approx(billions, abs=0.02)


def test_it_runs_whole_on_tiny_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--profiles", "jetson_8gb", "--quantization", "none", "--tiny", "--tokens", "4", "--device", "cpu"]
    words += ["--decoding", "auto", "--rounds", "1"]
    words += ["--work", str(tmp_path / "work"), "--json", str(tmp_path / "full.json")]
    # Of SAM, too, only the shape counts here: an encoder of two thin blocks in place of ViT-B's twelve.
    build = importlib.import_module(f"{import_segment_anything().__name__}.build_sam")
    small = partial(build._build_sam, 96, 2, 3, [1])
    monkeypatch.setitem(import_segment_anything().sam_model_registry, "vit_b", small)
    monkeypatch.setattr(sys, "argv", ["bench_full_size.py", *words])
    bench.main()
    told = json.loads((tmp_path / "full.json").read_text())
    (row,) = told["rows"]
    assert row["profile"] == "jetson_8gb" and row["quantization"] == "none" and row["dtype"] == "float32"
    assert row["decoding"] == "auto" and row["decoded_by"] == "transformers" and told["ratios"] == []
    figures: dict[str, Any] = {key: row[key] for key in bench.COLUMNS}
    assert all(value > 0 for value in figures.values()), figures
    assert not [p for p in (tmp_path / "work").iterdir() if p.is_dir()]  # each language model is removed again
    assert "box to mask ms" in capsys.readouterr().out


def test_ratios_are_against_the_plain_run_of_the_same_model() -> None:
    rows = []
    for quantization, decoding, ms in (("none", "auto", 2.0), ("none", "plain", 8.0), ("int4", "auto", 5.0)):
        times = {"command_ms": 10 * ms, "token_ms": ms, "first_token_ms": 3 * ms}
        rows.append({"profile": "paper_7b", "quantization": quantization, "decoding": decoding, **times})
    (ratio,) = bench.ratios(rows)
    assert ratio == {
        "profile": "paper_7b", "quantization": "none", "command_ms": 4.0, "token_ms": 4.0, "first_token_ms": 4.0
    }  # fmt: skip
