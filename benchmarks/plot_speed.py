# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Draws the plots of docs/performance.md from what bench_speed.py wrote, and writes its tables.

    python benchmarks/plot_speed.py benchmarks/results/speed_cpu.json --out docs/images --page docs/performance.md

`performance_stages.svg`: where the time goes. `performance_growth.svg`: how the cost grows. In the page, what stands
between the marks of `MARKS` is replaced.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from llavaseg_ros.bench.figures import Figure, bar_text, busy_note, memory_lines, value_text

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

matplotlib.rcParams |= {
    "svg.hashsalt": "performance",  # the same figures give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
MARKS = ("<!-- figures: written by benchmarks/plot_speed.py -->", "<!-- end of figures -->")
COLORS = {"plain": "#9a8c7c", "ours": "#1f6f8b"}
STAGES = {
    "read image and prompt": "#3f5f8a", "decode": "#7fa7c9", "SAM encoder": "#c46a3d", "mask": "#e3b47f",
    "other": "#c9c9c9",
}  # fmt: skip
BARS = (
    ("first command on a frame", (("plain way", "plain", "first"), ("ours", "ours", "first"),
                                  ("ours, mode fast", "ours", "fast_first"))),
    ("second command on it", (("plain way", "plain", "second"), ("ours", "ours", "second"),
                              ("ours, mode fast", "ours", "fast_second"))),
    ("a plain question on it", (("plain way", "plain", "question"), ("ours", "ours", "question"))),
    ("a followed frame", (("ours", "ours", "follow"),)),
)  # fmt: skip


def draw_stages(report: dict[str, Any], path: Path) -> None:
    """Bars of median seconds, a piece a stage."""
    figure, axes = plt.subplots(figsize=(7.6, 3.9), layout="constrained")
    places, names, y = [], [], 0.0
    for title, rows in BARS:
        axes.text(0, y - 0.62, title, fontweight="bold", va="center")
        for name, subject, case in rows:
            parts = report["stages"].get(subject, {}).get(case)
            if parts is None:
                continue
            left = 0.0
            for stage, color in STAGES.items():
                axes.barh(y, parts[stage], left=left, height=0.72, color=color, label=stage)
                left += parts[stage]
            axes.text(left, y, f" {parts['total']:.2f} s", va="center")
            places.append(y)
            names.append(name)
            y += 0.85
        y += 0.85
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.09)
    axes.set_ylim(y - 1.1, -1.1)
    axes.set_xlabel("seconds, medians")
    shown = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    axes.legend([shown[stage] for stage in STAGES], STAGES, loc="lower right")
    save(figure, path)


def draw_growth(report: dict[str, Any], path: Path) -> None:
    """Four panels: image size, commands and targets, tokens, objects."""
    figure, ((image, commands), (tokens, objects)) = plt.subplots(2, 2, figsize=(8.4, 6.2), layout="constrained")
    grown = report["growth"]
    pixels = [row["width"] * row["height"] / 1e6 for row in grown["image"]]
    for subject, color in COLORS.items():
        for case, style in (("first", "-"), ("second", "--"), ("follow", ":")):
            line(image, pixels, [row.get(subject, {}).get(case) for row in grown["image"]], subject, case, color, style)
        line(
            objects, [row["objects"] for row in grown["objects"]],
            [row.get(subject, {}).get("first") for row in grown["objects"]], subject, "a command", color, "-",
        )  # fmt: skip
        line(
            objects, [row["objects"] for row in grown["objects"]],
            [row.get(subject, {}).get("question") for row in grown["objects"]], subject, "what is there?", color, "--",
        )  # fmt: skip
        rows = grown["commands"]
        line(
            commands, [row["commands"] for row in rows], [row.get(subject) for row in rows], subject, "commands", color
        )
        scatter(tokens, report["replies"].get(subject, []), subject, color)
    rows = grown["targets"]
    line(commands, [row["targets"] for row in rows], [row["ours"] for row in rows], "ours", "known targets",
         COLORS["ours"], ":")  # fmt: skip
    titles = ("Size of the image", "Commands a frame", "Tokens of a reply", "Objects in view")
    labels = ("million pixels", "commands, or targets that are known", "tokens", "objects")
    for axes, title, label in zip((image, commands, tokens, objects), titles, labels, strict=True):
        axes.set_title(title)
        axes.set_xlabel(label)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(fontsize=7.5, loc="upper left", ncols=2, columnspacing=1.2, handlelength=1.8)
    for axes, label in ((image, "seconds"), (commands, "seconds since the frame came"), (objects, "seconds")):
        axes.set_ylabel(label)
    tokens.set_ylabel("seconds from the first token on")
    image.set_xticks(pixels, [f"{row['width']} x\n{row['height']}" for row in grown["image"]], fontsize=7)
    image.set_xlabel("")
    save(figure, path)


