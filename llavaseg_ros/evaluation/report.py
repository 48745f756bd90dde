"""The evaluation page: one HTML file with figures, tables, and the best and worst pictures inside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.evaluation import charts, html
from llavaseg_ros.evaluation.metrics import (
    TITLES,
    Figure,
    Score,
    Summary,
    by_group,
    confusion,
    normalise_name,
    summarise,
)
from llavaseg_ros.evaluation.scoring import Row, load_masks
from llavaseg_ros.images import read_rgb
from llavaseg_ros.viz import compare

LOCATIONS = (
    "back left", "back", "back right", "left", "middle", "right", "front left", "front", "front right",
)  # fmt: skip
COLUMNS = ("giou", "ciou", "miou", "right_target", "location", "target_accuracy", "absent_accuracy")
MAX_NAMES = 20

Groups = dict[str, dict[str, Summary]]


def groups(scores: Sequence[Score]) -> Groups:
    """Summaries by command type and by phrasing, where the data names them: title -> value -> summary."""
    keys: tuple[tuple[str, Callable[[Score], str]], ...] = (
        ("command type", lambda s: s.kind),
        ("phrasing", lambda s: s.phrasing),
        ("command type and phrasing", lambda s: f"{s.kind}, {s.phrasing}" if s.kind and s.phrasing else ""),
    )
    found = {title: by_group(scores, key) for title, key in keys}
    return {title: group for title, group in found.items() if group}


def text_table(scores: Sequence[Score]) -> str:
    """The figures for a terminal: all commands, then by type and phrasing."""
    lines = [("", "commands", *(TITLES[key] for key in COLUMNS))]
    lines.append(_row("all", summarise(scores)))
    for group in groups(scores).values():
        lines += [_row(name, summary) for name, summary in group.items()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def write_metrics(path: Path, scores: Sequence[Score]) -> None:
    """Write every figure as JSON: {"all": {...}, "by": {"command type": {"name": {...}}, ...}}."""
    by = {title: {name: s.as_json() for name, s in group.items()} for title, group in groups(scores).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"all": summarise(scores).as_json(), "by": by}, indent=2) + "\n", encoding="utf-8")


def write_report(
    path: Path, rows: Sequence[Row], folder: Path, *, title: str, about: str = "", pictures: int = 12
) -> None:
    """Write the page. folder: where predictions.jsonl lies. about: a line below the title. pictures: most a section."""
    scores = [row.score for row in rows]
    summary = summarise(scores)
    body = [f"<h1>{escape(title)}</h1>", f'<p class="soft">{escape(about)}</p>', _headline(summary)]
    body += _figures(rows, scores)
    body += _pictures(rows, folder, pictures)
    body.append(_notes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html.page(title, body), encoding="utf-8")


def _headline(summary: Summary) -> str:
    shown: list[tuple[str, str, str]] = []
    for key, title in TITLES.items():
        figure: Figure = getattr(summary, key)
        if figure.value is not None:
            digits = 2 if key == "median_seconds" else 3
            shown.append((figure.text(digits), title, f"{figure.count} commands"))
    return html.tiles(shown)


def _figures(rows: Sequence[Row], scores: Sequence[Score]) -> list[str]:
    panels: list[str] = []
    kinds = by_group(scores, lambda s: s.kind)
    if kinds:
        values = {name: [s.giou.value, s.right_target.value] for name, s in kinds.items() if s.giou.value is not None}
        panels.append(html.panel("By command type", charts.bars(values, ["gIoU", "right target"])))
    present = [s.iou for s in scores if s.present and not s.is_question]
    if present:
        panels.append(html.panel("IoU of targets that are there (commands a bin)", charts.histogram(present)))
    names = confusion((r.sample.target or "", r.prediction.target or "") for r in rows if r.score.right_target is False)
    if names:
        lines = [(truth, said or "(no target)", str(count)) for truth, said, count in names[:MAX_NAMES]]
        panels.append(html.panel("Names most often wrong", html.table(("true", "said", "times"), lines)))
    places = [
        (normalise_name(r.sample.attributes.location), normalise_name(r.prediction.attributes.location))
        for r in rows
        if r.score.right_location is not None
    ]
    if places:
        panels.append(html.panel("Location of the target", charts.heat_table(LOCATIONS, places)))
    out = ["<h2>Figures</h2>"] if panels else []
    out.append(f'<div class="panels">{"".join(panels)}</div>')
    head = ("", "commands", *(TITLES[key] for key in COLUMNS))
    for title, group in groups(scores).items():
        out.append(f"<h2>By {escape(title)}</h2>")
        out.append(html.panel("", html.table(head, [_row(name, s) for name, s in group.items()])))
    return out


def _pictures(rows: Sequence[Row], folder: Path, count: int) -> list[str]:
    there = sorted((r for r in rows if r.score.present and not r.score.is_question), key=lambda r: -r.score.iou)
    absent = [r for r in rows if not r.score.present and not r.score.is_question]
    best = there[:count]
    worst = there[count:][::-1][:count]  # no picture is among both, however small the set
    sections = (
        ("Best", "Highest IoU first.", best),
        ("Worst", "Lowest IoU first.", worst),
        ("Absent targets that got a mask", "", [r for r in absent if not r.score.predicted_empty][:count]),
        ("Absent targets, refused", "", [r for r in absent if r.score.predicted_empty][: count // 2]),
        ("Plain questions", "", [r for r in rows if r.score.is_question][: count // 2]),
        ("Commands that failed", "", [r for r in rows if r.prediction.error][:count]),
    )
    out: list[str] = []
    for title, remark, chosen in sections:
        if chosen:
            out.append(f"<h2>{escape(title)}</h2>")
            out.append(f'<p class="soft">{remark} Green outline: the truth. Pink: the prediction.</p>')
            out.append(html.cards(_card(row, folder) for row in chosen))
    return out


def _card(row: Row, folder: Path) -> str:
    sample, said, score = row.sample, row.prediction, row.score
    lines = [escape(said.answer)] if said.answer else []
    if said.error:
        lines.append(f'<span class="bad">{escape(said.error)}</span>')
    if not score.is_question:
        named = f"said: {said.target or 'no target'}"
        if sample.target:
            named += f" · true: {sample.target}"
        tone = {True: "good", False: "bad", None: "soft"}[score.right_target]
        lines.append(f'<span class="{tone}">{escape(named)}</span>')
        words = [word for word in (said.attributes.color, said.attributes.shape, said.attributes.location) if word]
        if words:
            lines.append(f'<span class="soft">{escape(" · ".join(words))}</span>')
    measured = "" if score.is_question else f"IoU {score.iou:.2f} · score {said.score:.2f} · "
    kind = " · ".join(word for word in (sample.kind, sample.phrasing) if word)
    lines.append(f'<span class="soft">{measured}{said.seconds:.2f} s · {escape(kind)} #{escape(sample.id)}</span>')
    try:
        predicted, truth = load_masks(sample, said, folder)
        image = html.picture(compare(read_rgb(sample.image_path), truth, predicted), sample.command)
    except (BadRequest, ValueError) as error:
        image = f'<p class="bad">{escape(str(error))}</p>'
    return html.card(image, sample.command, lines)


def _row(name: str, summary: Summary) -> tuple[str, ...]:
    figures: list[Figure] = [getattr(summary, key) for key in COLUMNS]
    return (name, str(summary.commands), *(figure.text() for figure in figures))


def _notes() -> str:
    return (
        '<h2>How the figures are made</h2><p class="soft">'
        "IoU of a command: intersection over union of predicted and true pixels; 1 when both are empty, 0 when one is. "
        "gIoU: its mean, absent targets included. cIoU: all intersections over all unions. "
        "mIoU: mean IoU of the targets that are there. Right target: the predicted name equals the true one, "
        "case and articles aside, of the targets that are there. N-acc: absent targets that got no mask. "
        "T-acc: targets there that got a mask. Plain questions count in none of these, only in their own figure.</p>"
    )
