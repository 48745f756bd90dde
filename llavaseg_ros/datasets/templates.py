# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands for sets that name things and ask for nothing: words from data/templates.yaml around the name."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import yaml

TEMPLATES_FILE = Path(__file__).resolve().parent / "data" / "templates.yaml"


@lru_cache(maxsize=1)
def load_templates() -> tuple[str, ...]:
    """The phrasings, each with {name} once."""
    templates = tuple(yaml.safe_load(TEMPLATES_FILE.read_text(encoding="utf-8"))["commands"])
    wrong = [text for text in templates if text.count("{name}") != 1]
    if wrong or not templates:
        raise ValueError(f"{TEMPLATES_FILE}: expected {{name}} once in every command, not so in {wrong}")
    return templates


def command_for(name: str, key: str) -> str:
    """A command about the thing called `name`. key: chooses the phrasing; the same key always chooses the same."""
    templates = load_templates()
    number = int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big")
    return templates[number % len(templates)].format(name=name)
