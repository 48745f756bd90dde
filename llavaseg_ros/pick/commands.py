# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What to ask for on a table: commands of the language generator, kind after kind, each with one right target."""

from __future__ import annotations

import random
from typing import Any

from llavaseg_ros.training.language import Dialogue, make_dialogues

KINDS = ("name", "color", "use", "place", "relation", "size")
PHRASINGS = ("known", "held_out")


def choose_command(scene: dict[str, Any], number: int) -> Dialogue | None:
    """The command of trial `number` about a scene (a line of scenes.jsonl); the first that the generator comes up with.

    Kinds take turns, and so do phrasings that training knows and those it does not. Where a scene does not permit the
    kind, the next one is taken. None when it permits none.
    """
    rng = random.Random(f"pick {number}")
    phrasing = PHRASINGS[number // len(KINDS) % 2]
    for k in range(len(KINDS)):
        kind = KINDS[(number + k) % len(KINDS)]
        found = make_dialogues(scene, rng, phrasing=phrasing, count=1, shares={kind: 1.0}, typos=False)  # type: ignore[arg-type]
        if found and found[0].target_id is not None:
            return found[0]
    return None
