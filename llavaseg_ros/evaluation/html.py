# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small pieces of HTML that make one self-contained page: no script, no font, no file from anywhere else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from llavaseg_ros.images import jpeg_bytes

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #626b7c; --line: #d9dee7; --ground: #f5f7fa; --card: #ffffff;
  --accent: #c2185b; --accent2: #0277bd; --good: #1b7f4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --soft: #9aa4b5; --line: #343b49; --ground: #14171d;
  --card: #1d222b; --accent: #ff6ea3; --accent2: #5bb8f0; --good: #5fd39a; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 40px 0 12px; }
p { margin: 6px 0; } .soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; margin: 22px 0; }
.tile, .card, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.tile { padding: 12px 14px; } .tile b { display: block; font-size: 25px; line-height: 1.2; }
.tile span { color: var(--soft); font-size: 13px; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 16px; align-items: start; }
.panel { padding: 14px 16px; overflow-x: auto; } .panel h3 { margin: 0 0 8px; font-size: 15px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 16px; }
.cards.wide { grid-template-columns: repeat(auto-fill, minmax(350px, 1fr)); }
.card { overflow: hidden; } .card img { display: block; width: 100%; height: auto; }
.card div { padding: 9px 12px 12px; font-size: 14px; overflow-wrap: anywhere; } .card .command { font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 5px 9px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
table.heat td, table.heat th { text-align: center; padding: 4px 3px; font-size: 12px; white-space: normal; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole document. title is plain text, body is HTML."""
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
    )
    return "\n".join([head, *body, "</main></body></html>\n"])


def picture(rgb: np.ndarray, alt: str, max_width: int = 480) -> str:
    """An <img> that carries uint8 [H, W, 3] RGB inside it as JPEG."""
    data = base64.b64encode(jpeg_bytes(rgb, max_width)).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escape(alt, quote=True)}">'


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """Large figures with their names: (value, name, remark), plain text."""
    cells = (
        f'<div class="tile"><b>{escape(value)}</b>{escape(name)}<br><span>{escape(remark)}</span></div>'
        for value, name, remark in figures
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts; the first column is left-aligned."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def card(image: str, command: str, lines: Iterable[str]) -> str:
    """A picture (HTML) with its command (plain text) and lines below (HTML)."""
    text = "".join(f"<p>{line}</p>" for line in lines)
    return f'<div class="card">{image}<div><p class="command">{escape(command)}</p>{text}</div></div>'


def cards(items: Iterable[str], *, wide: bool = False) -> str:
    """A grid of cards; wide ones stand three in a row on a desk's screen."""
    return f'<div class="cards{" wide" if wide else ""}">{"".join(items)}</div>'


def panel(title: str, content: str) -> str:
    """A framed box with a heading (plain text, may be empty) and HTML in it."""
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    return f'<div class="panel">{heading}{content}</div>'
