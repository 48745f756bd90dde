# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reads a rosbag2 recording: a folder, an .mcap or a .db3 file; of one that was cut off, what can be read.

Messages stay serialized. What was lost is told in `Bag.problems`, never silently.
"""

from __future__ import annotations

import re
import sqlite3
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from rosbags.rosbag2 import Reader, ReaderError
from rosbags.rosbag2.metadata import parse_qos

from llavaseg_ros.errors import BadRequest

SUFFIXES = (".mcap", ".db3")
# What readers raise on a file that is not whole. KeyError and IndexError come from records that name others which are
# lost; ValueError from a checksum that is wrong and from text that is none.
_BROKEN = (ReaderError, sqlite3.Error, EOFError, OSError, struct.error, KeyError, IndexError, ValueError, TypeError)


@dataclass(frozen=True)
class Topic:
    """A topic of a bag.

    definition: text of its message definition; digest: its RIHS01; "" where the bag has none. qos: as rosbags has it.
    """

    name: str
    type_name: str
    count: int
    definition: str = ""
    digest: str = ""
    qos: tuple[Any, ...] = ()


@dataclass(frozen=True)
class BagMessage:
    """One message as it is stored. log_ns: time of recording. data: CDR bytes."""

    topic: str
    log_ns: int
    data: bytes


class _Part(Protocol):
    """One storage file, or a whole folder."""

    path: Path
    topics: list[Topic]
    problem: str

    def messages(self, topics: Collection[str] | None) -> Iterator[BagMessage]: ...


@dataclass
class Bag:
    """An opened bag. topics: by name. problems: what is wrong with it, in words; more may come while it is read."""

    path: Path
    topics: dict[str, Topic]
    problems: list[str] = field(default_factory=list)
    _parts: list[_Part] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's name, or the file's without its ending."""
        return self.path.resolve().name if self.path.is_dir() else self.path.stem

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """The messages of some topics, None = of all, in order of recording. Ends where the bag cannot be read on."""
        for part in self._parts:
            yield from part.messages(topics)
            if part.problem and part.problem not in self.problems:
                self.problems.append(part.problem)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in _files(self.path))


def open_bag(path: Path | str) -> Bag:
    """Open a recording. Raises BadRequest when it is none, or when nothing of it can be read."""
    path = Path(path)
    if not path.exists():
        raise BadRequest(f"{path}: no such file or folder; expected a rosbag2 folder, an .mcap or a .db3 file")
    if path.suffix == ".bag":
        raise BadRequest(f"{path} is a ROS 1 bag; `rosbags-convert --src {path} --dst FOLDER` makes a rosbag2 of it")
    files = _files(path)
    if not files:
        raise BadRequest(f"{path} is no recording; expected a rosbag2 folder, an .mcap or a .db3 file")
    parts, problems = _open_parts(path, files)
    topics: dict[str, Topic] = {}
    for part in parts:
        for topic in part.topics:
            before = topics.get(topic.name)
            count = topic.count + (before.count if before else 0)
            topics[topic.name] = replace(topic, count=count)
    problems += [part.problem for part in parts if part.problem]
    if not parts or not any(topic.count for topic in topics.values()):
        raise BadRequest(f"{path}: no message can be read{': ' if problems else ''}{'; '.join(problems)}")
    return Bag(path, topics, problems, parts)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in SUFFIXES else []
    found = [file for file in path.iterdir() if file.suffix in SUFFIXES or file.name.endswith(".zstd")]
    return sorted(found, key=_number_key)


