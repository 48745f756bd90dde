# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo's page: every command with its overlay and its answer, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import median

from llavaseg_ros.demo.client import Exchange, latency_s
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.evaluation import html
from llavaseg_ros.files import write_whole
from llavaseg_ros.images import write_rgb
from llavaseg_ros.ros.messages import stamp_ns


def write_page(folder: Path, exchanges: Sequence[Exchange], *, source: str, model: str, frames: int) -> Path:
    """Write overlays (`1_overlay.png`, ...) and `index.html` into `folder`. Returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    old = set(folder.glob("*_overlay.png"))
    cards = []
    for number, exchange in enumerate(exchanges, 1):
        image = '<p class="bad">no picture</p>'
        if exchange.overlay is not None:
            overlay = folder / f"{number}_overlay.png"
            write_rgb(overlay, exchange.overlay)
            old.discard(overlay)
            image = html.picture(exchange.overlay, exchange.command, max_width=640)
        cards.append(html.card(image, exchange.command, _lines(exchange)))
    latencies = [latency_s(e.answer) for e in exchanges if e.answer is not None]
    good = sum(not e.problems for e in exchanges)
    figures = [
        (f"{good} of {len(exchanges)}", "commands answered", "final answer, stamps of a published frame"),
        (str(sum(e.found for e in exchanges)), "targets found", "with a mask"),
        (f"{median(latencies):.2f} s" if latencies else "-", "command to answer", "median, in the node"),
        (str(frames), "camera frames", "published in that time"),
    ]
    about = f"Model {model or 'default'} on {source}. Node, camera and this client were processes that spoke over DDS."
    body = [
        "<h1>llavaseg demo</h1>",
        f'<p class="soft">{escape(about)}</p>',
        html.tiles(figures),
        html.cards(cards, wide=True),
    ]
    path = folder / "index.html"
    write_whole(path, html.page("llavaseg demo", body))
    for left in old:
        left.unlink()
    return path


def summary(exchange: Exchange) -> str:
    """What came back, in one line of plain text, without the answer itself."""
    parts = [exchange.way]
    if exchange.answer is not None:
        code = ErrorCode(exchange.answer.error_code)
        parts.append(f"{latency_s(exchange.answer):.2f} s")
        if code is not ErrorCode.NONE:
            parts.append(code.name)
        elif not exchange.found:
            parts.append("a question: no mask")
    for target in exchange.masks.targets if exchange.masks else ():
        words = ", ".join(word for word in (target.color, target.shape, target.location) if word)
        parts.append(f"{target.label} ({words}), score {target.score:.2f}, {target.area_px} px")
        if target.has_geometry:
            at, size = target.centroid.pose.position, target.size
            extent = " x ".join(f"{100 * side:.0f}" for side in (size.x, size.y, size.z))
            parts.append(f"at x {at.x:.2f}, y {at.y:.2f}, z {at.z:.2f} m, {extent} cm")
    return " | ".join(parts)


def _lines(exchange: Exchange) -> list[str]:
    lines = []
    answer = exchange.answer
    if answer is not None:
        lines.append(escape(answer.text) or '<span class="soft">no words</span>')
    lines.append(f'<span class="soft">{escape(summary(exchange))}</span>')
    if exchange.states:
        lines.append(f'<span class="soft">feedback: {escape(", ".join(exchange.states))}</span>')
    if answer is not None:
        stamp = stamp_ns(answer.header.stamp)
        lines.append(f'<span class="soft">image stamp {stamp // 10**9}.{stamp % 10**9:09d}</span>')
    lines += [f'<span class="bad">{escape(problem)}</span>' for problem in exchange.problems]
    return lines
