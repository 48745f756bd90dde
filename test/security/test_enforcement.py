# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""SROS 2 enforced: a node without its keys does not start; who is not allowed to, gets nothing.

The Fast DDS of the ROS wheels is built without the security plugins: there a node with keys does not start either,
rather than run unprotected, and who gets what is tested on a distribution.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

from keystore import OPENSSL, Keystore
from policy import read_policy
from ros_harness import DOMAIN, WAIT_S

SECURE = 101 + DOMAIN  # no other test of the suite is in this domain
NODE = [sys.executable, "-m", "llavaseg_ros.nodes.llavaseg_node"]
NO_PLUGINS = "security libraries"  # what Fast DDS says that it has not

# Says "heard" when a state of the node's lifecycle, or its answer to a command, reaches it.
LISTENER = """
    import sys, time
    import rclpy
    from rclpy.node import Node
    from llavaseg_ros.msg import Answer
    from llavaseg_ros.ros.qos import LATCHED

    rclpy.init(args=["listener", "--ros-args", *sys.argv[2:]])
    node = Node(sys.argv[1], namespace="/", enable_rosout=False, start_parameter_services=False)
    node.create_subscription(Answer, "/llavaseg/answer", lambda _: print("heard", flush=True), LATCHED)
    print("listens", flush=True)
    end = time.monotonic() + {seconds}
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
"""


def secure(keystore: Path | None, **more: str) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ROS_SECURITY_")}
    environment |= {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce", "ROS_DOMAIN_ID": str(SECURE)}
    if keystore is not None:
        environment["ROS_SECURITY_KEYSTORE"] = str(keystore)
    return {**environment, **more}


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [*NODE, "--ros-args", "-p", "autostart:=false", *arguments]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What a process that ended by itself said. The test fails if it runs on, or ends well."""
    try:
        said, _ = process.communicate(timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        pytest.fail(f"the node runs: {said}")
    assert process.returncode != 0, said
    return said


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    """Keys for the nodes of the policy, and for a guest that may nothing."""
    if OPENSSL is None:
        pytest.skip("needs the command openssl")
    made = Keystore(tmp_path_factory.mktemp("keystore") / "keys", SECURE)
    for profile in read_policy().values():
        made.add(profile.enclave, profile.allowed)
    made.add("/guest", frozenset([("publish", "/parameter_events"), ("publish", "/rosout")]))
    return made


@pytest.fixture(scope="module")
def has_plugins(keystore: Keystore) -> bool:
    """Whether the middleware can do it at all: a participant with sound keys comes to be."""
    code = "import rclpy, sys; rclpy.init(args=sys.argv); rclpy.create_node('example_grasp_planner')"
    done = subprocess.run(
        [sys.executable, "-c", code, "--ros-args", "--enclave", "/example_grasp_planner"],
        env=secure(keystore.folder),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    if done.returncode:
        assert NO_PLUGINS in done.stderr.lower(), f"failed for another reason: {done.stderr}"
    return done.returncode == 0


def test_a_node_without_a_keystore_does_not_start() -> None:
    said = ended(start(secure(None)))
    assert "ROS_SECURITY_KEYSTORE" in said and "Traceback" not in said


def test_a_node_without_its_enclave_does_not_start(keystore: Keystore) -> None:
    said = ended(start(secure(keystore.folder), "--enclave", "/stranger"))
    assert "stranger" in said and "Traceback" not in said


def test_without_the_plugins_a_node_with_keys_does_not_run_unprotected(keystore: Keystore, has_plugins: bool) -> None:
    if has_plugins:
        pytest.skip("this middleware has the security plugins")
    said = ended(start(secure(keystore.folder), "--enclave", "/llavaseg"))
    assert NO_PLUGINS in said.lower() and "Traceback" not in said


@pytest.fixture
def node(keystore: Keystore, has_plugins: bool) -> Iterator[subprocess.Popen[str]]:
    """The node in its enclave, whose first answer (MODEL_NOT_READY) stands on its latched topic."""
    if not has_plugins:
        pytest.skip(
            "needs a DDS with the security plugins, as distributions have it; that of the wheels is built without"
        )
    process = start(
        secure(keystore.folder), "--enclave", "/llavaseg", "-p", "autostart:=true", "-p", "model:=/nowhere/x"
    )
    yield process
    process.kill()
    process.communicate()


def listen(name: str, environment: dict[str, str], *arguments: str, seconds: float) -> str:
    code = textwrap.dedent(LISTENER).format(seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", code, name, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_S + seconds,
        check=False,
    )
    return done.stdout


def test_who_is_not_allowed_gets_nothing(node: subprocess.Popen[str], keystore: Keystore) -> None:
    """The planner, who may, hears the answer to a command that the microphone, who may, has given. Others do not."""
    speaker = textwrap.dedent("""
        import sys, time
        import rclpy
        from std_msgs.msg import String

        rclpy.init(args=sys.argv)
        node = rclpy.create_node("speech_command", start_parameter_services=False)
        publisher = node.create_publisher(String, "/command_text", 10)
        end = time.monotonic() + 30.0
        while not publisher.get_subscription_count() and time.monotonic() < end:
            time.sleep(0.1)
        for _ in range(5):
            publisher.publish(String(data="take the mug"))
            time.sleep(0.5)
    """)
    arguments = ["--ros-args", "--enclave", "/speech_command"]
    done = subprocess.run(
        [sys.executable, "-c", speaker, *arguments], env=secure(keystore.folder), timeout=120, check=False
    )
    assert done.returncode == 0
    time.sleep(1.0)
    planner = listen(
        "example_grasp_planner", secure(keystore.folder), "--enclave", "/example_grasp_planner", seconds=15
    )
    assert "heard" in planner
    guest = listen("guest", secure(keystore.folder), "--enclave", "/guest", seconds=8)
    assert "heard" not in guest
    without = {key: value for key, value in os.environ.items() if not key.startswith("ROS_SECURITY_")}
    nobody = listen("nobody", {**without, "ROS_DOMAIN_ID": str(SECURE)}, seconds=8)
    assert "listens" in nobody and "heard" not in nobody
    assert node.poll() is None
