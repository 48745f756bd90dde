# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo as processes over DDS, with the real node around a scripted model; and what it does when things go wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from own_domain import own_domain

from llavaseg_ros.demo.client import MAX_IMAGE_AGE_S, DemoClient, DemoError
from llavaseg_ros.demo.processes import Processes
from llavaseg_ros.demo.run import COMMANDS, DemoOptions, run_demo
from llavaseg_ros.images import read_rgb, write_rgb

TIMEOUT_S = 120.0


@pytest.fixture(autouse=True)
def scripted_node_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    # run_demo sets these for its own process; take them away again.
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


def test_demo_on_the_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = DemoOptions(out=tmp_path, domain=own_domain(), timeout_s=TIMEOUT_S)
    assert run_demo(options, node_module="scripted_node") == 0
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert command in said
    assert said.count("topic command |") == 1
    assert said.count("action segment |") == len(COMMANDS) - 1
    assert said.count("NOT_FOUND") == 1
    assert said.count("a question: no mask") == 1
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<img") == len(COMMANDS)
    assert "REASONING" in page
    for number in range(1, len(COMMANDS) + 1):
        assert read_rgb(tmp_path / f"{number}_overlay.png").shape == (480, 640, 3)


def test_demo_on_a_photograph_reports_a_failed_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "my photo.png"
    write_rgb(photo, np.full((120, 200, 3), 80, np.uint8))
    out = tmp_path / "out"
    options = DemoOptions(
        out=out, image=photo, commands=("the cup", "mumble"), domain=own_domain(), timeout_s=TIMEOUT_S
    )
    assert run_demo(options, node_module="scripted_node") == 1
    said = capsys.readouterr()
    assert "WRONG: error BAD_REPLY: the reply could not be read" in said.out
    assert "1 of 2 commands went wrong" in said.err
    assert read_rgb(out / "1_overlay.png").shape == (120, 200, 3)
    assert not (out / "2_overlay.png").exists()
    assert "BAD_REPLY" in (out / "index.html").read_text()


def test_demo_without_a_model_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tmp_path / "no-model")
    options = DemoOptions(out=tmp_path / "out", model=model, domain=own_domain(), timeout_s=TIMEOUT_S)
    assert run_demo(options) == 1
    said = capsys.readouterr().err
    assert "the node reports an error" in said
    assert "no-model" in said
    assert "node.log" in said


def test_no_command_before_every_frame_of_its_age_is_known() -> None:
    """The node may answer about a frame from before the client heard the camera; it must not be called unpublished."""
    client = DemoClient(own_domain(), lambda: None)
    try:
        client._status = (b"\0", "ready", {"model state": "ready", "images": "9", "model name": "scripted"})
        client.stamps.update(range(0, int(MAX_IMAGE_AGE_S * 1e9), 100_000_000))
        with pytest.raises(DemoError, match="in vain for the node to be ready"):
            client.wait_ready(0.3)
        client.stamps.add(int(MAX_IMAGE_AGE_S * 1e9) + 1)

        def past_the_frames() -> None:
            raise DemoError("next it waits for the topic")

        client._alive = past_the_frames
        with pytest.raises(DemoError, match="next it waits for the topic"):
            client.wait_ready(0.3)
    finally:
        client.close()


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_demo_and_its_processes(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "llavaseg_ros.cli.main", "demo", "--out", str(tmp_path / "out")]
    command += ["--domain", str(own_domain())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        end = time.monotonic() + TIMEOUT_S
        while len(started := children(process.pid)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(started) == 2
        process.send_signal(number)
        said = process.communicate(timeout=TIMEOUT_S)[0]
    finally:
        process.kill()
    assert process.returncode == code, said
    assert "Traceback" not in said
    # Gone, or at least no longer the same programs (the numbers may have been given anew).
    left = [pid for pid in started if re.search("llavaseg_node|demo_player", _command_line(pid))]
    assert not left


def test_a_signal_while_a_process_starts_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("llavaseg_ros.demo.processes.subprocess.Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), Processes(tmp_path, {}) as processes:
        processes.start("server", "http.server", ["0", "--bind", "127.0.0.1"])
    assert [process.returncode is not None for process in started] == [True]


def _command_line(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
