# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Running one node as a process: signals, logging, the executor, and a quiet end."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from llavaseg_ros.children import end_with_parent
from llavaseg_ros.ros.shared_memory import remove_dead_segments, remove_own_segments
from llavaseg_ros.unfinished import wait_until_outside

# For the executor to send the last results, between the end of the work and the end of the executor.
LAST_WORDS_S = 0.1
# For what threads beside the worker's still compute (SAM's encoder); half of what supervisors usually give.
LAST_COMPUTATION_S = 2.5
# For the middleware to take the node out of the graph. Fast DDS as it comes with pip may never come to the end of that
# (its issue 6513), and the interpreter's lock is held meanwhile: no signal would be heard any more.
LEAVING_S = 10.0

# So many errors out of callbacks in so short a time mean that nothing works any more.
MANY_FAILURES, MANY_FAILURES_S = 20, 10.0


CAMERA_PROFILE = Path(__file__).with_name("fastdds_camera.xml")
_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def use_camera_profile() -> None:
    """Make room for whole images in the shared memory of a process that publishes them. Call it before `rclpy.init`.

    Leaves everything alone where the user has set a profile or other transports. See `fastdds_camera.xml`.
    """
    if not any(name in os.environ for name in (*_PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")):
        # Today's Fast DDS warns about the old name, Humble's does not know the new one.
        os.environ[_PROFILE_VARIABLES[os.environ.get("ROS_DISTRO") == "humble"]] = str(CAMERA_PROFILE)


# How long the model's thread may keep the interpreter to itself while a callback waits for it. Python's default, 5 ms,
# is paid several times a callback.
SWITCH_INTERVAL_S = 0.0005


def make_room_for_callbacks() -> None:
    """Let callbacks in while another thread of this process computes."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


class RosLogHandler(logging.Handler):
    """Hands the core's Python log records to a node's logger, so that they reach /rosout and its log file."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """One record. A line for each level: rclpy ties a level to the place of the call."""
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def _security_hint() -> str:
    """What SROS 2 may lack, where it is switched on: rcl itself says no more than that it failed."""
    if os.environ.get("ROS_SECURITY_ENABLE", "").lower() != "true":
        return ""
    keystore = os.environ.get("ROS_SECURITY_KEYSTORE", "")
    return (
        f"\nROS_SECURITY_ENABLE is true: expected a keystore in ROS_SECURITY_KEYSTORE (it is {keystore!r}), an enclave "
        "in it for --ros-args --enclave /NAME (or ROS_SECURITY_ENCLAVE_OVERRIDE), and a DDS with security plugins"
    )


def _own_arguments(args: list[str] | None, name: str, usage: str) -> int | None:
    """Answer `--help`, refuse what is no ROS argument. Returns the exit code, None when the node is to run."""
    try:
        own = remove_ros_args(sys.argv if args is None else [name, *args])[1:]
    except Exception:  # rclpy.init will say what is wrong with them
        return None
    if not own:
        return None
    if {"-h", "--help"} & set(own):
        print(usage)
        return 0
    print(f"{name}: {own[0]!r} is no argument of this node; expected --help, or --ros-args with ROS's", file=sys.stderr)
    return 2


def run_node(make: Callable[[], Any], args: list[str] | None, *, name: str, threads: int, usage: str = "") -> int:
    """Make a node and spin it until SIGINT, SIGTERM or the end of its context. Returns the exit code.

    usage: what `--help` prints. Where there is one, other arguments than ROS's are refused.

    The node may have `close() -> bool`, which ends its work while its publishers still work; false = a thread is left
    that does not come back, and the process must not wait for it.

    rclpy's own signal handlers shut the context down first, so that a node could not say its last words; and a Python
    handler only runs when the main thread does. So the executor spins in a thread and the main thread waits here.
    """
    if usage and (code := _own_arguments(args, name, usage)) is not None:
        return code
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    end_with_parent()
    make_room_for_callbacks()
    remove_dead_segments()
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = make()
    except Exception as error:
        print(f"{name}: {error}{_security_hint()}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    handler = RosLogHandler(node.get_logger())
    logging.getLogger("llavaseg_ros").addHandler(handler)
    executor = MultiThreadedExecutor(threads)
    executor.add_node(node)
    failures: list[float] = []

    def spin() -> None:
        """An error out of one callback must not end the node; a hail of them must not make it spin for nothing."""
        while not stop.is_set() and rclpy.ok():
            try:
                executor.spin()
            except ExternalShutdownException:
                break
            except Exception as error:
                if stop.is_set():  # things are being destroyed under the executor
                    break
                failures.append(time.monotonic())
                node.get_logger().error(f"error in a callback: {error!r}")
                if len(failures) >= MANY_FAILURES and failures[-1] - failures[-MANY_FAILURES] < MANY_FAILURES_S:
                    node.get_logger().fatal(f"{MANY_FAILURES} errors in {MANY_FAILURES_S:g} s: giving up")
                    gave_up.set()
                    break
        stop.set()

    gave_up = threading.Event()
    spinner = threading.Thread(target=spin, name="executor", daemon=True)
    spinner.start()
    stop.wait()
    came_back = node.close() if hasattr(node, "close") else True
    came_back = wait_until_outside(LAST_COMPUTATION_S) and came_back
    time.sleep(LAST_WORDS_S)
    executor.shutdown(timeout_sec=2.0)
    spinner.join(2.0)
    logging.getLogger("llavaseg_ros").removeHandler(handler)
    faulthandler.dump_traceback_later(LEAVING_S, exit=True, file=2)
    if not spinner.is_alive():
        node.destroy_node()
    rclpy.try_shutdown()
    faulthandler.cancel_dump_traceback_later()
    code = 1 if gave_up.is_set() else 0
    if threading.current_thread() is threading.main_thread():
        # `ros2 launch` passes on a Ctrl-C that the terminal has sent already: the second one must not kill an
        # interpreter that is on its way out.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not came_back or spinner.is_alive():
        # A thread is inside a library (loading a model, say); an ordinary exit under it may crash or wait for ever.
        # What it would have given back must not stay behind.
        remove_own_segments()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
