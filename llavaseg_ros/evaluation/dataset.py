# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading DATA.jsonl (commands, with or without truth) and predictions.jsonl. Errors name the file and the line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.files import write_whole
from llavaseg_ros.types import Attributes

MAX_ERRORS_SHOWN = 10

T = TypeVar("T")


class DatasetError(BadRequest):
    """A data file is missing, empty, or has lines that do not follow the format; the text lists the first ones."""


@dataclass(frozen=True)
class Sample:
    """One line of DATA.jsonl.

    image: the path as written; image_path: the file. mask_path: file of the true mask, None = the target is not there.
    ignore_path: file of a mask of pixels that do not count, None = all of them count.
    target: true name of the target, None = not given. has_truth: the line has a "mask" key at all.
    kind: type of command ("name", "absent", "question", ...), phrasing: "known", "held_out", ...; "" = not given.
    attributes: the true ones, empty where the data has none. id: the line's own "id", or its line number.
    held_out_pair: training never showed the target's color on such a thing; held_out_category: nor anything of a kind
    that the command is about; None = not given. answer: a right answer in words. expected: what a right answer to a
    plain question says, as in `answers.py`, None = not given. asks: sort of a plain question ("count", "beside", ...),
    "" = not given.
    """

    line: int
    id: str
    image: str
    image_path: Path
    command: str
    mask_path: Path | None = None
    ignore_path: Path | None = None
    target: str | None = None
    has_truth: bool = False
    kind: str = ""
    phrasing: str = ""
    attributes: Attributes = field(default_factory=Attributes)
    held_out_pair: bool | None = None
    held_out_category: bool | None = None
    answer: str = ""
    expected: dict[str, Any] | None = None
    asks: str = ""


@dataclass(frozen=True)
class Prediction:
    """One line of predictions.jsonl, in the order of DATA.jsonl.

    target: None = the command asked for no object. score: [0, 1], 0 when nothing was found.
    mask: path of a PNG of the image's size, relative to the file; None = nothing was found.
    seconds: from the command to the mask, the encoding of a new image included. error: why there is no result, or "".
    """

    image: str
    command: str
    answer: str = ""
    target: str | None = None
    attributes: Attributes = field(default_factory=Attributes)
    found: bool = False
    score: float = 0.0
    mask: str | None = None
    seconds: float = 0.0
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """The line as a dictionary, keys in the documented order; "error" only where there is one."""
        row: dict[str, Any] = {
            "image": self.image,
            "command": self.command,
            "answer": self.answer,
            "target": self.target,
            "attributes": {
                "color": self.attributes.color,
                "shape": self.attributes.shape,
                "location": self.attributes.location,
            },
            "found": self.found,
            "score": round(self.score, 4),
            "mask": self.mask,
            "seconds": round(self.seconds, 4),
        }
        if self.error:
            row["error"] = self.error
        return row


def read_dataset(path: Path, *, need_truth: bool = False, limit: int = 0) -> list[Sample]:
    """Read a DATA.jsonl. Paths in it are relative to the file; every named file must exist.

    need_truth: every line must have a "mask" key. limit: stop after so many commands, 0 = all.
    Raises DatasetError, which lists up to ten bad lines.
    """
    seen: dict[Path, bool] = {}

    def parse(row: dict[str, Any], line: int) -> Sample:
        return _sample(row, line, path.parent, need_truth, seen)

    return _read(path, parse, limit)


def read_predictions(path: Path, *, limit: int = 0) -> list[Prediction]:
    """Read a predictions.jsonl; mask files must exist. Raises DatasetError, which lists up to ten bad lines."""

    def parse(row: dict[str, Any], line: int) -> Prediction:
        return _prediction(row, path.parent)

    return _read(path, parse, limit)


def match(samples: list[Sample], predictions: list[Prediction], name: str = "predictions") -> None:
    """Check that predictions belong to the samples, line by line. Raises DatasetError at the first difference."""
    if len(samples) != len(predictions):
        raise DatasetError(f"{name}: {len(predictions)} predictions for {len(samples)} commands; expected one each")
    for sample, prediction in zip(samples, predictions, strict=True):
        for key, expected, got in (
            ("image", sample.image, prediction.image),
            ("command", sample.command, prediction.command),
        ):
            if expected != got:
                raise DatasetError(
                    f"{name}: the prediction for data line {sample.line} has {key} {got!r}, expected {expected!r}; "
                    "predictions must be in the order of the data"
                )


