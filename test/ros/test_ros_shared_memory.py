# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which shared memory is removed: that of processes that are gone, and at the end one's own; nothing else."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llavaseg_ros.ros import shared_memory

NAMES = ("fastdds_00112233445566aa", "fastrtps_00112233445566bb")


def segment(folder: Path, name: str, *, old: bool = True) -> Path:
    """A segment and the file beside it, as Fast DDS leaves them."""
    for path in (folder / name, folder / f"{name}_el"):
        path.write_bytes(b"")
        if old:
            os.utime(path, (1, 1))
    return folder / name


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in the real one: other file systems name their devices otherwise in /proc/locks."""
    with tempfile.TemporaryDirectory(dir=shared_memory.FOLDER) as name:
        monkeypatch.setattr(shared_memory, "FOLDER", Path(name))
        yield Path(name)


def test_segments_of_the_dead_are_removed(folder: Path) -> None:
    for name in NAMES:
        segment(folder, name)
    assert shared_memory.remove_dead_segments() == 2 and not list(folder.iterdir())


@pytest.mark.parametrize("name", ["fastdds_port7411", "fastdds_port26661", "sem.fastdds_00112233445566aa", "other"])
def test_other_files_stay(folder: Path, name: str) -> None:
    segment(folder, name)
    assert shared_memory.remove_dead_segments() == 0 and (folder / name).exists()


def test_the_living_and_the_young_stay(folder: Path) -> None:
    living, young = segment(folder, NAMES[0]), segment(folder, NAMES[1], old=False)
    with (folder / f"{NAMES[0]}_el").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert shared_memory.remove_dead_segments() == 0
    assert living.exists() and young.exists()
    assert shared_memory.remove_dead_segments() == 1 and not living.exists() and young.exists()


def test_own_segments_are_removed_and_no_others(folder: Path) -> None:
    mine, other = (segment(folder, name) for name in NAMES)
    with (folder / f"{NAMES[0]}_el").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert shared_memory.remove_own_segments() == 1
    assert not mine.exists() and other.exists()


def test_a_machine_without_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "nowhere")
    assert shared_memory.remove_dead_segments() == shared_memory.remove_own_segments() == 0
