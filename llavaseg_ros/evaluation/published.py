# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What others have published on the public sets, printed beside our figures. The figures are in data/published.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from llavaseg_ros.evaluation.figures import Figure
from llavaseg_ros.evaluation.metrics import Summary
from llavaseg_ros.evaluation.tables import aligned

PUBLISHED_FILE = Path(__file__).resolve().parent / "data" / "published.yaml"

# Key in the file -> (field of Summary, title). In the order of the columns.
METRICS = {
    "giou": ("giou", "gIoU"),
    "ciou": ("ciou", "cIoU"),
    "nacc": ("absent_accuracy", "N-acc"),
    "tacc": ("target_accuracy", "T-acc"),
}


@dataclass(frozen=True)
class Row:
    """One method on one split. figures: percent, by a key of `METRICS`. source: where they are written."""

    method: str
    source: str
    figures: dict[str, float]


@lru_cache(maxsize=1)
def load_published() -> dict[tuple[str, str], tuple[Row, ...]]:
    """Published rows by (set, split), in the order of the file. Raises ValueError for a row that is not right."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in yaml.safe_load(PUBLISHED_FILE.read_text(encoding="utf-8"))["rows"]:
        for split, figures in row["figures"].items():
            _check(row, figures)
            found.setdefault((row["set"], split), []).append(Row(row["method"], row["source"], figures))
    return {key: tuple(rows) for key, rows in found.items()}


def published_table(name: str, split: str, ours: Summary, title: str = "ours") -> str:
    """Our figures of a split and those that others have published on it, in percent, as an aligned text table.

    Columns are those that any row has; sources are below, by number. Without published rows, ours stand alone.
    title: of our row.
    """
    rows = load_published().get((name, split), ())
    # N-acc and T-acc say something only where targets are absent.
    keys = [key for key in METRICS if any(key in row.figures for row in rows)]
    if ours.absent_accuracy.count:
        keys = [key for key in METRICS if key in keys or key in ("nacc", "tacc")]
    keys = keys or ["giou", "ciou"]
    sources = list(dict.fromkeys(row.source for row in rows))
    lines = [(f"{name} {split}, percent", *(METRICS[key][1] for key in keys), "source")]
    for row in rows:
        cells = (f"{row.figures[key]:.1f}" if key in row.figures else "-" for key in keys)
        lines.append((row.method, *cells, f"[{sources.index(row.source) + 1}]"))
    lines.append((title, *(_percent(getattr(ours, METRICS[key][0])) for key in keys), f"{ours.commands} commands"))
    notes = [f"[{number}] {source}" for number, source in enumerate(sources, 1)]
    return "\n".join([aligned(lines), *notes])


def _percent(figure: Figure) -> str:
    return "-" if figure.value is None else f"{100 * figure.value:.1f}"


def _check(row: dict[str, Any], figures: dict[str, Any]) -> None:
    wrong = set(figures) - set(METRICS)
    numbers = all(isinstance(x, int | float) and 1 < x <= 100 for x in figures.values())
    if wrong or not figures or not numbers or not row["source"]:
        raise ValueError(f"{PUBLISHED_FILE}: {row['method']}: expected percents by {', '.join(METRICS)}, and a source")