def _read(path: Path, parse: Callable[[dict[str, Any], int], T], limit: int) -> list[T]:
    rows: list[T] = []
    errors: list[str] = []
    for line, text in _lines(path):
        if limit and len(rows) >= limit:
            break
        try:
            rows.append(parse(_object(text), line))
        except ValueError as error:
            errors.append(f"{path} line {line}: {error}")
    if errors:
        more = len(errors) - MAX_ERRORS_SHOWN
        shown = errors[:MAX_ERRORS_SHOWN] + ([f"... and {more} more lines with errors"] if more > 0 else [])
        raise DatasetError("\n".join(shown))
    if not rows:
        raise DatasetError(f"{path}: no lines; expected one JSON object a line")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    # Only \n ends a line: JSON strings may hold other separators that str.splitlines would cut at.
    yield from ((n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip())


def _object(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from error
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, got {type(row).__name__}")
    return row


def _sample(row: dict[str, Any], line: int, folder: Path, need_truth: bool, seen: dict[Path, bool]) -> Sample:
    image, command = _text(row, "image"), _text(row, "command")
    if need_truth and "mask" not in row:
        raise ValueError('"mask" is missing; expected the path of a PNG, or null when the target is not there')
    mask, target = _optional_text(row, "mask"), _optional_text(row, "target")
    ignore = _optional_text(row, "ignore")
    image_path = folder / image
    mask_path = folder / mask if mask is not None else None
    ignore_path = folder / ignore if ignore is not None else None
    for key, file in (("image", image_path), ("mask", mask_path), ("ignore", ignore_path)):
        if file is not None and not seen.setdefault(file, _is_file(file)):
            raise ValueError(f'"{key}": no such file: {file}')
    return Sample(
        line=line,
        id=str(row.get("id", line)),
        image=image,
        image_path=image_path,
        command=command,
        mask_path=mask_path,
        ignore_path=ignore_path,
        target=target,
        has_truth="mask" in row,
        kind=_optional_text(row, "kind") or "",
        phrasing=_optional_text(row, "phrasing") or "",
        attributes=_attributes(row),
        held_out_pair=_optional_flag(row, "held_out_pair"),
        held_out_category=_optional_flag(row, "held_out_category"),
        answer=_optional_text(row, "answer", empty=True) or "",
        expected=_expected(row),
        asks=_asks(row),
    )


def _prediction(row: dict[str, Any], folder: Path) -> Prediction:
    mask = _optional_text(row, "mask")
    if mask is not None and not _is_file(folder / mask):
        raise ValueError(f'"mask": no such file: {folder / mask}')
    found = row.get("found")
    if not isinstance(found, bool):
        raise ValueError(f'"found": expected true or false, got {found!r}')
    return Prediction(
        image=_text(row, "image"),
        command=_text(row, "command"),
        answer=_optional_text(row, "answer", empty=True) or "",
        target=_optional_text(row, "target", empty=True) or None,
        attributes=_attributes(row),
        found=found,
        score=_number(row, "score", 0.0, 1.0),
        mask=mask,
        seconds=_number(row, "seconds", 0.0, float("inf")),
        error=_optional_text(row, "error", empty=True) or "",
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any file
        return False


def _text(row: dict[str, Any], key: str) -> str:
    if key not in row:
        raise ValueError(f'"{key}" is missing')
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'"{key}": expected a text that is not empty, got {value!r}')
    return value


def _optional_text(row: dict[str, Any], key: str, *, empty: bool = False) -> str | None:
    value = row.get(key)
    if value is None or (isinstance(value, str) and (empty or value.strip())):
        return value
    raise ValueError(f'"{key}": expected a text that is not empty, or null, got {value!r}')


def _optional_flag(row: dict[str, Any], key: str) -> bool | None:
    value = row.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f'"{key}": expected true, false or null, got {value!r}')


def _expected(row: dict[str, Any]) -> dict[str, Any] | None:
    value = row.get("expected")
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or "value" not in value:
        raise ValueError(f'"expected": expected an object with kind and value, or null, got {value!r}')
    return value


def _asks(row: dict[str, Any]) -> str:
    """The second word of "meaning" names the sort most finely; without it, the kind of the expected answer must do."""
    meaning = row.get("meaning")
    if isinstance(meaning, list) and len(meaning) > 1 and meaning[0] == "question":
        return str(meaning[1])
    return str((_expected(row) or {}).get("kind", ""))


def _attributes(row: dict[str, Any]) -> Attributes:
    value = row.get("attributes") or {}
    if not isinstance(value, dict):
        raise ValueError(f'"attributes": expected an object with color, shape and location, got {value!r}')
    words = {key: value.get(key) or "" for key in ("color", "shape", "location")}
    for key, word in words.items():
        if not isinstance(word, str):
            raise ValueError(f'"attributes": "{key}": expected a text, got {word!r}')
    return Attributes(**words)


def _number(row: dict[str, Any], key: str, low: float, high: float) -> float:
    value = row.get(key, 0.0)
    if not isinstance(value, bool) and isinstance(value, int | float) and low <= value <= high:
        with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
            return float(value)
    raise ValueError(f'"{key}": expected a number from {low:g} to {high:g}, got {str(value)[:40]}')


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, UTF-8. Makes the folder. The file is whole or not there; raises OSError."""
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
