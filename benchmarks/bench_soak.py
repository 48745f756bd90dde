# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node all day, in half an hour: full load, and whether anything grows or goes wrong.

    python benchmarks/bench_soak.py [--minutes 30] [--json benchmarks/results/soak.json] [--chart docs/images/soak.svg]

The node runs in a process of its own as it ships (follow mode on), beside a camera of 30 Hz (640x480 color and depth, a
process too). A command every 2 s: targets, references, questions, absent things, cancels, bad input. Subscribers of
every output come and go every second, whole participants every five. Measured from outside: memory, handles, threads
and shared memory of the process (`soak_growth.py` has the judgement), latency at the start and at the end, the
followed frames, and the invariants of test/faults/observer.py, which sees the topics only.

Ends with 1 when something grew, an invariant was broken, a command had no final answer or two, or an error that it may
not have; the JSON says which. It is written every 10 s, so that a run that was cut off leaves its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import numpy as np
from soak_growth import LIMITS, as_json, judge, own_segments, percentiles, sample
from soak_load import SLOW, Robot, Sent, Visitors

from llavaseg_ros.demo.processes import ros_parameters
from llavaseg_ros.errors import ErrorCode

if TYPE_CHECKING:
    from soak_account import Account

HERE = Path(__file__).resolve().parent
NODE_MODULE = "llavaseg_ros.nodes.llavaseg_node"
NAMESPACE = "/soak"
COMMAND_EVERY_S = 2.0
WRITE_EVERY_S = 10.0
SETTLE_EVERY_S, QUIET_S = 15.0, 0.3
READY_S = 600.0
LAST_ANSWERS_S = 120.0
END_S = 30.0
MOST_SAMPLES_KEPT = 180  # in the file
MOST_TOLD = 20


