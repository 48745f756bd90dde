# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""No two models in memory at once, but for an exchange, and none that nobody needs. No ROS in here."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ros_harness import WAIT_S, wait_until
from worker_harness import Endings

from llavaseg_ros.errors import OutOfMemory
from llavaseg_ros.ros.lane import LOADING
from llavaseg_ros.ros.worker import ModelState, ModelWorker


class Model:
    """Holds itself, as models of torch do through their hooks: only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def worker() -> Iterator[ModelWorker]:
    worker = ModelWorker()
    gc.disable()  # it may not help by chance: the worker has to ask for it
    yield worker
    gc.enable()
    assert worker.stop(WAIT_S)


class Made:
    """Models that a loader made, and how many of them were in memory when it was asked for another."""

    def __init__(self) -> None:
        self._models: list[weakref.ref[Model]] = []
        self.beside: list[int] = []

    def load(self) -> Model:
        self.beside.append(self.count)
        model = Model()
        self._models.append(weakref.ref(model))
        return model

    @property
    def count(self) -> int:
        """Models in memory."""
        return sum(model() is not None for model in self._models)


def load(worker: ModelWorker, made: Made) -> None:
    worker.load(made.load)
    wait_until(lambda: worker.state is ModelState.READY)


def test_the_old_model_is_out_of_memory_before_the_next_is_loaded(worker: ModelWorker) -> None:
    made = Made()
    load(worker, made)
    load(worker, made)
    assert made.beside == [0, 0] and made.count == 1


def test_an_unload_frees_the_model(worker: ModelWorker) -> None:
    made = Made()
    load(worker, made)
    worker.unload()
    wait_until(lambda: made.count == 0)


def test_an_exchange_frees_the_old_model_before_it_is_over(worker: ModelWorker) -> None:
    made, told = Made(), list[tuple[Any, int]]()
    load(worker, made)
    worker.swap(made.load, lambda error: told.append((error, made.count)))
    wait_until(lambda: told)
    assert told == [(None, 1)] and made.beside == [0, 1]


def test_a_model_that_comes_after_an_unload_does_not_stay_in_memory(worker: ModelWorker) -> None:
    made, release, told = Made(), threading.Event(), list[Any]()
    load(worker, made)
    worker.swap(lambda: release.wait(60.0) and made.load(), told.append)
    worker.unload()
    wait_until(lambda: made.count == 0)
    release.set()
    wait_until(lambda: told)
    assert told[0] is not None and made.beside == [0, 0]
    wait_until(lambda: made.count == 0, what="the late model to be freed, though nothing comes after it")


def test_a_load_that_is_overtaken_leaves_no_model_beside_the_next(worker: ModelWorker) -> None:
    made, release = Made(), threading.Event()

    def slow() -> Model:
        model = made.load()
        release.wait(60.0)
        return model

    worker.load(slow)
    wait_until(lambda: worker._lane.pulse.stage == LOADING)
    worker.load(made.load)
    release.set()
    wait_until(lambda: worker.state is ModelState.READY)
    assert made.beside == [0, 0] and made.count == 1


def test_half_a_model_that_did_not_fit_is_out_of_memory_before_the_next_try(worker: ModelWorker) -> None:
    made = Made()

    def too_large() -> Any:
        half = made.load()
        raise OutOfMemory(f"{type(half).__name__} does not fit")

    worker.load(too_large)
    wait_until(lambda: worker.state is ModelState.ERROR)
    load(worker, made)
    assert made.beside == [0, 0] and made.count == 1


class Cuda:
    """What `torch.cuda` is asked for. available: whether there is a GPU."""

    def __init__(self, available: bool) -> None:
        self.available, self.emptied = available, 0

    def is_available(self) -> bool:
        return self.available

    def empty_cache(self) -> None:
        assert self.available, "no GPU, and its memory is given back"
        self.emptied += 1


@pytest.mark.parametrize("available", [True, False])
def test_memory_of_a_gpu_is_given_back_where_there_is_one(
    worker: ModelWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, available: bool
) -> None:
    cuda = Cuda(available)
    made, told = Made(), list[Any]()
    load(worker, made)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    worker.swap(made.load, told.append)
    wait_until(lambda: told)
    assert bool(cuda.emptied) == available
    before = cuda.emptied
    worker.unload()
    wait_until(lambda: made.count == 0 and worker._lane.pulse.stage == "")
    assert (cuda.emptied > before) == available and not caplog.records


def test_a_machine_without_torch_frees_its_model_in_silence(
    worker: ModelWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made()
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    load(worker, made)
    worker.unload()
    wait_until(lambda: made.count == 0 and worker._lane.pulse.stage == "")
    worker.load(made.load)
    wait_until(lambda: worker.state is ModelState.READY)
    worker.submit(Endings().job("a"))
    assert not caplog.records
