# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG text, drawn by hand: a page with them needs no library and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import sqrt

from llavaseg_ros.evaluation.calibration import Bin
from llavaseg_ros.evaluation.figures import Figure
from llavaseg_ros.evaluation.names import Confusion

_SERIES = ("var(--accent)", "var(--accent2)", "var(--good)")
SMALL_MATRIX = 14  # rows up to which the cells of a confusion matrix are large


def bars(groups: Mapping[str, Sequence[Figure]], series: Sequence[str]) -> str:
    """Horizontal bars from 0 to 1 with their intervals. groups: name -> one figure a series (no value = a dash)."""
    left = 30 + 6.4 * max((len(name) for name in groups), default=0)
    width, thick, gap = 320, 14, 10
    rows: list[str] = []
    y = 26
    for name, figures in groups.items():
        rows.append(_text(left - 8, y + thick * len(series) / 2 + 4, name, "end"))
        for index, figure in enumerate(figures):
            top = y + index * thick
            if figure.value is None:
                rows.append(_text(left + 4, top + 11, "-", opacity=0.5))
                continue
            size = max(0.0, min(1.0, figure.value)) * width
            rows.append(
                f'<rect x="{left:g}" y="{top}" width="{size:.1f}" height="{thick - 2}" fill="{_SERIES[index % 3]}"/>'
            )
            end = size
            if figure.low is not None and figure.high is not None:
                end = max(size, figure.high * width)
                rows.append(_line(left + figure.low * width, top + 6, left + figure.high * width, top + 6, "ink", 1.5))
            rows.append(_text(left + end + 6, top + 11, f"{figure.value:.2f}"))
        y += thick * len(series) + gap
    grid = "".join(_line(left + width * t, 22, left + width * t, y - 4, "line") for t in (0, 0.25, 0.5, 0.75, 1))
    return _svg(left + width + 45, y, _legend(series, left) + grid + "".join(rows))


def bin_counts(values: Sequence[float], bins: int = 10) -> list[int]:
    """How many values from 0 to 1 fall into each of `bins` equal bins; the last one holds 1.0 too.

    >>> bin_counts([0.0, 0.49, 0.5, 1.0], bins=2)
    [2, 2]
    """
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(value * bins)))] += 1
    return counts


def histogram(counts: Sequence[int]) -> str:
    """Upright bars of the counts of equal bins from 0 to 1."""
    left, width, height, top, bins = 34, 440, 150, 14, len(counts)
    most = max(1, *counts)
    step = width / bins
    parts = [_line(left, top + height, left + width, top + height, "soft")]
    for index, count in enumerate(counts):
        size = height * count / most
        x = left + index * step
        parts.append(
            f'<rect x="{x + 2:.1f}" y="{top + height - size:.1f}" width="{step - 4:.1f}" height="{size:.1f}" '
            f'fill="{_SERIES[0]}"/>'
        )
        parts.append(_text(x + step / 2, top + height - size - 3, str(count), "middle"))
        parts.append(_text(x, top + height + 15, f"{index / bins:g}", "middle", 0.7))
    parts.append(_text(left + width, top + height + 15, "1", "middle", 0.7))
    return _svg(left + width + 20, top + height + 22, "".join(parts))


def reliability(bins: Sequence[Bin]) -> str:
    """The share of right masks over their mean score, with intervals, beside the diagonal; below it the masks a bin.
    The area of a dot grows with its masks.
    """
    left, side, top, strip = 46, 300, 12, 56
    bottom = top + side
    most = max([1, *(b.right.count for b in bins)])
    parts = []
    for t in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(left, bottom - side * t, left + side, bottom - side * t, "line"))
        parts.append(_line(left + side * t, top, left + side * t, bottom, "line"))
        parts.append(_text(left - 6, bottom - side * t + 4, f"{t:g}", "end", 0.7))
    parts.append(
        f'<line x1="{left}" y1="{bottom}" x2="{left + side}" y2="{top}" stroke="var(--soft)" stroke-dasharray="5 4"/>'
    )
    ground = bottom + 14 + strip
    for b in bins:
        x0, wide, size = left + side * b.low, side * (b.high - b.low), strip * b.right.count / most
        parts.append(
            f'<rect x="{x0 + 1.5:.1f}" y="{ground - size:.1f}" width="{wide - 3:.1f}" height="{size:.1f}" '
            f'fill="{_SERIES[1]}" opacity="0.6"/>'
        )
        parts.append(_text(x0, ground + 14, f"{b.low:g}", "middle", 0.7))
        if b.score is None or b.right.value is None or b.right.low is None or b.right.high is None:
            continue
        x, y = left + side * b.score, bottom - side * b.right.value
        parts.append(_text(x0 + wide / 2, ground - size - 3, str(b.right.count), "middle"))
        parts.append(_line(x, bottom - side * b.right.low, x, bottom - side * b.right.high, "accent", 1.5))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + 6 * sqrt(b.right.count / most):.1f}" fill="{_SERIES[0]}">'
            f"<title>score {b.score:.2f}, right {b.right.value:.2f}, {b.right.count} masks</title></circle>"
        )
    parts.append(_text(left + side, ground + 14, "1", "middle", 0.7))
    parts.append(_text(left + side / 2, ground + 31, "score of the mask", "middle"))
    middle = top + side / 2
    parts.append(
        f'<text x="12" y="{middle:g}" text-anchor="middle" transform="rotate(-90 12 {middle:g})">share right</text>'
    )
    return _svg(left + side + 20, ground + 38, "".join(parts))