class Soak:
    """One run. `run` returns the report; `report["problems"]` is empty when all is well."""

    def __init__(
        self,
        minutes: float,
        *,
        node: Sequence[str] = ("-m", NODE_MODULE),
        parameters: dict[str, object] | None = None,
        domain: int | None = None,
        log: Path = Path("out/soak_node.log"),
        partial: Path | None = None,
        sample_every_s: float | None = None,
        limits: Mapping[str, tuple[float, float]] = LIMITS,
    ) -> None:
        self.seconds, self._node = 60 * minutes, list(node)
        self._parameters = {"follow.enabled": True, **(parameters or {})}
        self._domain = 1 + os.getpid() % 100 if domain is None else domain
        self._log, self._partial, self._limits = log, partial, limits
        self._every_s = sample_every_s or max(0.5, min(2.0, self.seconds / 240))
        # What is made lazily exists by then; a short run has to make do with less.
        self.warm_up_s = min(600.0, 0.4 * self.seconds)
        self._samples: list[dict[str, float]] = []
        self._problems: list[str] = []
        self._begun = 0.0
        self._checked = 0

    def run(self) -> dict[str, Any]:
        """Start everything, load it, stop everything."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "ROS_DOMAIN_ID": str(self._domain), "PYTHONUNBUFFERED": "1"}
        arguments = ros_parameters(self._parameters)
        with self._log.open("wb") as log:
            node = subprocess.Popen(
                [sys.executable, *self._node, *arguments, "-r", f"__ns:={NAMESPACE}"],
                env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
            camera = subprocess.Popen([sys.executable, str(HERE / "bench_soak.py"), "--camera"], env=environment)
            try:
                return self._beside(node, camera)
            finally:
                for process in (node, camera):
                    process.kill()
                    process.wait()

    def _beside(self, node: subprocess.Popen[bytes], camera: subprocess.Popen[bytes]) -> dict[str, Any]:
        sys.path[:0] = [str(HERE.parent / "test" / name) for name in ("faults", "ros")]
        from soak_account import Account

        robot = Robot(NAMESPACE, self._domain)
        account = Account(NAMESPACE, self._domain)
        visitors = Visitors(NAMESPACE, self._domain)
        segments: set[str] = set()
        try:
            end = time.monotonic() + READY_S
            while not robot.ready():
                if node.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"the node was not ready in {READY_S:g} s; see {self._log}")
                robot.spin(0.2)
            visitors.start()
            self._begun = time.monotonic()
            robot.frames, robot.levels = 0, {}
            robot.followed.clear()
            self._load(robot, node, camera, visitors, account)
            visitors.stop()
            end = time.monotonic() + LAST_ANSWERS_S
            while len(robot.pending) > robot.lost and time.monotonic() < end and node.poll() is None:
                robot.spin(0.1)
            robot.spin(0.5)  # a second final answer would come now
            if node.poll() is None:
                segments = own_segments(node.pid)
                node.send_signal(signal.SIGINT)
                self._end(node)
            account.finish()
        finally:
            visitors.stop()
            account.close()
            self._problems += [f"invariant: {text}" for text in account.violations[:MOST_TOLD]]
            self._checked = account.checked
            robot.close()
        camera.kill()
        camera.wait()
        left = sorted(name for name in segments if Path(name).exists())
        if left:
            self._problems.append(f"shared memory left behind: {', '.join(left)}")
        return self._report(robot, visitors, time.monotonic() - self._begun, ended=True)

    def _load(
        self,
        robot: Robot,
        node: subprocess.Popen[bytes],
        camera: subprocess.Popen[bytes],
        visitors: Visitors,
        account: Account,
    ) -> None:
        command_at = sample_at = settle_at = 0.0
        write_at = WRITE_EVERY_S
        while (now := time.monotonic() - self._begun) < self.seconds:
            for process, name in ((node, "node"), (camera, "camera")):
                if process.poll() is not None:
                    self._problems.append(f"the {name} ended after {now:.0f} s with exit code {process.returncode}")
                    return
            if now >= command_at:
                robot.command()
                command_at += COMMAND_EVERY_S
            if now >= sample_at:
                self._samples.append({**sample(node.pid, now), "dropped": _dropped(robot), "frames": robot.frames})
                sample_at = now + self._every_s
            if now >= settle_at and len(robot.pending) <= robot.lost and now < command_at - QUIET_S:
                robot.spin(QUIET_S)  # for what is on its way to the account
                account.settle()
                settle_at = now + SETTLE_EVERY_S
                self._checked = account.checked
            if now >= write_at:
                self._write(self._report(robot, visitors, now, ended=False))
                write_at = now + WRITE_EVERY_S
            robot.spin(max(0.01, min(command_at, sample_at, self.seconds) - now))

    def _end(self, node: subprocess.Popen[bytes]) -> None:
        try:
            code = node.wait(END_S)
        except subprocess.TimeoutExpired:
            self._problems.append(f"the node did not end within {END_S:g} s of SIGINT")
        else:
            if code != 0:
                self._problems.append(f"the node ended with exit code {code} after SIGINT")

    def _report(self, robot: Robot, visitors: Visitors, seconds: float, *, ended: bool) -> dict[str, Any]:
        problems = [*self._problems]
        growth: dict[str, Any] = {}
        try:
            verdicts = judge(self._samples, self.warm_up_s, self._limits)
        except ValueError as error:
            problems += [f"growth: {error}"] if ended else []
        else:
            growth = as_json(verdicts)
            if ended:
                problems += [
                    f"{name} grows: {v.rise:.1f} over the judged time, {v.limit:.1f} count as none"
                    for name, v in verdicts.items()
                    if v.grows
                ]
        if ended:
            # The node's publisher keeps one answer: a busy subscriber may miss the first of two. Counted, not judged.
            if len(robot.pending) > robot.lost:
                problems += [f"no final answer to {s.ask.text[:40]!r}" for s in robot.pending[:MOST_TOLD]]
            problems += [f"a final answer too many: {text}" for text in robot.surplus[:MOST_TOLD]]
            problems += _wrong_codes(robot.done)
            problems += [f"a visitor failed: {text}" for text in visitors.failures[:MOST_TOLD]]
            if not any(sent.found for sent in robot.done):
                problems.append("no command found its target")
            if not robot.followed:
                problems.append("no mask came")
            if not self._checked:
                problems.append("the invariants were checked on nothing")
        tenth = self.seconds / 10
        begun = self._begun
        first = [s for s in robot.done if s.at_s < begun + tenth]
        last = [s for s in robot.done if s.at_s >= begun + self.seconds - tenth]
        kept = np.linspace(0, len(self._samples) - 1, min(len(self._samples), MOST_SAMPLES_KEPT)).round().astype(int)
        return {
            "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
            "minutes": round(self.seconds / 60, 2),
            "seconds_run": round(seconds, 1),
            "complete": ended,
            "warm_up_s": self.warm_up_s,
            "growth": growth,
            "commands": {
                "sent": len(robot.done) + len(robot.pending),
                "answered": len(robot.done),
                "found": sum(s.found for s in robot.done),
                "codes": dict(Counter(ErrorCode(s.code).name for s in robot.done if s.code is not None)),
                "goal_results": robot.results,
                "answers_lost_on_the_way": robot.lost,
            },
            "latency": {
                name: {"client": percentiles(_worked(part, "latency_s")), "node": percentiles(_worked(part, "node_s"))}
                for name, part in (("first_tenth", first), ("last_tenth", last), ("all", robot.done))
            },
            "masks": {
                name: _masks(robot.followed, *part)
                for name, part in (
                    ("first_tenth", (begun, begun + tenth)),
                    ("last_tenth", (begun + self.seconds - tenth, begun + self.seconds)),
                    ("all", (begun, begun + self.seconds)),
                )
            },
            "frames": {
                "sent": robot.frames,
                "rate_hz": round(robot.frames / seconds, 2) if seconds else 0.0,
                "reached_node": int(robot.diagnostics.get("images", 0)),
                "not_followed_in_time": _dropped(robot),
            },
            "messages_checked": self._checked,
            "visitors": {"visits": visitors.visits, "messages": visitors.received},
            "diagnostics_levels": robot.levels,
            "problems": problems,
            "samples": [self._samples[i] for i in kept],
        }

    def _write(self, report: dict[str, Any]) -> None:
        if self._partial is not None:
            write(report, self._partial)
            state = {name: value for name, value in self._samples[-1].items() if name != "dropped"}
            print("  ".join(f"{name} {value:g}" for name, value in state.items()), flush=True)


def _dropped(robot: Robot) -> int:
    return int(robot.diagnostics.get("dropped frames", 0))


def _worked(part: Sequence[Sent], name: str) -> list[float]:
    """Latencies of the commands that the model worked on to their end."""
    done = (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.EMPTY_MASK, ErrorCode.NO_DEPTH)
    return [getattr(sent, name) for sent in part if sent.code in done]


def _masks(came: Sequence[tuple[float, float]], begin: float, end: float) -> dict[str, Any]:
    ages = [age for at, age in came if begin <= at < end]
    return {"rate_hz": round(len(ages) / max(1e-9, end - begin), 2), "age": percentiles(ages)}


def _wrong_codes(done: Sequence[Sent]) -> list[str]:
    wrong = Counter(
        (sent.ask.text[:40], ErrorCode(sent.code).name)
        for sent in done
        if sent.code is not None and sent.code not in sent.ask.codes | SLOW
    )
    return [f"{count} times {name} to {text!r}" for (text, name), count in wrong.items()]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write(report: dict[str, Any], path: Path) -> None:
    """The report as JSON; the old file stays whole until the new one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def main() -> int:
    """Run it, write the JSON and the chart, print what matters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, default=Path("out/soak.json"))
    parser.add_argument("--chart", type=Path, help="draw memory and latency there, SVG (needs matplotlib)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--camera", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.camera:
        from soak_load import camera

        camera(NAMESPACE)
        return 0
    soak = Soak(options.minutes, parameters={"device": options.device}, partial=options.json)
    report = soak.run()
    write(report, options.json)
    shown = {name: value for name, value in report.items() if name != "samples"}
    print(json.dumps(shown, indent=1))
    if options.chart:
        from soak_chart import draw

        draw(report, options.chart)
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
