# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Published figures beside ours, and the figures themselves as the papers define them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from published_sets import CUP_MASK, H, W, box, write_grefcoco, write_reasonseg

pytest.importorskip("pycocotools")

from llavaseg_ros.cli import main as cli
from llavaseg_ros.datasets.export import export
from llavaseg_ros.datasets.registry import SETS, read
from llavaseg_ros.evaluation.dataset import DatasetError, Prediction, read_dataset, write_jsonl
from llavaseg_ros.evaluation.metrics import Score, score_masks, summarise
from llavaseg_ros.evaluation.published import METRICS, PUBLISHED_FILE, load_published, published_table
from llavaseg_ros.evaluation.scoring import score_all
from llavaseg_ros.images import write_mask


def test_every_row_is_about_a_split_that_is_there_and_has_a_source() -> None:
    for (name, split), rows in load_published().items():
        assert split in SETS[name].splits
        for row in rows:
            assert len(row.source) > 10 and row.figures and set(row.figures) <= set(METRICS)
        assert len({row.method for row in rows}) == len(rows)


def test_the_figures_that_the_design_knows() -> None:
    known = {
        ("refcoco", "val"): {"LLaVASeg-7B (ft)": 76.2, "LISA-7B (ft)": 74.9},
        ("refcoco+", "val"): {"LLaVASeg-7B (ft)": 65.7, "LISA-7B (ft)": 65.1},
        ("refcocog", "val"): {"LLaVASeg-7B (ft)": 69.8, "LISA-7B (ft)": 67.9},
    }
    for key, figures in known.items():
        rows = {row.method: row.figures["ciou"] for row in load_published()[key]}
        assert figures.items() <= rows.items()
    reason = {row.method: row.figures["giou"] for row in load_published()["reasonseg", "val"]}
    assert (reason["LISA-7B-LLaVA1.5 (ft)"], reason["LISA-13B-LLaVA1.5 (ft)"]) == (61.3, 65.0)


def test_the_table_has_our_row_last_and_names_its_sources() -> None:
    ours = summarise([Score(5, 10, True, False), Score(0, 0, False, True)])
    lines = published_table("grefcoco", "val", ours, "ours (default)").splitlines()
    assert lines[0].split() == ["grefcoco", "val,", "percent", "gIoU", "cIoU", "N-acc", "T-acc", "source"]
    assert lines[1].split() == ["ReLA", "(Swin-B)", "63.6", "62.4", "56.4", "-", "[1]"]
    at = next(i for i, line in enumerate(lines) if line.startswith("ours"))
    assert lines[at].split() == ["ours", "(default)", "75.0", "50.0", "100.0", "100.0", "2", "commands"]
    assert lines[at + 1].startswith("[1] arXiv 2306.00968")
    assert len({len(line) for line in lines[: at + 1]}) == 1  # aligned


def test_a_table_without_published_rows() -> None:
    lines = published_table("paco", "val", summarise([])).splitlines()
    assert [line.split() for line in lines] == [
        ["paco", "val,", "percent", "gIoU", "cIoU", "source"],
        ["ours", "-", "-", "0", "commands"],
    ]


@pytest.mark.parametrize(
    "change", [{"source": ""}, {"figures": {"val": {"iou": 50.0}}}, {"figures": {"val": {"ciou": 0.5}}}]
)
def test_a_row_that_is_not_right(change: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"set": "refcoco", "method": "X", "source": "a paper", "figures": {"val": {"ciou": 50.0}}}
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump({"rows": [row | change]}))
    monkeypatch.setattr("llavaseg_ros.evaluation.published.PUBLISHED_FILE", path)
    load_published.cache_clear()
    with pytest.raises(ValueError, match="X: expected percents by giou, ciou, nacc, tacc, and a source"):
        load_published()
    load_published.cache_clear()
    assert PUBLISHED_FILE.is_file()


