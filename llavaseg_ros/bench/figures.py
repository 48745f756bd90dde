# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From timed calls to the figures of the table, each beside its bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from llavaseg_ros.bench.rounds import (
    FAST_FIRST,
    FAST_SECOND,
    FIRST,
    FOLLOW,
    OURS,
    PLAIN,
    QUESTION,
    SECOND,
    Log,
)
from llavaseg_ros.evaluation.tables import aligned

SAME_IOU = 0.99  # masks that overlap by less are not the same
GROWTH_BAR = {"commands": 1000, "frames": 10_000}  # over which memory must not grow
NO_GROWTH = 0.01  # of the process's memory: an allocator gives and takes about so much
_SUMMED = {
    "first": "against the plain way: first command", "second": "second command", "question": "question",
    "fast_first": "mode fast against three turns: first command", "fast_second": "second command",
}  # fmt: skip
FAST = (2.0, 3.0)
HEAD = ("", "against", "that", "ours", "ratio", "quartiles", "bar", "moonshot", "")


@dataclass(frozen=True)
class Figure:
    """One line of the table. that, this: what it is held against, and ours, in `unit` ("s" or "frames/s"), medians over
    the rounds. ratio: how much faster this is, the median of every round's own ratio, since calls of one round meet the
    same machine; low, high: its quartiles. bar, moonshot: of the ratio, or of `this` where the unit is frames/s; None
    where none is set. missing: why there is no figure; empty if there is one."""

    key: str
    title: str
    against: str
    unit: str
    that: float | None = None
    this: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    bar: float | None = None
    moonshot: float | None = None
    missing: str = ""

    @property
    def verdict(self) -> str:
        """ "moonshot", "met", "short", or "" where there is no bar or nothing to hold against it."""
        value = self.this if self.unit == "frames/s" else self.ratio
        if value is None or self.bar is None or self.moonshot is None:
            return ""
        return "moonshot" if value >= self.moonshot else "met" if value >= self.bar else "short"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "verdict": self.verdict}


def figures(log: Log, *, missing: str, embedded_on_cpu: bool, vit_h_on_gpu: bool) -> list[Figure]:
    """The table's figures. missing: why there is no baseline; empty if there is one. The bars of the baseline and of
    following are set for the embedded default on a CPU, that of following for ViT-H on a GPU, too."""
    first, later, follow = ((2.5, 4.0), (5.0, 10.0), (8.0, 15.0)) if embedded_on_cpu else (None, None, None)
    if vit_h_on_gpu:
        follow = (20.0, 30.0)
    usual, three, each = "plain way", "three turns", "reasoning on each frame"
    plain_turns, plain_each = f"{usual}, {three}", f"{usual}, {each}"
    return [
        _figure(log, "first", "first command on a frame", usual, (PLAIN, FIRST), FIRST, first, missing),
        _figure(log, "second", "second command on it", usual, (PLAIN, SECOND), SECOND, later, missing),
        _figure(log, "question", "a plain question on it", usual, (PLAIN, QUESTION), QUESTION, None, missing),
        _figure(log, "fast_first", "mode fast, first command", three, (OURS, FIRST), FAST_FIRST, FAST),
        _figure(log, "fast_second", "mode fast, second command", three, (OURS, SECOND), FAST_SECOND, FAST),
        _figure(log, "fast_plain", "mode fast, first command", plain_turns, (PLAIN, FIRST), FAST_FIRST, None, missing),
        _figure(log, "follow", "following", each, (OURS, FIRST), FOLLOW, follow, rate=True),
        _figure(log, "follow_plain", "following", plain_each, (PLAIN, FIRST), FOLLOW, None, missing, rate=True),
    ]  # fmt: skip


def _figure(
    log: Log,
    key: str,
    title: str,
    against: str,
    that: tuple[str, str],
    case: str,
    bars: tuple[float, float] | None,
    missing: str = "",
    *,
    rate: bool = False,
) -> Figure:
    """One line. that: subject and case that ours in `case` is held against."""
    unit = "frames/s" if rate else "s"
    base, ours = log.by_round(*that), log.by_round(OURS, case)
    if not ours:
        missing = "no target was found that could be followed" if rate else "no command got a readable reply"
        return Figure(key, title, against, unit, missing=missing)
    this = median(ours.values())
    ratios = [base[number] / ours[number] for number in base if number in ours]
    if not ratios:
        return Figure(
            key,
            title,
            against,
            unit,
            this=1 / this if rate else this,
            missing=missing or "no command got a readable reply",
        )
    that_s = median(base.values())
    values = (1 / that_s, 1 / this) if rate else (that_s, this)
    low, high = np.percentile(ratios, (25, 75)).tolist()
    bar, moonshot = bars or (None, None)
    return Figure(key, title, against, unit, *values, median(ratios), low, high, bar, moonshot)


