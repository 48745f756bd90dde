# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A command with its right replies, and the exact strings of the turns that the small LLaVA is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NAME_TURN = "Name the target."
DESCRIBE_TURN = "Describe it."
FAST_SUFFIX = "Answer in fields."


@dataclass(frozen=True)
class Dialogue:
    """One command about one scene.

    kind: name, color, use, place, relation, size, absent or question. target_id: the object's id in the scene, None
    when nothing is to be segmented. reasoning: reply of the first turn. target: "red mug"; the name asked for where
    it is absent; "" for questions. found: the target is there. answer: one sentence for the person. color, shape,
    location: attributes of a found target, else "". phrasing: "known" or "held_out". meaning: what the command says
    in machine words, for tests and for tables: the kind, then (what, head category, head color, head group, id of the
    reference or ""); see `commands.py` and `questions.py`. expected: what a right answer to a question says, as
    `evaluation.answers` reads it; empty for commands and small talk.
    """

    kind: str
    command: str
    target_id: int | None
    reasoning: str
    target: str
    found: bool
    answer: str
    color: str = ""
    shape: str = ""
    location: str = ""
    phrasing: str = "known"
    meaning: tuple[str, ...] = ()
    expected: dict[str, Any] = field(default_factory=dict)


def name_reply(d: Dialogue) -> str:
    """Reply to the second turn."""
    return f"target: {d.target or 'none'}; found: {'yes' if d.found else 'no'}; answer: {d.answer}"


def describe_reply(d: Dialogue) -> str:
    """Reply to the third turn."""
    return f"color: {d.color}; shape: {d.shape}; location: {d.location}"


def dialogue_turns(d: Dialogue) -> list[tuple[str, str]]:
    """The (user, assistant) turns of chain-of-thought mode: two, or three where the target is found. The image goes
    before the first.
    """
    turns = [(d.command, d.reasoning), (NAME_TURN, name_reply(d))]
    if d.found:
        turns.append((DESCRIBE_TURN, describe_reply(d)))
    return turns


def fast_turn(d: Dialogue) -> tuple[str, str]:
    """The one (user, assistant) turn of fast mode."""
    head = f"target: {d.target or 'none'}; found: {'yes' if d.found else 'no'}"
    fields = f"; {describe_reply(d)}" if d.found else ""
    return f"{d.command} {FAST_SUFFIX}", f"{head}{fields}; answer: {d.answer}"
