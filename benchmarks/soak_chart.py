# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Draws what bench_soak.py wrote: memory, handles and threads over time.

    python benchmarks/soak_chart.py benchmarks/results/soak.json docs/images/soak.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

matplotlib.rcParams |= {"svg.hashsalt": "soak", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
LINES = (
    ("memory, MB", (("resident_mb", "resident", "#1f6f8b"), ("anonymous_mb", "anonymous", "#c46a3d"))),
    ("count", (("handles", "handles", "#3f5f8a"), ("threads", "threads", "#7fa7c9"))),
)


def draw(report: dict[str, Any], path: Path) -> None:
    """Two panels over the minutes of the run; the warm-up, which is not judged, is shaded."""
    minutes = [row["s"] / 60 for row in report["samples"]]
    figure, panels = plt.subplots(2, 1, figsize=(7.6, 4.2), sharex=True, layout="constrained")
    for axes, (title, lines) in zip(panels, LINES, strict=True):
        for name, label, color in lines:
            axes.plot(minutes, [row[name] for row in report["samples"]], color=color, label=label)
        axes.axvspan(0, report["warm_up_s"] / 60, color="0.93", zorder=0)
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right", frameon=False, ncols=2)
    panels[-1].set_xlabel("minutes (shaded: warm-up, not judged)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
