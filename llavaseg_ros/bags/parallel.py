# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Many bags at a time, on Ray: one worker with a model of its own for each bag that is being worked on.

Ray is an extra: `pip install 'llavaseg_ros[ray]'`. With RAY_ADDRESS set, the workers are those of that cluster, which
must see the bags and the output folder under the same paths.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llavaseg_ros.bags.annotate import BagJob, Summary
from llavaseg_ros.bags.options import Options
from llavaseg_ros.errors import BadRequest, LLaVASegError

# How often the bar moves.
POLL_S = 0.25
# A worker that dies (out of memory, say) is started again, and goes on where the segments end.
RETRIES = 2

OnFrames = Callable[[int, int], None]
"""Called with (frames done, frames expected) of all bags that were begun."""


class Worker:
    """Lives in a process of its own. load: makes the model, once."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._model = load()

    def run(
        self, bag: Path, out: Path, options: Options, restart: bool, report: Callable[[int, int], None]
    ) -> Summary | str:
        """What came of one bag, or what is wrong with it, in words."""
        try:
            return BagJob(bag, out, options, restart=restart).run(self._model, report)
        except LLaVASegError as error:
            return str(error)


def annotate_parallel(
    bags: Sequence[Path],
    out: Path,
    options: Options,
    workers: int,
    load: Callable[[], Any],
    *,
    restart: bool = False,
    gpu: bool = False,
    on_frames: OnFrames | None = None,
    on_done: Callable[[Path, Summary | str], None],
) -> None:
    """Annotate bags, at most `workers` at a time. on_done: called with each bag and its summary, or its error as text.

    load: makes a model; pickled. gpu: every worker gets a GPU of its own, so there are no more workers than GPUs.
    Raises BadRequest when gpu is asked for and Ray knows of none. A KeyboardInterrupt ends the workers; what they have
    done stays for the next run.
    """
    # Ray tells its makers about its use unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.util.queue import Queue

    started_here = not ray.is_initialized()
    if started_here:
        local: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": max(workers, os.cpu_count() or 1)}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **local)
    try:
        if gpu:
            workers = min(workers, int(ray.cluster_resources().get("GPU", 0)))
            if not workers:
                raise BadRequest("--device cuda: Ray knows of no GPU")
        actor: Any = ray.remote(Worker)
        actor = actor.options(
            num_cpus=1, num_gpus=1 if gpu else 0, max_restarts=RETRIES, max_task_retries=RETRIES
        )
        queue = Queue()
        try:
            _work(ray, actor, queue, list(bags), out, options, workers, load, restart, on_frames, on_done)
        finally:
            with suppress(Exception):
                queue.shutdown(force=True)
    finally:
        if started_here:
            ray.shutdown()


def _work(
    ray: Any,
    actor: Any,
    queue: Any,
    bags: list[Path],
    out: Path,
    options: Options,
    workers: int,
    load: Callable[[], Any],
    restart: bool,
    on_frames: OnFrames | None,
    on_done: Callable[[Path, Summary | str], None],
) -> None:
    waiting, running = list(reversed(bags)), {}
    frames: dict[str, tuple[int, int]] = {}

    def begin(worker: Any) -> None:
        if waiting:
            bag = waiting.pop()
            task = worker.run.remote(bag, out, options, restart, _Report(queue, str(bag)))
            running[task] = (worker, bag)

    def count() -> None:
        while not queue.empty():
            for name, done, expected in queue.get_nowait_batch(min(queue.qsize(), 1000)):
                frames[name] = (done, expected)
        if on_frames is not None and frames:
            on_frames(sum(done for done, _ in frames.values()), sum(expected for _, expected in frames.values()))

    for _ in range(min(workers, len(bags))):
        begin(actor.remote(load))
    while running:
        ended, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
        count()
        for task in ended:
            worker, bag = running.pop(task)
            try:
                outcome: Summary | str = ray.get(task)
            except ray.exceptions.RayError as error:
                outcome = f"the worker failed: {' '.join(str(error).split())[:500]}"
                worker = actor.remote(load) if waiting else worker
            on_done(bag, outcome)
            begin(worker)


class _Report:
    """Tells the parent how far a bag is."""

    def __init__(self, queue: Any, bag: str) -> None:
        self._queue, self._bag = queue, bag

    def __call__(self, done: int, expected: int) -> None:
        self._queue.put((self._bag, done, expected))
