# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Child processes of the demo: started with a log file each, watched, and ended whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from llavaseg_ros.children import PARENT_VARIABLE

END_S = 8.0
LOG_LINES = 15


def ros_parameters(values: Mapping[str, object]) -> list[str]:
    """ROS arguments that set parameters. JSON text is YAML text, so that every string stays one: "1", or a path with a
    colon."""
    words = ["--ros-args"]
    for name, value in values.items():
        words += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]
    return words


def end_on_sigterm() -> None:
    """From now on SIGTERM leaves through the context managers, so that the children end too."""

    def leave(*_: object) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


class Processes:
    """Use as a context manager: on the way out every process gets SIGINT, and SIGKILL if it stays. Nodes among them
    also end when this process is killed (`children.end_with_parent`); start them from a thread that lives on."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        own = {"PYTHONUNBUFFERED": "1", PARENT_VARIABLE: str(os.getpid())}
        self._environment = {**os.environ, **own, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, arguments: Sequence[str]) -> None:
        """Run `python -m module arguments`; what it prints goes to `name.log`."""
        with self.log(name).open("wb") as log, _signals_held():
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # A group of its own: Ctrl-C reaches us alone, and we end the children in order.
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """Where the output of a process goes."""
        return self._folder / f"{name}.log"

    def ended(self) -> str:
        """What to say when a process has ended that should run; "" while all run."""
        for name, process in self._running.items():
            if process.poll() is not None:
                return f"the {name} ended by itself with exit code {process.returncode}"
        return ""

    def last_lines(self) -> str:
        """The end of every log, for a person who looks for the cause."""
        parts = []
        for name in self._running:
            lines = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
            parts.append("\n".join([f"--- {self.log(name)} (last lines)", *lines]))
        return "\n".join(parts)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave the children behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for process in self._running.values():
                _send(process, signal.SIGINT)
            end = time.monotonic() + END_S
            for process in self._running.values():
                try:
                    process.wait(max(0.1, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    _send(process, signal.SIGKILL)
                    process.wait()
        finally:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """A signal that comes meanwhile is dealt with afterwards: in the middle of a start it would leave a process that
    nobody knows of."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in came:
        signal.raise_signal(late)


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