def matrix(confusion: Confusion) -> str:
    """A confusion matrix: a row a true word, shaded by the share of the row; the diagonal is green."""
    small = len(confusion.rows) > SMALL_MATRIX
    cell, font = (15, 9) if small else (27, 12)
    letter = 5.3 if small else 6.6
    left = 10 + letter * max((len(word) for word in confusion.rows), default=0)
    top = 12 + 0.8 * letter * max((len(word) for word in confusion.columns), default=0)
    width, height = cell * len(confusion.columns), cell * len(confusion.rows)
    parts = []
    for index, word in enumerate(confusion.columns):
        x, y = left + cell * (index + 0.5) + 3, top - 6
        parts.append(
            f'<text x="{x:g}" y="{y:g}" style="font-size:{font}px" transform="rotate(-50 {x:g} {y:g})">'
            f"{escape(word)}</text>"
        )
        parts.append(_line(left + cell * index, top, left + cell * index, top + height, "line", 0.5))
    for line, (truth, counts) in enumerate(zip(confusion.rows, confusion.counts, strict=True)):
        y, total = top + cell * line, sum(counts)
        parts.append(_text(left - 6, y + cell / 2 + font / 3, truth, "end", size=font))
        parts.append(_line(left, y, left + width, y, "line", 0.5))
        for place, (said, count) in enumerate(zip(confusion.columns, counts, strict=True)):
            if not count:
                continue
            x, share = left + cell * place, count / total
            parts.append(
                f'<rect x="{x:g}" y="{y:g}" width="{cell}" height="{cell}" fill="var(--{_tone(truth, said)})" '
                f'fill-opacity="{0.12 + 0.68 * share:.2f}">'
                f"<title>{escape(truth)}, said {escape(said)}: {count} of {total}</title></rect>"
            )
            parts.append(_text(x + cell / 2, y + cell / 2 + font / 3, str(count), "middle", size=font))
    frame = f'<rect x="{left:g}" y="{top:g}" width="{width}" height="{height}" fill="none" stroke="var(--line)"/>'
    overhang = 0.65 * letter * max((len(word) for word in confusion.columns[-2:]), default=0)
    return _svg(left + width + overhang, top + height + 4, frame + "".join(parts))


def _tone(truth: str, said: str) -> str:
    return "good" if truth == said else "accent"


def _text(x: float, y: float, text: str, anchor: str = "start", opacity: float = 1.0, size: int = 0) -> str:
    style = f' style="font-size:{size}px"' if size else ""
    pale = f' opacity="{opacity:g}"' if opacity < 1 else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{pale}{style}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1.0) -> str:
    """color: one of the page's names for colors."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="var(--{color})" stroke-width="{width:g}"/>'


def _legend(series: Sequence[str], left: float) -> str:
    parts = []
    x = left
    for index, name in enumerate(series):
        parts.append(f'<rect x="{x:g}" y="3" width="10" height="10" fill="{_SERIES[index % 3]}"/>')
        parts.append(_text(x + 14, 12, name))
        x += 40 + 7 * len(name)
    return "".join(parts)


def _svg(width: float, height: float, content: str) -> str:
    # No wider than a quarter above its own size, so that the letters of all charts are about as large.
    style = f'style="max-width:{1.25 * width:.0f}px"'
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" {style} role="img" xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )
