# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Settings files that may come from a stranger: JSON and YAML, as data only, of a bounded size and depth.

A few bytes of YAML can stand for gigabytes (aliases of aliases), and a few kilobytes of brackets overflow the parser's
stack. Both end here in a ValueError, like any other file that is not what it should be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

MAX_JSON_BYTES = 64 * 2**20  # a tokenizer's is the largest: some have 20 MB
MAX_YAML_BYTES = 2**20
_MOST_DEPTH = 50  # of YAML, which takes seconds to find out that it is too deep for the stack


class _NoAliases(yaml.SafeLoader):
    """As SafeLoader, without references from one place of a file to another, and not deeper than any settings are."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.YAMLError(f"line {event.start_mark.line + 1}: *{event.anchor}: aliases are not taken here")
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise yaml.YAMLError("nested too deeply")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises OSError when it cannot be read, ValueError when it is too large, too deep or no
    JSON."""
    try:
        return json.loads(_text(path, MAX_JSON_BYTES))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_yaml(path: Path) -> Any:
    """What a YAML file holds: plain values, no aliases, no tags of Python. Raises OSError and ValueError as `read_json`
    does."""
    try:
        return yaml.load(_text(path, MAX_YAML_BYTES), _NoAliases)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _text(path: Path, most: int) -> str:
    with path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {most} bytes")
    return data.decode("utf-8")
