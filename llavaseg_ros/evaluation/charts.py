"""Charts as SVG text, drawn by hand: a page with them needs no library and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_SERIES = ("var(--accent)", "var(--accent2)", "var(--good)")


def bars(groups: Mapping[str, Sequence[float | None]], series: Sequence[str]) -> str:
    """Horizontal bars from 0 to 1. groups: name -> one value a series (None = nothing to show)."""
    left, width, thick, gap = 110, 330, 13, 10
    rows: list[str] = []
    y = 26
    for name, values in groups.items():
        rows.append(
            f'<text x="{left - 8}" y="{y + thick * len(series) / 2 + 4:g}" text-anchor="end">{escape(name)}</text>'
        )
        for index, value in enumerate(values):
            top = y + index * thick
            if value is None:
                rows.append(f'<text x="{left + 4}" y="{top + 10}" opacity="0.5">-</text>')
                continue
            size = max(0.0, min(1.0, value)) * width
            rows.append(
                f'<rect x="{left}" y="{top}" width="{size:.1f}" height="{thick - 2}" fill="{_SERIES[index % 3]}"/>'
                f'<text x="{left + size + 5:.1f}" y="{top + 10}">{value:.2f}</text>'
            )
        y += thick * len(series) + gap
    grid = "".join(
        f'<line x1="{left + width * t:g}" x2="{left + width * t:g}" y1="22" y2="{y - 4}" stroke="var(--line)"/>'
        for t in (0, 0.25, 0.5, 0.75, 1)
    )
    return _svg(left + width + 45, y, _legend(series, left) + grid + "".join(rows))


def histogram(values: Sequence[float], bins: int = 10) -> str:
    """How often values from 0 to 1 fall into each of `bins` equal bins; the last one holds 1.0 too."""
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(value * bins)))] += 1
    left, width, height, top = 34, 440, 150, 14
    most = max(1, *counts)
    step = width / bins
    parts = [f'<line x1="{left}" x2="{left + width}" y1="{top + height}" y2="{top + height}" stroke="var(--soft)"/>']
    for index, count in enumerate(counts):
        size = height * count / most
        x = left + index * step
        parts.append(
            f'<rect x="{x + 2:.1f}" y="{top + height - size:.1f}" width="{step - 4:.1f}" height="{size:.1f}" '
            f'fill="{_SERIES[0]}"/><text x="{x + step / 2:.1f}" y="{top + height - size - 3:.1f}" '
            f'text-anchor="middle">{count}</text>'
            f'<text x="{x:.1f}" y="{top + height + 15}" text-anchor="middle" opacity="0.7">{index / bins:g}</text>'
        )
    parts.append(f'<text x="{left + width}" y="{top + height + 15}" text-anchor="middle" opacity="0.7">1</text>')
    return _svg(left + width + 20, top + height + 22, "".join(parts))


def heat_table(labels: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
    """A confusion matrix of (truth, predicted) pairs as a table: a row a truth; predictions outside `labels` under
    "other". Shade is the share of the row."""
    names = [*labels, "other"]
    counts = {(t, p): 0 for t in labels for p in names}
    for truth, predicted in pairs:
        if truth in labels:
            counts[truth, predicted if predicted in labels else "other"] += 1
    head = "<th>true \\ said</th>" + "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for truth in labels:
        total = sum(counts[truth, name] for name in names)
        cells = []
        for name in names:
            count = counts[truth, name]
            share = count / total if total else 0.0
            color = "27,127,75" if name == truth else "194,24,91"
            cells.append(f'<td style="background:rgba({color},{0.75 * share:.2f})">{count or ""}</td>')
        rows.append(f"<tr><th>{escape(truth)}</th>{''.join(cells)}</tr>")
    return f'<table class="heat"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _legend(series: Sequence[str], left: int) -> str:
    parts = []
    x = left
    for index, name in enumerate(series):
        parts.append(
            f'<rect x="{x}" y="3" width="10" height="10" fill="{_SERIES[index % 3]}"/>'
            f'<text x="{x + 14}" y="12">{escape(name)}</text>'
        )
        x += 40 + 7 * len(name)
    return "".join(parts)


def _svg(width: float, height: float, content: str) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" xmlns="http://www.w3.org/2000/svg">{content}</svg>'
