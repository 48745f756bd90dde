# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg annotate` around a scripted model, for tests that start, stop and kill it as a process of its own."""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))

from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.bags import annotate as module
from llavaseg_ros.cli import _args
from llavaseg_ros.cli.main import main


def load(_: Any) -> ScriptedPipeline:
    """A model that sleeps for ever at its HANG_AT-th image, if there is such a variable."""
    numbers = itertools.count(1)

    def look(_: Any) -> None:
        if next(numbers) == int(os.environ.get("HANG_AT", "0")):
            time.sleep(10**6)

    return ScriptedPipeline(tokens=1, on_image=look)


if __name__ == "__main__":
    _args.load_model = load
    module.SEGMENT_FRAMES = int(os.environ.get("SEGMENT_FRAMES", "200"))
    raise SystemExit(main())
