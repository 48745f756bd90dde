# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The work that is done so far: segments, each a small bag with the state after it, that appear whole or not at all.

A segment is written under another name and renamed when it is complete, so that a kill at any moment leaves only whole
ones. At the end they are merged into one bag, which appears in the same way.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, ReaderError, StoragePlugin, Writer

from llavaseg_ros.bags.definitions import digest_of, typestore
from llavaseg_ros.bags.reading import Topic
from llavaseg_ros.bags.state import State, load_state, save_state
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.files import write_whole

JOB, STATE = "job.json", "state.npz"
# In the new bag's metadata.yaml: what it was made of.
CUSTOM_KEY = "llavaseg_annotate"
# The writer wants a hash; a type whose definition nobody has gets one that is no hash, rather than a wrong one.
NO_DIGEST = "unknown"
# Every distribution from Humble on reads it.
BAG_VERSION: Literal[8] = 8


@dataclass(frozen=True)
class OutMessage:
    """A message for the new bag. data: CDR bytes."""

    topic: str
    type_name: str
    log_ns: int
    data: bytes


class BagWriter:
    """Writes a rosbag2 folder with one .mcap, compressed by chunks. path must not exist; it is whole after `close`."""

    def __init__(self, path: Path, custom: dict[str, str] | None = None) -> None:
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for key, value in (custom or {}).items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        self._connections: dict[str, Connection] = {}
        self.count = 0

    def declare(self, name: str, type_name: str, like: Topic | None = None) -> None:
        """Make a topic. like: a topic of another bag, whose definition and QoS are taken over."""
        if name in self._connections:
            return
        store = typestore()
        given: dict[str, Any] = {}
        if like is not None and like.definition:
            digest = like.digest or digest_of(type_name, like.definition)
            given = {"msgdef": like.definition, "rihs01": digest or NO_DIGEST}
        elif type_name in store.fielddefs:
            given = {"typestore": store}
        else:
            given = {"msgdef": "", "rihs01": NO_DIGEST}
        self._connections[name] = self._writer.add_connection(
            name, type_name, offered_qos_profiles=like.qos if like is not None else (), **given
        )

    def write(self, message: OutMessage) -> None:
        """Add a message; its topic is made if need be."""
        self.declare(message.topic, message.type_name)
        self._writer.write(self._connections[message.topic], message.log_ns, message.data)
        self.count += 1

    def close(self) -> None:
        """Finish the bag."""
        self._writer.close()

    def abort(self) -> None:
        """Leave it unfinished."""
        self._writer.abort()


@dataclass
class Segments:
    """The segments of one job in a folder of their own. job: what the result depends on, as plain JSON values."""

    folder: Path
    job: dict[str, Any]
    _done: list[Path] = field(default_factory=list)
    _writer: BagWriter | None = None
    _locked: IO[str] | None = None

    def open(self, *, restart: bool = False) -> State:
        """Make the folder, or go on with what is in it. Returns the state after its last segment.

        Raises BadRequest when it holds the work of another job; restart: throw that away.
        """
        if restart and self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock()
        at = self.folder / JOB
        self._done = sorted(path for path in self.folder.glob("[0-9]*") if (path / STATE).is_file())
        if at.is_file() and self._done:
            different = _difference(_read_job(at), self.job)
            if different:
                raise BadRequest(
                    f"{self.folder} holds the unfinished work of another run ({different}); give the same options to "
                    "go on with it, or --restart to begin anew"
                )
        else:
            write_whole(at, json.dumps(self.job, indent=1, ensure_ascii=False))
        for left in self.folder.glob("*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        return load_state(self._done[-1] / STATE) if self._done else State()

    def write(self, messages: Iterable[OutMessage]) -> None:
        """Add the messages of one frame to the segment that is being written."""
        if self._writer is None:
            self._writer = BagWriter(self._temporary())
        for message in messages:
            self._writer.write(message)

    def commit(self, state: State) -> None:
        """End the segment: from now on a new start goes on from this state."""
        if self._writer is None:
            return
        temporary = self._temporary()
        self._writer.close()
        self._writer = None
        save_state(state, temporary / STATE)
        done = temporary.with_suffix("")
        os.replace(temporary, done)
        self._done.append(done)

    def abort(self) -> None:
        """Drop the segment that is being written."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()

    def messages(self) -> Iterator[OutMessage]:
        """Everything that was committed, in order."""
        for path in self._done:
            try:
                with Reader(path) as reader:
                    for connection, log_ns, data in reader.messages():
                        yield OutMessage(connection.topic, connection.msgtype, log_ns, bytes(data))
            except (ReaderError, OSError) as error:
                raise BadRequest(f"{path} cannot be read ({error}); --restart begins anew") from error

    def room_for_result(self, name: str) -> Path:
        """A folder of this name inside ours that does not exist yet."""
        path = self.folder / "result" / name
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(exist_ok=True)
        return path

    def release(self) -> None:
        """Let another run have the folder; one that holds no work yet is removed."""
        if self._locked is None:
            return
        if not self._done and self._writer is None:
            self.remove()
        self._locked.close()
        self._locked = None

    def remove(self) -> None:
        """Throw the folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lock(self) -> None:
        """For as long as this process lives, whatever becomes of it."""
        self._locked = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadRequest(f"{self.folder}: another run is at work on this bag") from None

    def _temporary(self) -> Path:
        return self.folder / f"{len(self._done):06d}.tmp"


def job_of(bag: Path) -> dict[str, Any] | None:
    """What an annotated bag was made of; None when it is none, or not one of ours."""
    try:
        with Reader(bag) as reader:
            custom = getattr(reader.storage.metadata, "custom", None) or {}
            job = json.loads(custom[CUSTOM_KEY])
    except (ReaderError, OSError, KeyError, ValueError, TypeError):
        return None
    return job if isinstance(job, dict) else None


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return "; ".join(f"{name}: {old.get(name)!r} there, {new.get(name)!r} now" for name in names)


def _read_job(path: Path) -> dict[str, Any]:
    try:
        job = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadRequest(f"{path} cannot be read ({error}); --restart begins anew") from error
    return job if isinstance(job, dict) else {}
