# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Prompt styles: the words said to a language model, as data files (`prompts/*.yaml`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llavaseg_ros.errors import BundleError
from llavaseg_ros.plain_files import read_yaml

PROMPT_FOLDER = Path(__file__).parent / "prompts"

_TEXTS = ("system", "reason", "name", "describe", "fast", "chat")
_RETRIES = ("name", "describe", "fast")
_SEVERAL = "several"
_TURNS = ("reason", "name", "describe", "fast", "chat")


@dataclass(frozen=True)
class PromptStyle:
    """The user turns of the chain of thought. `{command}` in reason and fast, `{question}` in chat, and `{max_targets}`
    in several, are replaced.

    several: asks for the list of targets, once the model has said that a command means several; "" for a model that
    cannot make one: then rules find out what is meant (`several.py`). history: the model understands earlier turns;
    else it never gets them, and rules say what a command refers to (`references.py`).
    retry: the corrective user turn after a reply that does not parse, by turn (name, describe, fast, several).
    max_new_tokens: the longest reply, by turn (reason, name, describe, fast, chat, several).
    """

    system: str
    reason: str
    name: str
    describe: str
    fast: str
    chat: str
    retry: dict[str, str]
    max_new_tokens: dict[str, int]
    several: str = ""
    history: bool = True


def load_style(name_or_path: str | Path) -> PromptStyle:
    """Read a prompt style: the name of one that ships ("embedded", "generic"), or the path of a YAML file.

    Raises BundleError, naming the file and the key, if it is missing or malformed.
    """
    path = Path(name_or_path)
    if path.suffix != ".yaml":
        path = PROMPT_FOLDER / f"{name_or_path}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in PROMPT_FOLDER.glob("*.yaml")))
            raise BundleError(
                f"prompts: no style {str(name_or_path)!r}; there are {known}, or the path of a .yaml file"
            )
    try:
        data = read_yaml(path)
    except (OSError, ValueError) as error:
        raise BundleError(f"prompts: cannot read {path}: {error}") from error
    return _checked(data, path)


def _checked(data: Any, path: Path) -> PromptStyle:
    if not isinstance(data, dict):
        raise BundleError(f"prompts: {path} holds {type(data).__name__}, expected keys and values")
    for key in _TEXTS:
        if not isinstance(data.get(key), str):
            raise BundleError(f"prompts: {path}: {key!r} is {type(data.get(key)).__name__}, expected text")
    for key, slot in (("reason", "{command}"), ("fast", "{command}"), ("chat", "{question}")):
        if slot not in data[key]:
            raise BundleError(f"prompts: {path}: {key!r} does not contain {slot}")
    several, history = data.get(_SEVERAL, ""), data.get("history", True)
    if not isinstance(several, str):
        raise BundleError(f"prompts: {path}: {_SEVERAL!r} is {type(several).__name__}, expected text")
    if not isinstance(history, bool):
        raise BundleError(f"prompts: {path}: 'history' is {type(history).__name__}, expected true or false")
    more = (_SEVERAL,) if several else ()
    retries, turns = (*_RETRIES, *more), (*_TURNS, *more)
    retry, limits = data.get("retry"), data.get("max_new_tokens")
    if not isinstance(retry, dict) or not all(isinstance(retry.get(key), str) for key in retries):
        raise BundleError(f"prompts: {path}: 'retry' needs a text for each of {', '.join(retries)}")
    if not isinstance(limits, dict) or not all(isinstance(limits.get(k), int) and limits[k] > 0 for k in turns):
        raise BundleError(f"prompts: {path}: 'max_new_tokens' needs a positive number for each of {', '.join(turns)}")
    return PromptStyle(
        **{key: data[key] for key in _TEXTS},
        retry={key: retry[key] for key in retries},
        max_new_tokens={key: limits[key] for key in turns},
        several=several,
        history=history,
    )
