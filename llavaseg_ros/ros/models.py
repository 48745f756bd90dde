# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which model serves, and how another takes its place. Free of rclpy and of torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llavaseg_ros.errors import LLaVASegError, ModelNotReady, ServerAway, ServerTimeout
from llavaseg_ros.ros.swap import SwapDone
from llavaseg_ros.ros.worker import ModelState, ModelWorker


@dataclass(frozen=True)
class Wanted:
    """What to load. model: a profile's name or file, or a bundle's folder. The others are as in the parameters."""

    model: str
    device: str
    mode: str
    gpu_memory_limit_gb: float = 0.0
    cpu_threads: int = 0


Loader = Callable[[Wanted], Any]
"""Returns an object with the methods of `llavaseg_ros.pipeline.LLaVASeg`."""


@dataclass
class _Told:
    """What is known of a model once it is warm."""

    description: dict[str, Any] = field(default_factory=dict)
    warm_up_s: float = 0.0


class ModelKeeper:
    """Loads, swaps and frees the model of a worker. Calls return at once; outcomes come in other threads.

    log: gets a line when a model is loading or ready. new_model: called before the first command of another model, and
    when a thread is left behind with its model: what was kept of the old one's image is worth nothing then.
    """

    def __init__(
        self, worker: ModelWorker, loader: Loader, *, log: Callable[[str], Any], new_model: Callable[[], None]
    ) -> None:
        self._worker, self._loader, self._log, self._new_model = worker, loader, log, new_model
        self.serving: Wanted | None = None
        """What serves, or is being loaded while nothing serves."""
        self.description: dict[str, Any] = {}
        """What the serving model says of itself."""
        self.warm_up_s = 0.0
        """How long the serving model's warm-up took; 0 without one. It tells how fast this machine is for it."""
        self._warm = True
        worker.recover, worker.left_behind = self._recover, new_model

    def activate(self, wanted: Wanted, *, warm: bool) -> None:
        """Load `wanted`, unless it is there or on its way."""
        self._worker.overruns.forgive()
        on_its_way = (ModelState.READY, ModelState.LOADING, ModelState.RECOVERING)
        if self.serving == wanted and self._worker.state in on_its_way:
            return
        self._load_alone(wanted, warm, lambda: None)

    def exchange(self, wanted: Wanted, *, warm: bool, done: SwapDone) -> None:
        """Put `wanted` in the place of what serves, which goes on until then and stays if this fails.

        done: called once, with None or the reason why not. Raises ModelNotReady while no model is loaded or another
        one is being loaded, Busy while another exchange is under way.
        """
        if self._worker.state is ModelState.ERROR:  # nothing serves that could go on
            self._load_alone(wanted, warm, lambda: done(self._failure()))
            return
        told = _Told()

        def over(error: LLaVASegError | None) -> None:
            if error is None:
                self._new_model()
                self.serving, self._warm = wanted, warm
                self.description, self.warm_up_s = told.description, told.warm_up_s
            done(error)

        self._worker.swap(lambda: self._make(wanted, warm, told, alone=False), over)

    def forget(self) -> None:
        """Free the model."""
        self.serving = None
        self._worker.unload()

    def _recover(self, why: str) -> None:
        """A thread hangs with the model that served: load it again for the next one. That thread still holds the old
        one, so that there are two of them in memory until it comes back, if it does."""
        if self.serving is not None:
            self._load_alone(self.serving, self._warm, lambda: None, why)

    def _load_alone(self, wanted: Wanted, warm: bool, done: Callable[[], None], why: str = "") -> None:
        told = _Told()
        self.serving, self._warm, self.description = wanted, warm, told.description

        def load() -> Any:
            self._new_model()
            return self._make(wanted, warm, told, alone=True)

        def over() -> None:
            if self.description is told.description:  # and no newer load has begun
                self.warm_up_s = told.warm_up_s
            done()

        self._worker.load(load, over, why=why)

    def _failure(self) -> LLaVASegError | None:
        ready = self._worker.state is ModelState.READY
        return None if ready else ModelNotReady(self._worker.error or "another model was asked for meanwhile")

    def _make(self, wanted: Wanted, warm: bool, told: _Told, *, alone: bool) -> Any:
        """alone: there is no old model that could stay. Then a served model whose server is away is taken as it is:
        the next command finds it up again."""
        self._log(f"loading model {wanted.model!r} on {wanted.device}")
        started = time.monotonic()
        model = self._loader(wanted)
        loaded = time.monotonic()
        if warm:
            try:
                model.warm_up()
            except (ServerAway, ServerTimeout) as error:
                if not alone:
                    raise
                self._log(f"model {wanted.model!r} is not warm: {error}; commands will ask its server again")
        told.description.update(model.describe())
        warmed = time.monotonic() - loaded
        told.warm_up_s = warmed if warm else 0.0
        self._log(f"model {wanted.model!r} is ready: {loaded - started:.1f} s to load, {warmed:.1f} s to warm")
        return model
