# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""replay.launch.py and bridges.launch.py. Skipped where `launch` is missing: it comes with a ROS 2 distribution."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

# Not `launch` itself: from the root of the repository, the folder launch/ would pass for it.
pytest.importorskip("launch_ros.actions", reason="needs a ROS 2 distribution: launch_ros is not on PyPI")
import launch
from bag_material import Entry, camera_bag, write_bag
from own_domain import own_domain
from std_msgs.msg import String

from llavaseg_ros.nodes.bag_player import SPECS as PLAYER
from llavaseg_ros.nodes.bridges import SPECS as BRIDGES

os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120.0


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name.split(".")[0] + "_launch", ROOT / "launch" / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(name: str, **arguments: str) -> Any:
    """What a launch file's OpaqueFunction makes of these arguments."""
    module, context = load(name), launch.LaunchContext()
    for argument in module.generate_launch_description().get_launch_arguments():
        default = "".join(part.perform(context) for part in argument.default_value or ())
        context.launch_configurations[argument.name] = arguments.get(argument.name, default)
    return module.start(context)


@pytest.mark.parametrize("name", ["replay.launch.py", "bridges.launch.py"])
def test_every_argument_is_described(name: str) -> None:
    arguments = load(name).generate_launch_description().get_launch_arguments()
    assert all(argument.description and argument.description != "no description given" for argument in arguments)
    assert [argument.name for argument in arguments if argument.default_value is None] == (
        ["bag"] if name.startswith("replay") else []
    )


def test_arguments_are_parameters_of_the_nodes() -> None:
    assert {"bag", "rate", "loop", *load("replay.launch.py").TEXTS} <= {spec.name for spec in PLAYER}
    assert {"moveit.object_id", "isaac.action_name", "isaac.source"} <= {spec.name for spec in BRIDGES}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"bag": "/no/such/bag"}, "argument bag: no such file"),
        ({"loop": "perhaps"}, "argument loop.*'perhaps'"),
        ({"rate": "fast"}, "argument rate.*'fast'"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(tmp_path: Path, arguments: dict[str, str], match: str) -> None:
    with pytest.raises(RuntimeError, match=match):
        start("replay.launch.py", **{"bag": str(tmp_path), **arguments})
    with pytest.raises(RuntimeError, match="argument bridges"):
        start("bridges.launch.py", bridges=" ,")


def launched(*arguments: str) -> subprocess.Popen[str]:
    code = (
        "import sys; from launch import LaunchDescription, LaunchService; "
        "from launch.actions import IncludeLaunchDescription; "
        "from launch.launch_description_sources import PythonLaunchDescriptionSource; "
        "s = LaunchService(); d = PythonLaunchDescriptionSource(sys.argv[1]); "
        "a = [tuple(w.split(':=', 1)) for w in sys.argv[2:]]; "
        "s.include_launch_description(LaunchDescription([IncludeLaunchDescription(d, launch_arguments=a)])); "
        "sys.exit(s.run())"
    )
    environment = {**os.environ, "ROS_DOMAIN_ID": str(own_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    command = [sys.executable, "-c", code, str(ROOT / "launch" / "replay.launch.py"), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT.parent
    )


def test_it_plays_until_it_is_stopped(tmp_path: Path) -> None:
    process = launched(f"bag:={camera_bag(tmp_path / 'bag', 5)}", "loop:=false")
    said = ""
    assert process.stdout is not None
    end = time.monotonic() + TIMEOUT_S
    while "the bag has ended" not in said:
        assert time.monotonic() < end and process.poll() is None, said
        said += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=TIMEOUT_S)[0]
    assert "playing /cam/color/camera_info, /cam/color/image_raw" in said
    assert "loading model" in said + rest
    assert "Traceback" not in said + rest


def test_a_bag_without_a_camera_ends_it(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", [Entry("/said", String(data="x"), 0)])
    said = launched(f"bag:={bag}").communicate(timeout=TIMEOUT_S)[0]
    assert "has no camera image" in said
    assert "process has died" in said  # the player, and the rest went with it, or we would still be waiting
