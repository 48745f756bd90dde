"""Which model serves, and how another takes its place. Free of rclpy and of torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llavaseg_ros.errors import LLaVASegError, ModelNotReady, ServerAway, ServerTimeout
from llavaseg_ros.ros.worker import ModelState, ModelWorker, SwapDone


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


class ModelKeeper:
    """Loads, swaps and frees the model of a worker. Calls return at once; outcomes come in other threads.

    log: gets a line when a model is loading or ready. new_model: called in the worker's thread before the first command
    of another model: what was kept of the old one's image is worth nothing then.
    """

    def __init__(
        self, worker: ModelWorker, loader: Loader, *, log: Callable[[str], Any], new_model: Callable[[], None]
    ) -> None:
        self._worker, self._loader, self._log, self._new_model = worker, loader, log, new_model
        self.serving: Wanted | None = None
        """What serves, or is being loaded while nothing serves."""
        self.description: dict[str, Any] = {}
        """What the serving model says of itself."""

    def activate(self, wanted: Wanted, *, warm: bool) -> None:
        """Load `wanted`, unless it is there or on its way."""
        if self.serving == wanted and self._worker.state in (ModelState.READY, ModelState.LOADING):
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
        told: dict[str, Any] = {}

        def over(error: LLaVASegError | None) -> None:
            if error is None:
                self._new_model()
                self.serving, self.description = wanted, told
            done(error)

        self._worker.swap(lambda: self._make(wanted, warm, told, alone=False), over)

    def forget(self) -> None:
        """Free the model."""
        self.serving = None
        self._worker.unload()

    def _load_alone(self, wanted: Wanted, warm: bool, done: Callable[[], None]) -> None:
        self.serving, self.description = wanted, {}

        def load() -> Any:
            self._new_model()
            return self._make(wanted, warm, self.description, alone=True)

        self._worker.load(load, done)

    def _failure(self) -> LLaVASegError | None:
        ready = self._worker.state is ModelState.READY
        return None if ready else ModelNotReady(self._worker.error or "another model was asked for meanwhile")

    def _make(self, wanted: Wanted, warm: bool, description: dict[str, Any], *, alone: bool) -> Any:
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
        description.update(model.describe())
        warmed = time.monotonic() - loaded
        self._log(f"model {wanted.model!r} is ready: {loaded - started:.1f} s to load, {warmed:.1f} s to warm")
        return model
