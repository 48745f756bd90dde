# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command line at its edge: usage, errors, exit codes. Nothing here loads a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.cli import _args
from llavaseg_ros.cli import main as cli
from llavaseg_ros.cli.node import ros_arguments
from llavaseg_ros.images import write_rgb


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_rgb(path, np.full((40, 60, 3), 90, np.uint8))
    return path


def usage_error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run, expect exit code 2, return the message (the last line of stderr)."""
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def failure(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run, expect exit code 1 and no traceback, return stderr."""
    assert cli.main(argv) == 1
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_help_and_usage_import_nothing_heavy() -> None:
    code = (
        "import sys; from llavaseg_ros.cli.main import VERBS, build_parser\n"
        "for verb in VERBS: build_parser(verb)\n"
        "heavy = {'torch', 'transformers', 'numpy', 'cv2', 'rclpy', 'mujoco'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, "--help"])
    assert caught.value.code == 0
    assert f"usage: llavaseg {verb}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("llavaseg_ros 0.")


def test_edge_values_are_those_of_the_core() -> None:
    from llavaseg_ros.checks import MAX_COMMAND
    from llavaseg_ros.reasoning.chain import MODES

    assert _args.MAX_COMMAND == MAX_COMMAND
    assert set(_args.MODES) == set(MODES)


def test_wrong_usage(capsys: pytest.CaptureFixture[str], photo: Path, tmp_path: Path) -> None:
    name = str(photo)
    assert "invalid choice: 'fly'" in usage_error(capsys, "fly")
    assert "VERB" in usage_error(capsys)
    assert "no such file: nothing.png" in usage_error(capsys, "ask", "nothing.png", "the mug")
    assert "is a folder" in usage_error(capsys, "ask", str(tmp_path), "the mug")
    assert "the command is empty" in usage_error(capsys, "ask", name, "  ")
    assert "10000 characters, expected at most 2000" in usage_error(capsys, "ask", name, "x" * 10000)
    assert "unknown device 'gpu'" in usage_error(capsys, "ask", name, "the mug", "--device", "gpu")
    assert "invalid choice: 'slow'" in usage_error(capsys, "ask", name, "the mug", "--mode", "slow")
    assert "is not a folder" in usage_error(capsys, "ask", name, "the mug", "--out", name)
    assert "--out" in usage_error(capsys, "predict", name)
    assert "whole number" in usage_error(capsys, "predict", name, "--out", "x", "--limit", "-1")
    assert "seconds above 0" in usage_error(capsys, "demo", "--timeout", "nan")
    assert "invalid choice: 'all'" in usage_error(capsys, "train", "all")
    assert "the command is empty" in usage_error(capsys, "demo", "--image", name, "--command", "")


def test_a_stage_of_training_checks_its_own_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--scenes: invalid int value: 'many'" in usage_error(
        capsys, "train", "scenes", "--out", "x", "--scenes", "many"
    )


@pytest.mark.parametrize(
    ("content", "text"), [(b"", "the file is empty"), (b"GIF? no, words.", "not a picture that can be read")]
)
def test_an_unreadable_image_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, text: str
) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    message = failure(capsys, "ask", str(path), "the mug")
    assert message.startswith(f"llavaseg ask: image {path}: ")
    assert text in message
    assert len(message.splitlines()) == 1


def test_a_missing_bundle_is_named(capsys: pytest.CaptureFixture[str], photo: Path, tmp_path: Path) -> None:
    message = failure(capsys, "ask", str(photo), "the mug", "--model", str(tmp_path / "no-model"))
    assert f"there is no model bundle at {tmp_path / 'no-model'}" in message
    said = failure(capsys, "ask", str(photo), "the mug", "--model", str(tmp_path))
    assert f"there is no model bundle at {tmp_path}: it has no bundle.json" in said


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], photo: Path, tmp_path: Path) -> None:
    photo.write_bytes(b"")
    for argv in (["--debug", "ask", str(photo), "the mug"], ["ask", str(photo), "the mug", "--debug"]):
        assert cli.main(argv) == 1
        assert "Traceback" in capsys.readouterr().err


def test_bad_data_is_listed_by_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"image": "a.png"}\n{\n')
    for verb in ("predict", "evaluate"):
        message = failure(capsys, verb, str(data), "--out", str(tmp_path / "out"))
        assert "data.jsonl line 1: " in message
        assert "data.jsonl line 2: not JSON" in message
    assert not (tmp_path / "out").exists()


def test_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str], photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(_args, "load_model", interrupted)
    assert cli.main(["ask", str(photo), "the mug"]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_an_error_that_nobody_foresaw_is_one_line(
    capsys: pytest.CaptureFixture[str], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("size mismatch\n\tfor layer 1")

    monkeypatch.setattr(_args, "load_model", broken)
    message = failure(capsys, "ask", str(photo), "the mug")
    assert message == "llavaseg ask: RuntimeError: size mismatch for layer 1 (--debug shows where)\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.run(
        f"{sys.executable} -m llavaseg_ros.cli.main doctor --model /nowhere | true",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in process.stderr
    assert "BrokenPipe" not in process.stderr


def test_node_options_become_ros_arguments(tmp_path: Path) -> None:
    params = tmp_path / "p.yaml"
    params.write_text("")
    args = cli.build_parser("node").parse_args(
        ["node", "--model", "1", "--mode", "fast", "--image", "/cam/color/image_raw", "--namespace", "arm"]
        + ["--depth", "/cam/depth/image", "--params-file", str(params), "--use-sim-time"]
        + ["--ros-args", "-p", "queue.depth:=3"]
    )
    words = " ".join(ros_arguments(args))
    assert words.startswith(f'--ros-args --params-file {params} -p model:="1" -p mode:="fast"')
    assert "-p use_sim_time:=true -r __ns:=/arm -r image:=/cam/color/image_raw" in words
    assert "-r camera_info:=/cam/color/camera_info" in words
    assert "-r depth/image:=/cam/depth/image -r depth/camera_info:=/cam/depth/camera_info" in words
    assert words.endswith("-p queue.depth:=3")
    assert ros_arguments(cli.build_parser("node").parse_args(["node"])) == ["--ros-args"]