def line(
    axes: Axes, x: list[float], y: list[float | None], subject: str, case: str, color: str, style: str = "-"
) -> None:
    """One series; a variant that was not measured has none."""
    if all(value is not None for value in y) and y:
        name = {"plain": "plain way", "ours": "ours"}[subject]
        axes.plot(x, np.array(y, float), style, color=color, marker="o", markersize=3, label=f"{name}, {case}")


def scatter(axes: Axes, replies: list[list[float]], subject: str, color: str) -> None:
    """Replies as dots, and the line of the median price of a token."""
    if not replies:
        return
    tokens, seconds = np.array(replies).T
    price = token_seconds(replies)
    name = {"plain": "plain way", "ours": "ours"}[subject]
    axes.scatter(tokens, seconds, s=5, color=color, alpha=0.35, linewidths=0)
    ends = np.array([1, tokens.max()])
    axes.plot(ends, price * (ends - 1), color=color, label=f"{name}, {1e3 * price:.1f} ms a token")


def token_seconds(replies: list[list[float]]) -> float:
    """Seconds a token after the first, median over replies of (tokens, seconds from the first token on)."""
    return float(np.median([seconds / (tokens - 1) for tokens, seconds in replies if tokens > 1]))


def tables(report: dict[str, Any]) -> str:
    """The figures as Markdown."""
    on, same, plan = report["machine"], report["same"], report["plan"]
    lines = [
        f"{on['time'][:10]}: {report['model']['name']} on {on['gpu'] or on['cpu']}, {on['cores']} cores, "
        f"{on['threads']} torch threads, torch {on['torch']}, transformers {on['transformers']}. "
        f"{plan['rounds']} rounds, 640 x 480. Load average {on['load_at_start']} at the start, {on['load_at_end']} at "
        "the end.",
        "",
        "| | against | that | ours | ratio (quartiles) | bar | moonshot | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in report["figures"]:
        row = Figure(**{key: value for key, value in entry.items() if key != "verdict"})
        ratio = "-" if row.ratio is None else f"**{row.ratio:.1f}x** ({row.low:.1f} to {row.high:.1f})"
        cells = (row.title, row.against, value_text(row, row.that), value_text(row, row.this), ratio)
        lines.append(f"| {' | '.join((*cells, bar_text(row, row.bar), bar_text(row, row.moonshot), row.verdict))} |")
    if note := busy_note(on):
        lines[1:1] = ["", f"**Preliminary**: {note}."]
    lines += [
        "",
        f"- Same answers: {same['equal']} of {same['replies']} equal word by word; {same['masks']} masks overlap by at "
        f"least {same['lowest_iou']:.4f} (IoU).",
        *(f"- {line[0].upper()}{line[1:]}." for line in memory_lines(report["memory"])),
    ]
    for subject, name in (("plain", "the plain way"), ("ours", "ours")):
        if replies := report["replies"].get(subject):
            lines.append(f"- A token of a reply, {name}: {1e3 * token_seconds(replies):.1f} ms, median of all replies.")
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Put the tables between the marks."""
    whole = page.read_text(encoding="utf-8")
    before, start, rest = whole.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not end:
        raise SystemExit(f"{page}: expected the lines {MARKS[0]} and {MARKS[1]}")
    page.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")
    print(page)


def save(figure: Any, path: Path) -> None:
    """Write one SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(path)


def main() -> None:
    """Read the JSON, write both plots and the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, help="what bench_speed.py --json or llavaseg bench --json wrote")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the plots (%(default)s)")
    parser.add_argument("--page", type=Path, help="a page whose tables are written anew")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    args = parser.parse_args()
    report = json.loads(args.json.read_text(encoding="utf-8"))
    draw_stages(report, args.out / f"performance_stages.{args.format}")
    if report["growth"]:
        draw_growth(report, args.out / f"performance_growth.{args.format}")
    if args.page:
        write_page(args.page, tables(report))


if __name__ == "__main__":
    main()
