# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The launch files. Skipped where `launch` is missing: it comes with a ROS 2 distribution, not from PyPI."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Not `launch` itself: from the root of the repository, the folder launch/ would pass for it.
pytest.importorskip("launch_ros.actions", reason="needs a ROS 2 distribution: launch_ros is not on PyPI")
import launch

# Without a sourced distribution (the wheels), the environment's prefix is where the package's share/ is.
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

import rclpy
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from llavaseg_ros.nodes.parameter_table import SPECS

ROOT = Path(__file__).resolve().parents[2]
FILES = ("llavaseg.launch.py", "demo.launch.py", "view.launch.py", "pick.launch.py")
DOMAIN = "79"


def load(name: str) -> Any:
    """A launch file as a module."""
    spec = importlib.util.spec_from_file_location(name.split(".")[0] + "_launch", ROOT / "launch" / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared(name: str) -> dict[str, Any]:
    """The arguments of a launch file, by name."""
    return {argument.name: argument for argument in load(name).generate_launch_description().get_launch_arguments()}


def started(**arguments: str) -> Any:
    """The node's action as llavaseg.launch.py makes it from these arguments."""
    context = launch.LaunchContext()
    description = load("llavaseg.launch.py").generate_launch_description()
    for argument in description.get_launch_arguments():
        default = "".join(part.perform(context) for part in argument.default_value)
        context.launch_configurations[argument.name] = arguments.get(argument.name, default)
    (node,) = load("llavaseg.launch.py").start_node(context)
    return node, context


@pytest.mark.parametrize("name", FILES)
def test_every_argument_is_described(name: str) -> None:
    for argument in declared(name).values():
        assert argument.description and argument.description != "no description given", argument.name
        assert argument.default_value is not None, argument.name


def test_the_arguments_that_users_expect_are_there() -> None:
    expected = {"namespace", "params_file", "image", "model", "device", "autostart", "use_sim_time", "image_transport"}
    assert expected <= set(declared("llavaseg.launch.py"))


def test_parameter_arguments_are_parameters_of_the_node() -> None:
    assert set(load("llavaseg.launch.py").PARAMETER_ARGUMENTS) <= {spec.name for spec in SPECS}


@pytest.mark.parametrize("name", ["autostart", "use_sim_time"])
def test_a_flag_that_is_neither_true_nor_false_is_refused_by_name(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name}.*'perhaps'"):
        started(**{name: "perhaps"})


def test_a_player_rate_that_is_no_number_is_refused_by_name() -> None:
    module, context = load("demo.launch.py"), launch.LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in module.ARGUMENTS.items()})
    context.launch_configurations["rate_hz"] = "often"
    with pytest.raises(RuntimeError, match="rate_hz.*'often'"):
        module.start(context)


RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService(noninteractive=True)
arguments = [text.split(":=", 1) for text in sys.argv[2:]]
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))
sys.exit(service.run())
"""


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Node]:
    """llavaseg.launch.py runs, with a parameter file and arguments over it; a node to look at it from."""
    params = tmp_path / "params.yaml"
    params.write_text("/**:\n  ros__parameters:\n    autostart: true\n    max_targets: 7\n    mode: fast\n")
    arguments = [
        f"params_file:={params}",
        "namespace:=arm",
        "image:=/cam/rgb",
        "autostart:=false",
        "image_transport:=compressed",
        "model:=1",
    ]
    environment = {**os.environ, "ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(ROOT / "launch" / "llavaseg.launch.py"), *arguments],
        env=environment,
        start_new_session=True,
    )
    context = Context()
    rclpy.init(context=context, domain_id=int(DOMAIN))
    node = Node("looker", context=context)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            # Whatever launch left behind, node included, is in the session that was made for it.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def ask(node: Node, service: type, name: str, request: Any) -> Any:
    """The reply of a service; fails when it does not come within a minute."""
    client = node.create_client(service, name)
    assert client.wait_for_service(60.0), f"no service {name}"
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    future = client.call_async(request)
    executor.spin_until_future_complete(future, timeout_sec=60.0)
    executor.remove_node(node)
    assert future.done(), f"no reply from {name}"
    return future.result()


def test_launch_starts_the_node_with_file_and_arguments(launched: Node) -> None:
    from lifecycle_msgs.srv import ChangeState
    from rcl_interfaces.srv import GetParameters

    # autostart:=false of the arguments wins over the file, whose other values stand.
    state = ask(launched, GetState, "/arm/llavaseg/get_state", GetState.Request())
    assert state.current_state.label == "unconfigured"
    request = GetParameters.Request(names=["autostart", "max_targets", "mode", "image_transport", "model"])
    reply = ask(launched, GetParameters, "/arm/llavaseg/get_parameters", request)
    flag, number, mode, transport, model = reply.values
    assert (flag.bool_value, number.integer_value, mode.string_value) == (False, 7, "fast")
    assert (transport.string_value, model.string_value) == ("compressed", "1")
    # Configured, it subscribes to the camera's own compressed topic.
    configure = ChangeState.Request()
    configure.transition.id = 1
    assert ask(launched, ChangeState, "/arm/llavaseg/change_state", configure).success
    for _ in range(100):
        if launched.get_subscriptions_info_by_topic("/cam/rgb/compressed"):
            return
        time.sleep(0.1)
    pytest.fail("nobody subscribes to /cam/rgb/compressed")
