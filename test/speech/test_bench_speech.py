# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the speech benchmark computes, without its voices."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from bench_speech import end_of_sound_s, find_utterances, tables, word_errors
from speech_voices import add_noise, pink, white

from llavaseg_ros.speech.audio import read_audio


@pytest.mark.parametrize(
    ("said", "errors"),
    [
        ("hand me the RED mug", 0),
        ("hand me red mug", 1),
        ("and me the red mud", 2),
        ("hand me the red mug please", 1),
        ("", 5),
    ],
)
def test_word_errors(said: str, errors: int) -> None:
    assert word_errors("Hand me the red mug.", said) == (errors, 5)


def test_noise_has_the_ratio_that_was_asked_for(recordings: Path) -> None:
    audio = read_audio(recordings / "red_mug.wav")
    rng = np.random.default_rng(0)
    for noise in (white(len(audio), rng), pink(len(audio), rng)):
        added = add_noise(audio, noise, 10.0) - audio
        speech = audio[audio != 0]
        ratio = 10 * np.log10((speech**2).mean() / (added**2).mean())
        assert 7.0 < ratio < 13.0
    spectrum = np.abs(np.fft.rfft(pink(2**16, rng))) ** 2
    low, high = spectrum[100:200].mean(), spectrum[10_000:20_000].mean()
    assert 50 < low / high < 200  # 1/f


def test_end_of_sound(recordings: Path) -> None:
    audio = read_audio(recordings / "stop.wav")
    # The voice itself ends with a little silence.
    assert len(audio) / 16_000 - 1.3 < end_of_sound_s(audio) < len(audio) / 16_000 - 1.0
    assert len(find_utterances(audio)) == 1


def test_recorded_results_have_the_documented_tables() -> None:
    import json

    results = json.loads((ROOT / "benchmarks" / "results" / "speech.json").read_text(encoding="utf-8"))
    documented = (ROOT / "docs" / "speech.md").read_text(encoding="utf-8")
    for line in tables(results).splitlines():
        if line.startswith("| ") and "---" not in line:
            assert line in documented, line
