# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The pictures of the evaluation page: a command with its mask, the truth's outline, what was said and expected."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.evaluation import html
from llavaseg_ros.evaluation.metrics import TRAINED
from llavaseg_ros.evaluation.scoring import Row, load_masks
from llavaseg_ros.images import read_rgb
from llavaseg_ros.types import Attributes
from llavaseg_ros.viz import compare

LEGEND = "Green outline: the truth. Pink: the prediction."


def sections(rows: Sequence[Row], count: int) -> list[str]:
    """HTML of the pictures worth seeing, at most `count` of a sort."""
    there = [r for r in rows if r.score.present and not r.score.is_question]
    best = sorted(there, key=lambda r: (-r.score.iou, r.sample.line))[:count]
    # Of masks that are equally wrong, the surest are the ones to look at. No picture is among both, however few.
    chosen = {id(row) for row in best}
    rest = [r for r in there if id(r) not in chosen and not r.prediction.error]
    drawn = sorted((r for r in rest if not r.score.predicted_empty), key=lambda r: (r.score.iou, -r.prediction.score))
    absent = [r for r in rows if not r.score.present and not r.score.is_question and not r.prediction.error]
    asked = [r for r in rows if r.score.is_question and not r.prediction.error]
    wrong = [r for r in asked if r.score.right_answer is False]
    other = [r for r in asked if r.score.right_answer is not False]
    parts = (
        ("Best", "Highest IoU first.", best),
        ("Worst", "Lowest IoU first, of equal ones the surest.", drawn[:count]),
        ("There, but refused", "", [r for r in rest if r.score.predicted_empty][:count]),
        ("Absent targets that got a mask", "", [r for r in absent if not r.score.predicted_empty][:count]),
        ("Absent targets, refused", "", [r for r in absent if r.score.predicted_empty][: count // 2]),
        ("Questions answered wrong", "", wrong[:count]),
        ("Questions", "", other[: count // 2]),
        ("Commands that failed", "", [r for r in rows if r.prediction.error][:count]),
    )
    out: list[str] = []
    for title, remark, shown in parts:
        if shown:
            out.append(f"<h2>{escape(title)}</h2>")
            out.append(f'<p class="soft">{escape(f"{remark} {LEGEND}".strip())}</p>')
            out.append(html.cards(_card(row) for row in shown))
    return out


def _card(row: Row) -> str:
    sample, said, score = row.sample, row.prediction, row.score
    right = score.right_answer if score.is_question else score.right_target
    tone = {True: "good", False: "bad", None: "soft"}[right]
    lines = []
    if said.error:
        lines.append(f'<span class="bad">{escape(said.error)}</span>')
    if said.answer:
        lines.append(f'<span class="{tone}">{escape(said.answer)}</span>')
    if not score.is_question and not said.error:
        lines.append(f'said: <span class="{tone}">{escape(_words(said.target or "no target", said.attributes))}</span>')
    expected = _expected(row)
    if expected:
        lines.append(f'<span class="soft">expected:</span> {escape(expected)}')
    measured = "" if score.is_question else f"IoU {score.iou:.2f} · score {said.score:.2f} · "
    kind = " · ".join(word for word in (sample.kind, sample.phrasing.replace("_", " ")) if word)
    novel = f" · {score.novelty}" if score.novelty not in ("", TRAINED) else ""
    about = f"{measured}{said.seconds:.2f} s · {kind}{novel} · line {sample.line}"
    lines.append(f'<span class="soft">{escape(about)}</span>')
    try:
        predicted, truth = load_masks(sample, said, row.folder)
        image = html.picture(compare(read_rgb(sample.image_path), truth, predicted), sample.command)
    except (BadRequest, ValueError) as error:
        image = f'<p class="bad">{escape(str(error))}</p>'
    return html.card(image, sample.command, lines)


def _expected(row: Row) -> str:
    """What a right result would have been, in words; "" where the data does not say."""
    sample = row.sample
    if row.score.is_question:
        value = "" if sample.expected is None else str(sample.expected["value"])
        return sample.answer or value
    if not row.score.present:
        return f"no {sample.target}" if sample.target else "no target"
    return _words(sample.target, sample.attributes) if sample.target else ""


def _words(name: str, attributes: Attributes) -> str:
    # The color is part of most names already.
    words = (name, attributes.color if attributes.color not in name else "", attributes.shape, attributes.location)
    return " · ".join(word for word in words if word)
