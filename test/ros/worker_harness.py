# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Jobs for a model worker whose endings are kept, jobs that hang, and a watchdog whose time goes as the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ros_harness import wait_until

from llavaseg_ros.errors import Cancelled, LLaVASegError
from llavaseg_ros.ros.jobs import Job
from llavaseg_ros.ros.lane import WatchLimits
from llavaseg_ros.ros.worker import ModelWorker


class Endings:
    """Collects how jobs end: each with a value or with an error, and with each in its own place."""

    def __init__(self) -> None:
        self.list: list[tuple[str, Any, LLaVASegError | None]] = []

    def job(self, name: str, run: Callable[[Any, Job], Any] | None = None, timeout_s: float = 30.0) -> Job:
        def finish(value: Any, error: LLaVASegError | None) -> None:
            self.list.append((name, value, error))

        return Job(run or (lambda model, job: f"{model}:{name}"), finish, timeout_s=timeout_s, name=name)

    def wait(self, count: int) -> dict[str, Any]:
        wait_until(lambda: len(self.list) >= count, what=f"{count} endings")
        for name, value, error in self.list:
            assert error is None or (value is None and isinstance(error, LLaVASegError)), (name, value, error)
            assert not isinstance(value, LLaVASegError), f"{name} ends well, with {value!r} for a value"
        return {name: error if error is not None else value for name, value, error in self.list}


def work_until_cancelled(model: Any, job: Job) -> Any:
    while not job.should_cancel():
        time.sleep(0.002)
    raise Cancelled("cancelled")


def start_long_job(worker: ModelWorker, endings: Endings, name: str = "long") -> Job:
    begun = threading.Event()

    def run(model: Any, job: Job) -> Any:
        begun.set()
        return work_until_cancelled(model, job)

    job = endings.job(name, run, timeout_s=600.0)
    worker.submit(job)
    assert begun.wait(60.0)
    return job


def hang(worker: ModelWorker, endings: Endings, release: threading.Event, name: str = "hung") -> Job:
    begun = threading.Event()

    def run(model: Any, job: Job) -> Any:
        begun.set()
        return release.wait(120.0) and f"late {model}"

    job = endings.job(name, run, timeout_s=600.0)
    worker.submit(job)
    assert begun.wait(60.0)
    worker.watch(WatchLimits())  # sees it for the first time
    return job


def pass_time(worker: ModelWorker, seconds: int, limits: WatchLimits) -> None:
    """As if the watchdog had looked on for so long, in its longest steps, which are a second to the bit."""
    for _ in range(seconds):
        worker._looked -= 100.0
        worker.watch(limits)
