# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there: what a full disk, a kill or an error interrupts leaves nothing under its name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# The disk, or a user's share of it, is full, ended, read only or broken; the system names no file with these.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that appears under its name when it is complete, in place of an older one, or not at all.

    mode: "w" for text in UTF-8, "wb" for bytes. Makes the folder. That it can be written at all is known from the
    start. Raises OSError, which names the file, also where the system's error does not (a full disk).
    """
    encoding = None if "b" in mode else "utf-8"
    with named_errors(path), _whole(path) as temporary, temporary.open(mode, encoding=encoding) as file:
        yield file


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a text (UTF-8) or bytes as `whole_file` does. Raises OSError."""
    with whole_file(path, "w" if isinstance(data, str) else "wb") as file:
        file.write(data)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """A disk's OSError that names no file becomes one that names this: "No space left on device" alone helps nobody."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write torch tensors as safetensors, as `whole_file` does. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with _whole(path) as temporary:
            save_file(dict(tensors), temporary, dict(metadata))
    except SafetensorError as error:  # its text holds the system's
        raise OSError(f"{path}: cannot be written ({error})") from error


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Where to write what is to become `path`. Makes the folder; nothing is left of what fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