def stages(log: Log) -> dict[str, dict[str, dict[str, float]]]:
    """{subject: {case: {stage: median seconds, "other": what no stage accounts for, "total": ...; "tokens": median of
    all turns together}}}."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for subject in (PLAIN, OURS):
        for case in log.medians(subject):
            shots = [shot for shot in log.shots if (shot.subject, shot.case) == (subject, case)]
            parts = {name: median([shot.stages[name] for shot in shots]) for name in shots[0].stages}
            other = median([max(shot.seconds - sum(shot.stages.values()), 0.0) for shot in shots])
            total = median([shot.seconds for shot in shots])
            tokens = median([sum(reply.tokens for reply in shot.replies) for shot in shots])
            told.setdefault(subject, {})[case] = {**parts, "other": other, "total": total, "tokens": tokens}
    return told


def followed(log: Log) -> dict[str, int]:
    """How many frames a target was followed through, and on how many of them it got a mask."""
    shots = [shot for shot in log.shots if shot.case == FOLLOW]
    return {"frames": len(shots), "masks": sum(shot.mask is not None for shot in shots)}


def replies(log: Log) -> dict[str, list[tuple[int, float]]]:
    """{subject: tokens and seconds of every reply from its first token on}; only replies that told their tokens."""
    told: dict[str, list[tuple[int, float]]] = {}
    for shot in log.shots:
        for reply in shot.replies:
            if reply.tokens:
                told.setdefault(shot.subject, []).append((reply.tokens, round(reply.rest_s, 5)))
    return told


def table(rows: Sequence[Figure]) -> str:
    """The figures as aligned text; what does not apply is said below them."""
    lines = [HEAD]
    for row in rows:
        bars = (bar_text(row, row.bar), bar_text(row, row.moonshot)) if row.bar else ("", "")
        ratio = ("-", "") if row.ratio is None else (f"{row.ratio:.1f}x", f"{row.low:.1f} to {row.high:.1f}")
        verdict = {"moonshot": "met, and the moonshot", "met": "met", "short": "short of the bar", "": ""}[row.verdict]
        lines.append(
            (row.title, row.against, value_text(row, row.that), value_text(row, row.this), *ratio, *bars, verdict)
        )
    reasons = dict.fromkeys(row.missing for row in rows if row.missing)
    notes = [
        f"no figure ({', '.join(dict.fromkeys(row.key for row in rows if row.missing == reason))}): {reason}"
        for reason in reasons
    ]
    return "\n".join([*(line.rstrip() for line in aligned(lines).splitlines()), *notes])


def bar_text(row: Figure, value: float | None) -> str:
    """A bar in the unit that it is held in: of the ratio, or of the rate; "" for none."""
    return "" if value is None else f"{value:g}/s" if row.unit == "frames/s" else f"{value:g}x"


def value_text(row: Figure, value: float | None) -> str:
    """A value in the figure's unit; "-" for none."""
    return "-" if value is None else f"{value:.1f}/s" if row.unit == "frames/s" else f"{value:.3f} s"


def text(report: dict[str, Any]) -> str:
    """A report for a terminal: machine, table, sameness, memory, and one last line of the main ratios."""
    on, same = report["machine"], report["same"]
    rows = [Figure(**{key: value for key, value in row.items() if key != "verdict"}) for row in report["figures"]]
    masks = f"{same['masks']} masks overlap by at least {same['lowest_iou']:.4f} (IoU)" if same["masks"] else "no masks"
    lines = [
        f"{report['model']['name']} on {on['gpu'] or on['cpu']}, {on['cores']} cores, {on['threads']} threads, "
        f"torch {on['torch']}; load average {on['load_at_start']} before, {on['load_at_end']} after",
        f"medians of {report['plan']['rounds']} rounds at 640 x 480, in which the variants take turns",
        "",
        table(rows),
        "",
        f"same answers: {same['equal']} of {same['replies']} equal word by word; {masks}",
        f"followed: a mask on {report['followed']['masks']} of {report['followed']['frames']} frames",
        *memory_lines(report["memory"]),
    ]
    if note := busy_note(on):
        lines.append(f"warning: {note}")
    if same["equal"] < same["replies"] or same["lowest_iou"] < SAME_IOU:
        lines.append("warning: the plain way gives other answers; the ratios compare unlike things")
        lines += [f"  {pair}" for pair in same["different"]]
    if report["failed"]:
        lines.append(f"{len(report['failed'])} commands without a readable reply; the first: {report['failed'][0]}")
    return "\n".join([*lines, "", summary(rows, same)])


def busy_note(machine: dict[str, Any]) -> str:
    """What to make of the figures if other work had the cores when the run began; empty if it had not."""
    load, cores = machine["load_at_start"], machine["cores"]
    if load is None or load <= cores / 2:
        return ""
    return f"the machine was busy with other work (load {load} on {cores} cores): take the ratios, not the seconds"


def memory_lines(memory: dict[str, Any]) -> list[str]:
    """Growth of memory, a line a piece of work."""
    lines = []
    for work, entry in memory.items():
        for place, name in (("resident_mb", "resident memory"), ("gpu_mb", "GPU memory of torch")):
            if entry[place] is not None:
                growth, share = entry[place]["growth"], entry[place]["share"]
                line = f"{name} over {entry['count']} {work}: {growth:+.1f} MB ({share:+.2%})"
                if entry["count"] >= GROWTH_BAR[work]:
                    line += f"; bar none: {'met' if share <= NO_GROWTH else 'short of the bar'}"
                lines.append(line)
    return lines


def summary(rows: Sequence[Figure], same: dict[str, Any]) -> str:
    """The main ratios in one line."""
    ratios = {row.key: f"{row.ratio:.1f}x" for row in rows if row.ratio is not None}
    parts = [f"{name} {ratios[key]}" for key, name in _SUMMED.items() if key in ratios]
    followed = next(row.this for row in rows if row.key == "follow")
    if followed is not None:
        parts.append(f"following {followed:.1f} frames/s")
    if same["replies"]:
        parts.append(f"{same['equal']} of {same['replies']} answers the same")
    return ", ".join(parts)
