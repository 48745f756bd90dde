# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model on its way into the place of the one that serves. Free of rclpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llavaseg_ros.errors import LLaVASegError
from llavaseg_ros.ros.jobs import as_error
from llavaseg_ros.ros.lane import LOADING, Lane

SwapDone = Callable[[LLaVASegError | None], None]


class Swap:
    """Loads in a lane of its own, once it is started.

    done: for the worker to call once, when it is over. generation: the worker's, as the swap began. loaded, failed:
    called in the lane's thread when it has come to an end, also when it was left behind. model: what was loaded, until
    somebody takes it; nothing else holds it, so that one which comes too late can be freed at once.
    """

    def __init__(
        self,
        loader: Callable[[], Any],
        done: SwapDone,
        generation: int,
        loaded: Callable[[Swap], None],
        failed: Callable[[Swap, LLaVASegError], None],
    ) -> None:
        self.done, self.generation = done, generation
        self.model: Any = None
        self._loader, self._loaded, self._failed = loader, loaded, failed
        self.lane = Lane("llavaseg-swap", self._work)

    def _work(self, lane: Lane) -> None:
        lane.pulse.enter(LOADING)
        try:
            self.model = self._loader()
        except BaseException as raised:  # also SystemExit, out of a library: somebody waits for the end
            self._failed(self, as_error(raised))
            return
        lane.pulse.enter("")
        self._loaded(self)
