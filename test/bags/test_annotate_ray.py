# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several bags at a time on Ray. Skipped where Ray is not installed: it is an extra, and large."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bag_material import camera_bag, read_back

ray = pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
import bag_material
import scripted_pipeline
from ray import cloudpickle
from scripted_pipeline import ScriptedPipeline
from test_annotate import annotate

from llavaseg_ros.bags.annotate import Summary
from llavaseg_ros.bags.options import Options
from llavaseg_ros.bags.parallel import annotate_parallel
from llavaseg_ros.cli import annotate as verb
from llavaseg_ros.cli import main as cli

# Test modules are not on the workers' path.
for module in (bag_material, scripted_pipeline):
    cloudpickle.register_pickle_by_value(module)


def load(place: Path, die: bool = False) -> Any:
    """A model that leaves a file for its process, and is killed at its fourth image, once, if it is told to."""
    model = ScriptedPipeline()
    (place / f"worker_{os.getpid()}").touch()

    def on_image(_: Any) -> None:
        if die and len(model.images) == 3 and not (place / "died").exists():
            (place / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    model.on_image = on_image
    return model


cloudpickle.register_pickle_by_value(__import__(__name__))


def run(bags: list[Path], out: Path, **more: Any) -> tuple[dict[Path, Summary | str], list[tuple[int, int]]]:
    outcomes: dict[Path, Summary | str] = {}
    frames: list[tuple[int, int]] = []
    annotate_parallel(
        bags,
        out,
        Options(("the mug",), follow=True),
        2,
        partial(load, out.parent, **more),
        on_frames=lambda done, expected: frames.append((done, expected)),
        on_done=outcomes.__setitem__,
    )
    return outcomes, frames


def test_two_workers_make_the_same_bags_as_one(tmp_path: Path) -> None:
    bags = [camera_bag(tmp_path / f"bag_{number}", 4 + number) for number in range(4)]
    outcomes, frames = run([*bags, tmp_path / "missing"], tmp_path / "out")
    assert "no such file" in str(outcomes.pop(tmp_path / "missing"))
    for bag in bags:
        alone = annotate(bag, tmp_path / "alone", Options(("the mug",), follow=True))
        assert read_back(tmp_path / "out" / f"{bag.name}_llavaseg").comparable() == read_back(alone.path).comparable()
        assert outcomes[bag].counts == alone.counts  # type: ignore[union-attr]
    assert len(list(tmp_path.glob("worker_*"))) == 2
    assert frames[-1] == (22, 22)


def test_a_worker_that_is_killed_is_replaced_and_the_bag_completed(tmp_path: Path) -> None:
    bag = camera_bag(tmp_path / "bag", 6)
    outcomes, _ = run([bag], tmp_path / "out", die=True)
    assert (tmp_path / "died").exists()
    outcome = outcomes[bag]
    assert isinstance(outcome, Summary), outcome
    assert outcome.counts.frames == 6
    alone = annotate(bag, tmp_path / "alone", Options(("the mug",), follow=True))
    assert read_back(outcome.path).comparable() == read_back(alone.path).comparable()


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bags = [str(camera_bag(tmp_path / f"bag_{number}", 3)) for number in range(2)]
    monkeypatch.setattr(verb, "load_pipeline", lambda *_: load(tmp_path))
    argv = ["annotate", *bags, "--command", "the mug", "--out", str(tmp_path / "out"), "--workers", "2"]
    assert cli.main(argv) == 0
    said = capsys.readouterr()
    assert "starting 2 workers" in said.err
    for number in range(2):
        assert f"bag_{number}_llavaseg: 3 frames, 3 masks, 3 with geometry" in said.out
    assert not list((tmp_path / "out").glob("*.part"))
