# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The shared memory of Fast DDS that processes leave behind when they do not end in the ordinary way.

A participant has a segment in /dev/shm (half a megabyte; a container has 64 by default) and a lock on the file
`SEGMENT_el` beside it for as long as it lives. A kill leaves both, without the lock, and Fast DDS never looks again.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/dev/shm")
# Of today's Fast DDS, and of Humble's. Ports are no segments: they are shared, and used again under their number.
_BESIDE = re.compile(r"fast(dds|rtps)_[0-9a-f]{16}_el")
# Between the making of the file and the lock on it a segment looks dead.
YOUNG_S = 60.0


def remove_dead_segments() -> int:
    """Remove the segments whose owners are gone, of whatever program. Returns their number."""
    number = 0
    for beside in _files():
        try:
            if time.time() - beside.stat().st_mtime < YOUNG_S:
                continue
            with beside.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                number += _remove(beside)
        except OSError:  # it is locked, another user's, or gone meanwhile
            continue
    return number


def remove_own_segments() -> int:
    """Remove the segments of this process: its last act, nothing can be sent any more. Returns their number.

    For an end that skips what the interpreter would have given back. Does nothing where the system lists no locks.
    """
    number = 0
    try:
        locks = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0
    own = {lock[5] for lock in locks if len(lock) > 5 and lock[4] == str(os.getpid())}
    for beside in _files():
        try:
            found = beside.stat()
            device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
            if f"{device}:{found.st_ino}" in own:
                number += _remove(beside)
        except OSError:
            continue
    return number


def _files() -> Iterator[Path]:
    try:
        names = os.listdir(FOLDER)
    except OSError:
        return
    yield from (FOLDER / name for name in names if _BESIDE.fullmatch(name))


def _remove(beside: Path) -> int:
    beside.with_name(beside.name[: -len("_el")]).unlink(missing_ok=True)
    beside.unlink(missing_ok=True)
    return 1
