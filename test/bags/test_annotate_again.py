# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A second run of `llavaseg annotate`: after a kill, after Ctrl-C, with other options, and when all is done."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_material import camera_bag, read_back, storage_file
from scripted_pipeline import ScriptedPipeline
from test_annotate import MUG, annotate

from llavaseg_ros.bags import annotate as module
from llavaseg_ros.bags.annotate import BagJob
from llavaseg_ros.bags.options import Options
from llavaseg_ros.cli import _args
from llavaseg_ros.cli import main as cli
from llavaseg_ros.errors import BadRequest

SCRIPT = Path(__file__).with_name("scripted_annotate.py")


def test_a_second_run_finds_it_done_and_loads_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = camera_bag(tmp_path / "bag", 2)
    monkeypatch.setattr(_args, "load_model", lambda _: ScriptedPipeline())
    argv = ["annotate", str(bag), "--command", "the mug", "--out", str(tmp_path)]
    assert cli.main(argv) == 0

    def load(_: argparse.Namespace) -> Any:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(_args, "load_model", load)
    before = written(tmp_path / "bag_llavaseg" / "bag_llavaseg.mcap")
    assert cli.main(argv) == 0
    assert "2 frames, 2 masks, 2 with geometry, made by an earlier run" in capsys.readouterr().out
    assert written(tmp_path / "bag_llavaseg" / "bag_llavaseg.mcap") == before


def written(path: Path) -> tuple[int, int, int]:
    """Which file this is and when it was last written to; not when it was read, which a file system may note, too."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def test_another_job_does_not_overwrite_but_restart_does(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "bag", 2)
    annotate(bag, tmp_path)
    other = Options(("the banana",))
    with pytest.raises(BadRequest, match="exists, with other commands.*--restart"):
        annotate(bag, tmp_path, other)
    assert annotate(bag, tmp_path, other, restart=True).counts.with_mask == 0
    assert read_back(tmp_path / "bag_llavaseg").of("/llavaseg/masks")[0].command == "the banana"


def test_a_folder_that_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "bag", 1)
    foreign = camera_bag(tmp_path / "bag_llavaseg", 1)
    for restart in (False, True):
        with pytest.raises(BadRequest, match="was not made by"):
            BagJob(bag, tmp_path, MUG, restart=restart)
    assert read_back(foreign).topics


def test_unfinished_work_of_other_options_is_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = camera_bag(tmp_path / "bag", 6)
    interrupt_after(monkeypatch, bag, tmp_path, MUG, frames=4)
    with pytest.raises(BadRequest, match="every: 1 there, 2 now.*--restart"):
        BagJob(bag, tmp_path, Options(("the mug",), every=2))
    assert annotate(bag, tmp_path, Options(("the mug",), every=2), restart=True).counts.frames == 3


def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = camera_bag(tmp_path / "bag", 2)
    argv = ["annotate", str(bag), "--command", "the mug", "--out", str(tmp_path / "out"), "--model"]
    assert cli.main([*argv, str(tmp_path / "no-model")]) == 1
    assert "no-model" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setattr(_args, "load_model", lambda _: ScriptedPipeline())
    assert cli.main([*argv, "default"]) == 0


def interrupt_after(monkeypatch: pytest.MonkeyPatch, bag: Path, out: Path, options: Options, frames: int) -> None:
    """A run with segments of 2 frames that ends like Ctrl-C while it looks at a frame."""
    monkeypatch.setattr(module, "SEGMENT_FRAMES", 2)
    looked = 0

    def stop(_: np.ndarray) -> None:
        nonlocal looked
        looked += 1
        if looked > frames:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(bag, out, options, ScriptedPipeline(on_image=stop))


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("frames", [1, 3, 6, 9])
def test_going_on_after_an_interruption_gives_the_same_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, follow: bool
) -> None:
    options = Options(("the mug",), follow=follow, relook_after_s=0.2, max_targets=2)
    bag = camera_bag(tmp_path / "bag", 10, red=[0, 1, 2, 3, 7, 8, 9])
    whole = read_back(annotate(bag, tmp_path / "whole", options).path).comparable()
    interrupt_after(monkeypatch, bag, tmp_path / "cut", options, frames)
    assert not (tmp_path / "cut" / "bag_llavaseg").exists()
    job = BagJob(bag, tmp_path / "cut", options)
    assert job.done_frames == frames - frames % 2
    model = ScriptedPipeline()
    summary = job.run(model)
    assert len(model.images) == 10 - job.expected + 10 - (frames - frames % 2)
    assert summary.counts.frames == 10
    assert read_back(summary.path).comparable() == whole
    assert list((tmp_path / "cut").iterdir()) == [summary.path]


def test_two_runs_at_once_do_not_write_into_each_other(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "bag", 2)
    first = BagJob(bag, tmp_path, MUG)
    with pytest.raises(BadRequest, match="another run is at work"):
        BagJob(bag, tmp_path, MUG)
    assert first.run(ScriptedPipeline()).counts.frames == 2


def start(bag: Path, out: Path, *more: str, hang_at: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "HANG_AT": str(hang_at), "SEGMENT_FRAMES": "3"}
    command = [sys.executable, str(SCRIPT), "annotate", str(bag), "--command", "the mug", "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not there():
        assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_goes_on_where_it_was(tmp_path: Path, number: signal.Signals) -> None:
    bag = camera_bag(tmp_path / "bag", 15)
    whole = read_back(annotate(bag, tmp_path / "whole", Options(("the mug",), follow=True)).path).comparable()
    out = tmp_path / "out"
    process = start(bag, out, "--follow", hang_at=8)
    try:
        wait_for(lambda: (out / "bag_llavaseg.part" / "000001").exists(), process)
        process.send_signal(number)
        said = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    assert "Traceback" not in said
    if number == signal.SIGINT:
        assert "the same command goes on from what was kept" in said
    assert not (out / "bag_llavaseg").exists()
    process = start(bag, out, "--follow")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "15 frames, 15 masks" in said
    assert read_back(out / "bag_llavaseg").comparable() == whole
    assert not (out / "bag_llavaseg.part").exists()


def test_a_segment_that_is_broken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = camera_bag(tmp_path / "bag", 6)
    interrupt_after(monkeypatch, bag, tmp_path, MUG, frames=4)
    segment = tmp_path / "bag_llavaseg.part" / "000001"
    (segment / "state.npz").write_bytes(b"nonsense")
    with pytest.raises(BadRequest, match=r"state.npz cannot be read.*--restart"):
        BagJob(bag, tmp_path, MUG)
    shutil.rmtree(segment)
    file = storage_file(tmp_path / "bag_llavaseg.part" / "000000")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadRequest, match=r"000000 cannot be read.*--restart"):
        annotate(bag, tmp_path)
