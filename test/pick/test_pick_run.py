# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg pick` as a user runs it: processes over DDS, the real default model, real physics."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from own_domain import own_domain

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")
pytest.importorskip("llavaseg_ros.training.scenes.gl", exc_type=ImportError)

from llavaseg_ros.pick.trials import read_trials

pytestmark = [pytest.mark.usefixtures("off_screen"), pytest.mark.timeout(900)]  # CI machines are slow
PICK = (sys.executable, "-m", "llavaseg_ros.cli.main", "pick", "--split", "val")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*PICK, "--domain", str(own_domain()), *arguments], capture_output=True, text=True, timeout=800, check=False
    )


def test_from_a_command_to_a_lifted_thing(tmp_path: Path) -> None:
    """Three tables on which the model understands the command; one may fail on another machine."""
    done = run("--picks", "3", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    trials = read_trials(tmp_path)
    assert [t.kind for t in trials] == ["name", "color", "use"]
    assert sum(t.success(t.truth) for t in trials) >= 2
    assert sum(t.acted is not None and t.success(t.acted) for t in trials) >= 2
    # The noise of the camera is that of the frame that happened to come: one of them may be misunderstood.
    assert sum(t.found and t.score > 0.5 and t.iou > 0.5 and t.said == t.on == t.target for t in trials) >= 2
    assert all(t.ours is not None and t.target in t.things for t in trials)
    rates = json.loads((tmp_path / "rates.json").read_text())
    assert rates["all"]["ours"]["count"] == rates["all"]["truth"]["count"] == len(rates["trials"]) == 3
    last = done.stdout.strip().splitlines()[-1]
    assert re.match(r"picks: [23]/3 = .* with our masks, [23]/3 = .* with true masks, ratio ", last)
    page = (tmp_path / "index.html").read_text()
    assert last in page and page.count("<img") >= 9


def test_ctrl_c_shows_what_is_done_and_a_later_run_goes_on(tmp_path: Path) -> None:
    command = [*PICK, "--domain", str(own_domain()), "--true-masks-only", "--picks", "40", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        said = ""
        end = time.monotonic() + 600
        while "[1/40]" not in said and time.monotonic() < end and process.poll() is None:
            said += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    done = len(read_trials(tmp_path))
    assert 1 <= done < 40 and f"/{done} = " in said.strip().splitlines()[-1]
    assert (tmp_path / "index.html").exists()
    later = run("--true-masks-only", "--picks", str(done + 1), "--resume", "--out", str(tmp_path))
    assert later.returncode == 0, later.stderr
    assert f"[{done + 1}/{done + 1}]" in later.stdout and f"[{done}/" not in later.stdout
    assert [t.number for t in read_trials(tmp_path)] == list(range(done + 1))
    other = run("--picks", "9", "--resume", "--out", str(tmp_path))
    assert other.returncode == 1 and "true_masks_only" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("--picks", "0"), "--picks 0: expected 1 or more"), (("--min-score", "7"), "expected a number from 0 to 1"),
     (("--domain", "500"), "--domain: '500'")],
)  # fmt: skip
def test_wrong_usage_is_said_at_once(arguments: tuple[str, ...], text: str, tmp_path: Path) -> None:
    done = run(*arguments, "--out", str(tmp_path))
    assert done.returncode in (1, 2) and text in done.stderr


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = run("--picks", "1", "--model", str(tmp_path / "no-model"), "--out", str(tmp_path / "out"))
    assert done.returncode == 1 and "no-model" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(name.startswith("llavaseg_ros.nodes") for name in _own_children())


def _own_children() -> list[str]:
    """Modules that run as processes whose parent is this one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found += (stat.parent / "cmdline").read_text().split("\0")
        except (OSError, IndexError):
            continue
    return found