def test_figures_are_those_of_the_generalized_task() -> None:
    """As ReLA's evaluation counts: a refused target adds its pixels to the union, a right refusal adds IoU 1 and no
    pixel, a drawn absent one adds IoU 0 and its pixels to the union.
    """
    scores = [
        score_masks(box(0, 0, 10, 10), box(0, 0, 10, 20)),  # 100 of 200
        score_masks(None, box(0, 0, 10, 10)),  # there, refused
        score_masks(None, None),  # absent, refused
        score_masks(box(0, 0, 5, 20), None),  # absent, drawn
    ]
    summary = summarise(scores)
    assert summary.giou.value == pytest.approx((0.5 + 0 + 1 + 0) / 4)
    assert summary.ciou.value == pytest.approx(100 / (200 + 100 + 0 + 100))
    assert (summary.absent_accuracy.value, summary.absent_accuracy.count) == (0.5, 2)
    assert (summary.target_accuracy.value, summary.target_accuracy.count) == (0.5, 2)


def test_ignored_pixels_count_in_no_intersection_and_in_no_union() -> None:
    truth, predicted, ignored = box(0, 0, 10, 10), box(0, 0, 20, 10), box(5, 0, 30, 10)
    score = score_masks(predicted, truth, ignored)
    assert (score.intersection, score.union) == (50, 50)
    assert score_masks(predicted, truth).union == 200
    nowhere_else = score_masks(box(10, 0, 20, 10), truth, ignored)
    assert (nowhere_else.intersection, nowhere_else.union, nowhere_else.predicted_empty) == (0, 50, False)
    assert score_masks(None, truth, ignored).union == 50
    with pytest.raises(ValueError, match="of the pixels to ignore"):
        score_masks(predicted, truth, np.zeros((W, H), bool))


def test_the_evaluation_reads_what_is_to_be_ignored(tmp_path: Path) -> None:
    write_reasonseg(tmp_path)
    path, _ = export(read("reasonseg", tmp_path, "val"), tmp_path / "out")
    (sample,) = read_dataset(path, need_truth=True)
    write_mask(tmp_path / "out/said.png", CUP_MASK)  # also where the hole is
    said = Prediction(sample.image, sample.command, found=True, mask="said.png")
    (row,) = score_all([sample], [said], tmp_path / "out")
    assert row.score.iou == 1.0
    text = path.read_text().replace("_ignore.png", "_gone.png")
    path.write_text(text)
    with pytest.raises(DatasetError, match='"ignore": no such file'):
        read_dataset(path)


def test_one_command_for_a_row_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    argv = ["evaluate", "--set", "grefcoco/val", "--root", str(tmp_path), "--out", str(out)]
    assert cli.main(argv) == 1
    assert "Where to get it:" in capsys.readouterr().err
    write_grefcoco(tmp_path)
    # Predictions of the same commands, as `llavaseg predict` would have written them: everything is refused.
    samples = read_dataset(export(read("grefcoco", tmp_path, "val"), out / "data/grefcoco/val")[0])
    rows = [Prediction(sample.image, sample.command).as_json() for sample in samples]
    write_jsonl(tmp_path / "said.jsonl", rows)
    assert cli.main([*argv, "--predictions", str(tmp_path / "said.jsonl")]) == 0
    text = capsys.readouterr().out
    assert "grefcoco val, percent" in text
    ours = next(line for line in text.splitlines() if line.startswith("ours (default)"))
    assert ours.split()[2:] == ["66.7", "0.0", "100.0", "0.0", "3", "commands"]
    assert (out / "metrics.json").is_file() and (out / "report.html").is_file()


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "expected either files DATA.jsonl or --set"),
        (["--set", "refcoco/val"], "needs --root"),
        (["--root", "."], "expected either files"),
    ],
)
def test_usage(argv: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["evaluate", "--out", str(tmp_path / "o"), *argv])
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


def test_an_unknown_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("coco/val", "there is no data set 'coco'"), ("refcoco", "refcoco has no split ''")):
        assert cli.main(["evaluate", "--set", name, "--root", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
        assert text in capsys.readouterr().err
