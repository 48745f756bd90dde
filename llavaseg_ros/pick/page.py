# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page of a run: rates with their intervals, why picks failed, and pictures; the rates once more at its end."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from llavaseg_ros.evaluation import html
from llavaseg_ros.evaluation.figures import Figure
from llavaseg_ros.files import write_whole
from llavaseg_ros.images import read_rgb
from llavaseg_ros.pick.rates import by_kind, causes, line, rates
from llavaseg_ros.pick.trials import Trial

ROW = "display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px; align-items: start"
SHOWN = 24  # trials with pictures, those that failed with our masks first
PICTURES = (("mask", "mask and grasp"), ("points", "points from above"), ("ours", "after, our mask"),
            ("truth", "after, true mask"))  # fmt: skip


def write_page(folder: Path, trials: Sequence[Trial], settings: dict[str, Any]) -> Path:
    """Write `index.html` into the folder of the run, with the pictures inside it. Returns its path."""
    r = rates(trials)
    only = r.ours.value is None
    tiles = [(r.truth.text(2), "picked with true masks", f"{r.truth.interval(2)}, of {r.truth.count}")]
    if not only:
        tiles = [
            (r.ours.text(2), "picked with our masks", f"{r.ours.interval(2)}, of {r.ours.count}"), *tiles,
            (r.ratio.text(2), "ratio of the two", r.ratio.interval(2)),
            (r.wrong.text(2), "wrong object lifted", r.wrong.interval(2)),
            (r.refused.text(2), "refused", r.refused.interval(2)),
            (r.twice.text(2), "picked without a third look", f"ratio {r.twice_ratio.text(2)}"),
            (r.twice_wrong.text(2), "wrong without a third look", r.twice_wrong.interval(2)),
            (r.once.text(2), "picked with one look", f"ratio {r.once_ratio.text(2)}"),
            (r.once_wrong.text(2), "wrong with one look", r.once_wrong.interval(2)),
        ]  # fmt: skip
    about = ", ".join(f"{name} {value}" for name, value in settings.items() if value not in (None, False))
    body = [
        "<h1>llavaseg pick</h1>",
        '<p class="soft">Simulated picks: a spoken-style command, a mask, its points, a top-down grasp, physics. '
        "Picked: the thing that was meant, and nothing else, rose by 0.08 m and stayed up. The command is given twice, "
        "the second time on the picture a little turned, and a third time, turned the other way, where the masks are "
        "on two things; where no other look is on the first one's thing, the robot refuses. Intervals are of 95 %.</p>",
        f'<p class="soft">{escape(about)}</p>',
        html.tiles(tiles),
        "<h2>By command</h2>",
        html.panel("", html.table(("command", "picks", "ours", "95 %", "true masks", "95 %", "wrong object"),
                                  [_row(name, group) for name, group in by_kind(trials).items()])),
    ]  # fmt: skip
    failed = causes(trials)
    if failed:
        rows = [(cause, str(count), str(also)) for cause, count, also in failed]
        table = html.table(("why our pick failed", "picks", "of them failed with the true mask, too"), rows)
        body += ["<h2>Why picks failed</h2>", html.panel("", table)]
    shown = sorted(trials, key=lambda t: (not t.cause and t.success(t.truth), t.number))[:SHOWN]
    body += ["<h2>Pictures</h2>", f'<p class="soft">{len(shown)} of {len(trials)} picks, those that failed first.</p>']
    body += ['<div style="display: grid; gap: 16px">', *(_panel(folder, trial) for trial in shown), "</div>"]
    body.append(f"<p><b>{escape(line(trials))}</b></p>")
    path = folder / "index.html"
    write_whole(path, html.page("llavaseg pick", body))
    return path


def _row(name: str, group: Any) -> tuple[str, ...]:
    def two(figure: Figure) -> tuple[str, str]:
        return figure.text(2), figure.interval(2)

    wrong = group.wrong if group.ours.value is not None else group.truth_wrong
    return name, str(group.truth.count), *two(group.ours), *two(group.truth), wrong.text(2)


def _panel(folder: Path, trial: Trial) -> str:
    cards = []
    for name, title in PICTURES:
        path = folder / "pictures" / f"{trial.number:05d}_{name}.jpg"
        if path.exists() and not (name == "ours" and trial.acted is not None and trial.acted.refused):
            image = html.picture(read_rgb(path), title, 360).replace("<img", '<img style="width: 100%"')
            cards.append(f'<div>{image}<br><span class="soft">{title}</span></div>')
    lines = [f"table {trial.number}, {trial.kind}, {trial.phrasing.replace('_', '-')} phrasing; meant: {trial.target}"]
    if trial.ours is not None and trial.acted is not None:
        lines.append(f"said: {trial.said or 'nothing'}; score {trial.score:.2f}; IoU with the truth {trial.iou:.2f}")
        good = trial.success(trial.acted)
        lifted = f" ({', '.join(trial.acted.lifted)})" if trial.acted.lifted else ""
        what = "picked" if good else trial.cause + lifted
        lines.append(f'our mask: <span class="{"good" if good else "bad"}">{escape(what)}</span>')
    good = trial.success(trial.truth)
    what = "picked" if good else ", ".join(trial.truth.lifted) or trial.truth.refused or "nothing lifted"
    lines.append(f'true mask: <span class="{"good" if good else "bad"}">{escape(what)}</span>')
    text = "".join(f"<p>{part if 'span' in part else escape(part)}</p>" for part in lines)
    return html.panel(trial.command, f'<div style="{ROW}">{"".join(cards)}</div>{text}')
