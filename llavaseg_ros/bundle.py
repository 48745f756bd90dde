# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Model bundles: a folder with a language model, a segmenter, and a `bundle.json` with every file's size and hash.

    bundle.json   format, name, prompts (the prompt style), mllm and segmenter (folders), files, created, licence
    mllm/         an ordinary transformers folder
    segmenter/    segmenter.json and safetensors

`mllm` and `segmenter` may also be absolute paths, for models too large to copy; their files are not listed.
JSON and safetensors only: nothing in a bundle is code or pickled. A part of the bundle holds the listed files and no
others, for libraries load some by their names alone (`adapter_config.json` would bring in another model).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from llavaseg_ros.checkpoints import sha256
from llavaseg_ros.errors import BundleError
from llavaseg_ros.files import write_whole
from llavaseg_ros.plain_files import read_json

FORMAT = 1
MANIFEST = "bundle.json"

_NEEDED = {"mllm": "config.json", "segmenter": "segmenter.json"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Files hashed at a time: hashing is slower than most disks, and lets other threads run. Threads for little cost more.
_READERS, _MUCH_BYTES = 4, 2**24


@dataclass(frozen=True)
class FileEntry:
    """Size and SHA-256 (hex) of one file of a bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Bundle:
    """What `bundle.json` says. mllm, segmenter: folders. prompts: the name of a style, or the path of its file. own:
    the parts that lie in the bundle, whose files are listed; the others are absolute paths."""

    folder: Path
    name: str
    mllm: Path
    segmenter: Path
    prompts: str
    licence: str = ""
    created: str = ""
    files: dict[str, FileEntry] = field(default_factory=dict)
    own: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Size of the listed files together."""
        return sum(entry.bytes for entry in self.files.values())


def default_bundle() -> Path:
    """The folder of the embedded default, whether it is there or not."""
    return Path(__file__).parent / "weights"


def read_bundle(folder: str | Path) -> Bundle:
    """Read `bundle.json`; no other file is looked at. Raises BundleError, naming the file and what is wrong with it."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(f"there is no model bundle at {folder}: no such folder")
    try:
        data = read_json(path)
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a model bundle: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {path}: {error}") from error
    if not isinstance(data, dict):
        raise BundleError(f"{path} holds {type(data).__name__}, expected a JSON object")
    if data.get("format") != FORMAT:
        raise BundleError(f"{path}: format is {data.get('format')!r}, this version reads format {FORMAT}")
    for key in ("name", "mllm", "segmenter", "prompts"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise BundleError(f"{path}: {key!r} is {data.get(key)!r}, expected text")
    return Bundle(
        folder=folder,
        name=data["name"],
        mllm=_part(folder, data["mllm"], "mllm"),
        segmenter=_part(folder, data["segmenter"], "segmenter"),
        prompts=_prompts(folder, data["prompts"]),
        licence=str(data.get("licence", "")),
        created=str(data.get("created", "")),
        files=_entries(data.get("files"), path),
        own=tuple(part for part in _NEEDED if not Path(data[part]).is_absolute()),
    )


def verify(folder: str | Path, *, deep: bool = False) -> Bundle:
    """Check a bundle's files against `bundle.json`: presence and sizes always, SHA-256 when `deep`. Returns the bundle.

    Raises BundleError naming the first file that is missing, truncated, changed, or not listed.
    """
    bundle = read_bundle(folder)
    for name, entry in bundle.files.items():
        path = bundle.folder / name
        if not path.is_file():
            raise BundleError(f"the bundle {bundle.folder} lacks the file {name}")
        size = path.stat().st_size
        if size != entry.bytes:
            raise BundleError(f"{path} has {size} bytes, expected {entry.bytes}: truncated or changed")
    if deep:
        _check_hashes(bundle)
    for part, needed in _NEEDED.items():
        path = getattr(bundle, part) / needed
        if not path.is_file():
            raise BundleError(f"the bundle {bundle.folder} has no {part}: there is no {path}")
    _check_nothing_else(bundle)
    return bundle


def write_bundle(
    folder: str | Path,
    name: str,
    prompts: str,
    *,
    mllm: str = "mllm",
    segmenter: str = "segmenter",
    licence: str = "Apache-2.0",
    created: str | None = None,
) -> Bundle:
    """Write `bundle.json` for a folder whose parts are in place, with the size and hash of each of their files.

    mllm, segmenter: folders inside `folder`, or absolute paths. prompts: a style's name, or a .yaml file in `folder`.
    created: ISO 8601 time; now, in UTC, if not given. The file appears whole or not at all.
    Raises BundleError if a part is not there, OSError where it cannot be written.
    """
    folder = Path(folder)
    files: dict[str, dict[str, Any]] = {}
    for part, value in (("mllm", mllm), ("segmenter", segmenter)):
        root = _part(folder, value, part)
        if not (root / _NEEDED[part]).is_file():
            raise BundleError(f"cannot write {folder / MANIFEST}: there is no {root / _NEEDED[part]}")
        if not Path(value).is_absolute():
            for path in filter(Path.is_file, _shown(root)):
                files[path.relative_to(folder).as_posix()] = _entry(path)
    if prompts.endswith(".yaml"):
        files[prompts] = _entry(Path(_prompts(folder, prompts)))
    data = {
        "format": FORMAT,
        "name": name,
        "mllm": mllm,
        "segmenter": segmenter,
        "prompts": prompts,
        "licence": licence,
        "created": created or datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "files": files,
    }
    write_whole(folder / MANIFEST, json.dumps(data, indent=1) + "\n")
    return read_bundle(folder)


def _check_hashes(bundle: Bundle) -> None:
    paths = [bundle.folder / name for name in bundle.files]
    if bundle.total_bytes < _MUCH_BYTES:
        hashes = list(map(_hash, paths))
    else:
        with ThreadPoolExecutor(_READERS, "bundle check") as pool:
            hashes = list(pool.map(_hash, paths))
    for path, entry, found in zip(paths, bundle.files.values(), hashes, strict=True):
        if found != entry.sha256:
            raise BundleError(f"{path} is damaged: its SHA-256 is {found}, expected {entry.sha256}")


def _hash(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error


def _check_nothing_else(bundle: Bundle) -> None:
    """Raise BundleError for a file in a part that is not listed."""
    if (
        bundle.prompts.endswith(".yaml")
        and Path(bundle.prompts).relative_to(bundle.folder).as_posix() not in bundle.files
    ):
        raise BundleError(f"{bundle.prompts} does not belong to the bundle: {MANIFEST} does not list it")
    for part in bundle.own:
        for path in _shown(getattr(bundle, part)):
            if path.relative_to(bundle.folder).as_posix() not in bundle.files:
                raise BundleError(f"{path} does not belong to the bundle: {MANIFEST} does not list it")


def _shown(part: Path) -> Iterator[Path]:
    """The files in a folder, and links to folders, in order. Hidden ones (.git, what a download left) are left out:
    nothing loads them, and other tools change them."""
    for folder, folders, names in os.walk(part):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in sorted((*names, *linked)) if not name.startswith("."))


def _part(folder: Path, value: str, key: str) -> Path:
    return Path(value) if Path(value).is_absolute() else folder / _inside(value, key, folder)


def _prompts(folder: Path, value: str) -> str:
    return str(folder / _inside(value, "prompts", folder)) if value.endswith(".yaml") else value


def _inside(value: str, key: str, folder: Path) -> PurePosixPath:
    """A relative path that stays in the bundle: one that comes from elsewhere must not reach outside itself."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or not path.parts:
        raise BundleError(f"{folder / MANIFEST}: {key} {value!r} is not a path inside the bundle")
    return path


def _entries(files: Any, path: Path) -> dict[str, FileEntry]:
    if not isinstance(files, dict):
        raise BundleError(f"{path}: 'files' is {type(files).__name__}, expected an object of files")
    entries = {}
    for name, entry in files.items():
        _inside(name, "file", path.parent)
        try:
            size, digest = entry["bytes"], entry["sha256"]
        except (TypeError, KeyError):
            raise BundleError(f"{path}: the entry of {name} needs 'bytes' and 'sha256', got {entry!r}") from None
        sized = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        if not sized or not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise BundleError(
                f"{path}: the entry of {name} is {entry!r}, expected a number of bytes and a SHA-256 in hex"
            )
        entries[name] = FileEntry(size, digest)
    return entries


def _entry(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BundleError(f"there is no {path}")
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}
