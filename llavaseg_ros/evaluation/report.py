# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The evaluation page: one HTML file with figures, tables, and the best and worst pictures inside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from llavaseg_ros.evaluation import charts, html, pictures
from llavaseg_ros.evaluation.calibration import RIGHT_IOU, reliability
from llavaseg_ros.evaluation.figures import Figure
from llavaseg_ros.evaluation.metrics import TITLES, Score, Summary, summarise, with_mask
from llavaseg_ros.evaluation.scoring import Row
from llavaseg_ros.evaluation.tables import (
    BY_NOVELTY,
    BY_PHRASING,
    BY_QUESTION,
    BY_TYPE,
    confused_names,
    confusions,
    figure_lines,
    group_lines,
    groups,
    ious,
)
from llavaseg_ros.files import write_whole

# The figures that a reader looks for first, as tiles: key and digits.
HEADLINE = {
    "right_target": 2, "giou": 2, "miou": 2, "location": 2, "absent_accuracy": 2, "present_refused": 2,
    "right_answer": 2, "phrasing_drop": 1, "calibration_error": 2, "median_seconds": 2,
}  # fmt: skip
SHORT = {"phrasing_drop": "points lost on held-out phrasings", "calibration_error": "calibration error"}
MAX_NAMES = 20


def write_report(path: Path, rows: Sequence[Row], *, title: str, about: str = "", most: int = 12) -> None:
    """Write the page. about: a line below the title. most: pictures a section."""
    scores = [row.score for row in rows]
    summary = summarise(scores)
    body = [f"<h1>{escape(title)}</h1>", f'<p class="soft">{escape(about)}</p>', _headline(summary)]
    body += [
        "<h2>Figures</h2>",
        html.panel("", html.table(("", "value", "95 % interval", "of"), figure_lines(summary))),
    ]
    body += _groups(scores)
    body += _confusions(scores)
    body += _masks(scores, summary)
    body += pictures.sections(rows, most)
    body.append(_notes())
    write_whole(path, html.page(title, body))


def _headline(summary: Summary) -> str:
    shown: list[tuple[str, str, str]] = []
    for key, digits in HEADLINE.items():
        figure: Figure = getattr(summary, key)
        if figure.value is not None:
            remark = figure.interval(digits) if figure.low is not None else f"of {figure.count}"
            shown.append((figure.text(digits), SHORT.get(key, TITLES[key]), remark))
    return html.tiles(shown)


def _groups(scores: Sequence[Score]) -> list[str]:
    """Charts of the main groups, then a table for each way of grouping."""
    found = groups(scores)
    panels: list[str] = []
    for title in (BY_TYPE, BY_PHRASING, BY_NOVELTY):
        drawn = {
            name.replace("_", " "): [s.right_target, s.miou] for name, s in found.get(title, {}).items() if s.miou.count
        }
        if len(drawn) > 1:
            panels.append(html.panel(f"By {title}", charts.bars(drawn, ["right target", "mIoU"])))
    asked = {name: [s.right_answer] for name, s in found.get(BY_QUESTION, {}).items()}
    if asked:
        panels.append(html.panel("Questions", charts.bars(asked, ["answered right"])))
    out = ["<h2>By groups</h2>", f'<div class="panels">{"".join(panels)}</div>'] if panels else []
    for title, group in found.items():
        if title == BY_QUESTION:
            answers = [(name, *_share(s.right_answer)) for name, s in group.items()]
            table = html.table(("", "answered right", "95 % interval", "of"), answers)
        else:
            head, *lines = group_lines(group)
            table = html.table(head, lines)
        out += [f"<h2>By {escape(title)}</h2>", html.panel("", table)]
    return out


def _share(figure: Figure) -> tuple[str, str, str]:
    return figure.text(), figure.interval(), str(figure.count)


def _confusions(scores: Sequence[Score]) -> list[str]:
    found = confusions(scores)
    titles = {"names": "Names, without their colors", "colors": "Colors", "locations": "Locations"}
    panels = [html.panel(title, charts.matrix(found[key])) for key, title in titles.items() if key in found]
    names = confused_names(scores)
    if names:
        lines = [(truth, said or "(none)", str(count)) for truth, said, count in names[:MAX_NAMES]]
        panels.insert(1, html.panel("Names most often wrong", html.table(("true", "said", "times"), lines)))
    if not panels:
        return []
    remark = "Targets that are there. A row a true word, a column what was said; the shade is the share of the row."
    return [
        "<h2>What was taken for what</h2>",
        f'<p class="soft">{remark}</p>',
        f'<div class="panels">{"".join(panels)}</div>',
    ]


def _masks(scores: Sequence[Score], summary: Summary) -> list[str]:
    panels = []
    present = ious(scores)
    if present:
        chart = charts.histogram(charts.bin_counts(present))
        panels.append(html.panel("IoU of targets that are there (commands a bin)", chart))
    masks = with_mask(scores)
    if masks:
        error = summary.calibration_error.text()
        title = f"Is the score right? Expected calibration error {error} over {len(masks)} masks"
        chart = charts.reliability(reliability(masks))
        remark = (
            f'<p class="soft">A mask is right from IoU {RIGHT_IOU:g} on. On the dashed line the score is the share '
            "right; below it masks are surer than they should be.</p>"
        )
        panels.append(html.panel(title, chart + remark))
    return ["<h2>Masks and their scores</h2>", f'<div class="panels">{"".join(panels)}</div>'] if panels else []


def _notes() -> str:
    return (
        '<h2>How the figures are made</h2><p class="soft">'
        "IoU of a command: intersection over union of predicted and true pixels; 1 when both are empty, 0 when one is. "
        "gIoU: its mean, absent targets included. cIoU: all intersections over all unions. "
        "mIoU: mean IoU of the targets that are there. Right target: the predicted name equals the true one, "
        "case and articles aside, and a mask was drawn, of the targets that are there. "
        "N-acc: absent targets that got no mask. T-acc: targets there that got a mask; the others were refused. "
        "Plain questions count in none of these, only "
        "in their own figures. Calibration: over all commands that drew a mask, in ten bins of the score. "
        "A command that failed counts against the model everywhere. Intervals: Wilson's for shares, Newcombe's for "
        "their difference, the normal approximation for mean IoUs; commands are taken as independent.</p>"
    )
