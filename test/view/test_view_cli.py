# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg view` as a process: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from own_domain import own_domain

from llavaseg_ros.cli import view
from llavaseg_ros.cli.main import build_parser, main

TIMEOUT_S = 120.0
TOKEN = "correct-horse-battery"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """start(*arguments, **environment) -> the process, in a ROS domain of its own."""
    processes = []

    def make(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        local = {"ROS_DOMAIN_ID": str(own_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        process = subprocess.Popen(
            [sys.executable, "-m", "llavaseg_ros.cli.main", "view", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **local, "PYTHONUNBUFFERED": "1", **environment},
        )
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.kill()
        process.communicate()


def printed_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    match = re.search(r"http://\S+", process.stdout.readline())
    assert match, process.communicate(timeout=TIMEOUT_S)
    return match[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_ends_quietly(start: Start, number: signal.Signals) -> None:
    process = start("--port", "0")
    url = printed_url(process)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
        assert b"<title>llavaseg</title>" in reply.read()
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert (out, "Traceback" in err) == ("", False)


def test_a_port_in_use_is_said(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert f"viewer: port {port} of 127.0.0.1 is in use" in err
    assert "Traceback" not in err


def test_the_token_is_printed_but_not_logged(start: Start) -> None:
    process = start("--port", "0", LLAVASEG_VIEW_TOKEN=TOKEN)
    url = printed_url(process)
    assert url.endswith(f"/?token={TOKEN}")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url.split("?")[0], timeout=TIMEOUT_S)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert TOKEN not in err


def test_another_address_gets_a_token_by_itself(start: Start) -> None:
    process = start("--port", "0", "--host", "0.0.0.0")
    url = printed_url(process)
    assert re.search(r"\?token=[\w-]{24}$", url)
    port = re.search(r":(\d+)/", url)
    assert port
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/frame/live.jpg", timeout=TIMEOUT_S)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--token", "short"), "token: 5 characters"),
        (("--host", "192.0.2.1"), "no such address"),
        (("--ros-args", "-p", "image_transport:=smoke"), "image_transport"),
        (("--ros-args", "-p", "port:=99999"), "port"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(start: Start, arguments: tuple[str, ...], said: str) -> None:
    process = start(*(("--port", "0") if "port:=99999" not in arguments else ()), *arguments)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("port", ["-1", "65536", "http", "8088.0", "٣"])
def test_a_port_that_is_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["view", f"--port={port}"])
    assert ended.value.code == 2
    assert "expected a port from 0 to 65535" in capsys.readouterr().err


def test_options_become_ros_arguments() -> None:
    arguments = (
        "view --host 0.0.0.0 --port 9000 --namespace arm --node /a/llavaseg --image /cam/rgb --depth /cam/depth "
        f"--compressed --host-name robot.lan --token {TOKEN} --ros-args -p max_width:=640"
    )
    args = build_parser("view").parse_args(arguments.split())
    words = view.ros_arguments(args)
    assert 'host:="0.0.0.0"' in words and "port:=9000" in words and 'node:="/a/llavaseg"' in words
    assert 'host_names:="robot.lan"' in words and "image_transport:=compressed" in words
    assert "__ns:=/arm" in words and "image:=/cam/rgb" in words and "depth/image:=/cam/depth" in words
    assert words[-2:] == ["-p", "max_width:=640"]
    assert not any(TOKEN in word for word in words)