def _number_key(file: Path) -> list[str | int]:
    """By number where a name holds one: bag_10.mcap comes after bag_9.mcap."""
    return [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", file.name)]


def _open_parts(path: Path, files: list[Path]) -> tuple[list[_Part], list[str]]:
    """The folder at once if it is whole, else file by file; and what is wrong with files that give nothing."""
    problems: list[str] = []
    if path.is_dir():
        try:
            return [_Whole(path)], problems
        except FileNotFoundError:
            problems.append(f"{path} has no metadata.yaml: the recording was not closed")
        except _BROKEN as error:
            problems.append(f"{path} is not whole: {_text(error)}")
    parts: list[_Part] = []
    for file in files:
        try:
            parts.append(_Whole(file))
        except _BROKEN as error:
            if file.suffix != ".mcap":
                problems.append(f"{file.name}: {_text(error)}")
                continue
            cut = _CutMcap(file)
            if cut.topics:
                parts.append(cut)
            else:
                problems.append(cut.problem)
    return parts, problems


class _Whole:
    """A folder or a file that rosbags can open. It may still turn out to be broken further on."""

    def __init__(self, path: Path) -> None:
        self.path, self.problem = path, ""
        with Reader(path) as reader:
            self.topics = [
                Topic(
                    connection.topic,
                    connection.msgtype,
                    connection.msgcount,
                    connection.msgdef.data,
                    connection.digest,
                    tuple(getattr(connection.ext, "offered_qos_profiles", ())),
                )
                for connection in reader.connections
            ]

    def messages(self, topics: Collection[str] | None) -> Iterator[BagMessage]:
        read = 0
        try:
            with Reader(self.path) as reader:
                wanted = [c for c in reader.connections if topics is None or c.topic in topics]
                if not wanted:
                    return
                for connection, log_ns, data in reader.messages(wanted):
                    read += 1
                    yield BagMessage(connection.topic, log_ns, bytes(data))
        except _BROKEN as error:
            self.problem = f"{self.path.name} cannot be read on after {read} messages: {_text(error)}"


class _CutMcap:
    """An .mcap without its end, as a recorder leaves it that was killed, or a disk that was full."""

    def __init__(self, path: Path) -> None:
        self.path, self.problem = path, ""
        counts: dict[str, int] = {}
        known: dict[str, Topic] = {}
        for topic, _ in self._read():
            known[topic.name] = topic
            counts[topic.name] = counts.get(topic.name, 0) + 1
        self.topics = [replace(topic, count=counts[topic.name]) for topic in known.values()]

    def messages(self, topics: Collection[str] | None) -> Iterator[BagMessage]:
        for topic, message in self._read():
            if topics is None or topic.name in topics:
                yield BagMessage(topic.name, message.log_time, message.data)

    def _read(self) -> Iterator[tuple[Topic, Any]]:
        try:
            from mcap.exceptions import McapError
            from mcap.records import Channel, Message, Schema
            from mcap.stream_reader import StreamReader
        except ImportError:
            raise BadRequest(
                f"{self.path} was cut off; the package `mcap` reads what is left of it: pip install mcap"
            ) from None
        schemas: dict[int, Any] = {}
        topics: dict[int, Topic] = {}
        read = 0
        try:
            with self.path.open("rb") as file:
                # A record's length that is garbage must not ask for all of the memory.
                for record in StreamReader(file, record_size_limit=self.path.stat().st_size).records:
                    if isinstance(record, Schema):
                        schemas[record.id] = record
                    elif isinstance(record, Channel):
                        schema = schemas.get(record.schema_id)
                        name, text = (schema.name, schema.data.decode()) if schema else ("", "")
                        qos = tuple(parse_qos(record.metadata.get("offered_qos_profiles", "")))
                        topics[record.id] = Topic(record.topic, name, 0, text, qos=qos)
                    elif isinstance(record, Message):
                        read += 1
                        yield topics[record.channel_id], record
        except (McapError, zlib.error, RuntimeError, *_BROKEN) as error:
            self.problem = f"{self.path.name} is cut off or broken: {read} messages could be read ({_text(error)})"
        except Exception as error:
            # zstandard and lz4 have exceptions of their own for a chunk that is garbage.
            if not type(error).__module__.startswith(("zstandard", "zstd", "backports", "lz4")):
                raise
            self.problem = f"{self.path.name} is broken: {read} messages could be read ({_text(error)})"


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
