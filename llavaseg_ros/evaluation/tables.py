# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures as tables and as JSON: by groups, for a terminal, for metrics.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from llavaseg_ros.evaluation.calibration import RIGHT_IOU, reliability
from llavaseg_ros.evaluation.charts import bin_counts
from llavaseg_ros.evaluation.figures import Figure
from llavaseg_ros.evaluation.metrics import TITLES, TRAINED, Score, Summary, by_group, summarise, with_mask
from llavaseg_ros.evaluation.names import (
    COLORS,
    LOCATIONS,
    Confusion,
    Pair,
    confused,
    confusion_matrix,
    without_color,
)
from llavaseg_ros.files import write_whole

COLUMNS = ("right_target", "location", "giou", "ciou", "miou", "target_accuracy", "absent_accuracy", "right_answer")
BY_TYPE, BY_PHRASING, BY_NOVELTY, BY_QUESTION = "command type", "phrasing", "what training showed", "question"
QUESTIONS = {
    "count": "how many",
    "color": "what color",
    "is there": "is there",
    "yes_no": "is there",
    "beside": "what is left of",
    "objects": "what is there",
    "list": "what is there",
    "where": "where",
    "place": "where",
}

Groups = dict[str, dict[str, Summary]]


def groups(scores: Sequence[Score]) -> Groups:
    """Summaries by what the data tells of its commands: title -> value -> summary. Titles without values are left out;
    the sorts of questions count only answers that are known.
    """
    mixed = len({s.novelty for s in scores if s.novelty}) > 1
    keys: tuple[tuple[str, Callable[[Score], str]], ...] = (
        (BY_TYPE, lambda s: s.kind),
        (BY_PHRASING, lambda s: s.phrasing),
        ("command type and phrasing", lambda s: f"{s.kind}, {s.phrasing}" if s.kind and s.phrasing else ""),
        (BY_NOVELTY, lambda s: s.novelty),
        ("command type, of trained things only", lambda s: s.kind if mixed and s.novelty == TRAINED else ""),
        (BY_QUESTION, lambda s: "" if s.right_answer is None else QUESTIONS.get(s.asks, s.asks)),
    )
    found = {title: by_group(scores, key) for title, key in keys}
    return {title: group for title, group in found.items() if group}


def confusions(scores: Sequence[Score]) -> dict[str, Confusion]:
    """Matrices of the names without their colors, the colors and the locations of targets that are there; only those
    that the data has words for.
    """
    there = [s for s in scores if s.present and not s.is_question]
    found = {
        "names": confusion_matrix(without_colors(s.target for s in there)),
        "colors": confusion_matrix((s.color for s in there), COLORS),
        "locations": confusion_matrix((s.location for s in there), LOCATIONS),
    }
    return {title: matrix for title, matrix in found.items() if matrix.rows}


def without_colors(pairs: Iterable[Pair]) -> list[Pair]:
    """Pairs of names without the colors at their fronts."""
    return [(without_color(truth), without_color(said)) for truth, said in pairs]


def confused_names(scores: Sequence[Score]) -> list[tuple[str, str, int]]:
    """Targets that are there and were called by another name: (truth, said, times), most frequent first."""
    return confused(s.target for s in scores if s.present and not s.is_question)


def ious(scores: Sequence[Score]) -> list[float]:
    """IoU of every target that is there."""
    return [s.iou for s in scores if s.present and not s.is_question]


def group_lines(group: dict[str, Summary], title: str = "") -> list[tuple[str, ...]]:
    """A table of groups, its head first: name, commands, and those of COLUMNS that there is anything in. title: of the
    first column.
    """
    columns = [key for key in COLUMNS if any(getattr(s, key).count for s in group.values())]
    lines: list[tuple[str, ...]] = [(title, "commands", *(TITLES[key].split(",")[0].split(" (")[0] for key in columns))]
    for name, summary in group.items():
        figures: list[Figure] = [getattr(summary, key) for key in columns]
        lines.append((name.replace("_", " "), str(summary.commands), *(figure.text() for figure in figures)))
    return lines


def figure_lines(summary: Summary) -> list[tuple[str, str, str, str]]:
    """All figures that there is something to measure on: (title, value, 95 % interval, count)."""
    lines = []
    for key, title in TITLES.items():
        figure: Figure = getattr(summary, key)
        if figure.value is not None:
            digits = 1 if key == "phrasing_drop" else 3
            lines.append((title, figure.text(digits), figure.interval(digits), str(figure.count)))
    return lines


def text_table(scores: Sequence[Score]) -> str:
    """The figures for a terminal: all of them with their intervals, then by groups."""
    whole = [("", "value", "95 % interval", "commands"), *figure_lines(summarise(scores))]
    parts = [aligned(group_lines(group, f"by {title}")) for title, group in groups(scores).items()]
    return "\n\n".join([aligned(whole), *parts])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns side by side: the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def metrics(scores: Sequence[Score]) -> dict[str, Any]:
    """Every number of the page:

    {"all": figures, "by": {title: {group: figures}}, "calibration": {"right_iou", "bins"}, "iou_histogram": counts of
    ten bins, "confusion": {"names" | "colors" | "locations": {"true", "said", "counts"}}, "confused_names": [[true,
    said, times], ...]}
    """
    return {
        "all": summarise(scores).as_json(),
        "by": {title: {name: s.as_json() for name, s in group.items()} for title, group in groups(scores).items()},
        "calibration": {"right_iou": RIGHT_IOU, "bins": [b.as_json() for b in reliability(with_mask(scores))]},
        "iou_histogram": bin_counts(ious(scores)),
        "confusion": {title: found.as_json() for title, found in confusions(scores).items()},
        "confused_names": [list(line) for line in confused_names(scores)],
    }


def write_json(path: Path, value: Any) -> None:
    """Write JSON, UTF-8. Makes the folder. The file is whole or not there; raises OSError."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
