# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`llavaseg annotate` around a scripted model, for tests that start, stop and kill it as a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))

from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.bags import annotate as module
from llavaseg_ros.cli import _args
from llavaseg_ros.cli.main import main


def slow_load(_: Any) -> ScriptedPipeline:
    pause = float(os.environ.get("SCRIPTED_S", "0"))
    return ScriptedPipeline(tokens=1, token_s=pause, follow_s=pause)


if __name__ == "__main__":
    _args.load_model = slow_load
    module.SEGMENT_FRAMES = int(os.environ.get("SEGMENT_FRAMES", "200"))
    raise SystemExit(main())
