# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Files of every kind become 16 kHz mono; what is no audio is refused by name."""

from __future__ import annotations

import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.speech.audio import BLOCK, SAMPLE_RATE_HZ, Recording, read_audio


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """samples: int16 [N, channels]"""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def loudest_hz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE_HZ)[spectrum.argmax()])


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1), (48_000, 2)])
def test_any_rate_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    tone = 16_000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    write_wav(tmp_path / "tone.wav", np.repeat(tone[:, None], channels, axis=1), rate)
    audio = read_audio(tmp_path / "tone.wav")
    assert audio.dtype == np.float32 and audio.ndim == 1
    assert abs(len(audio) - SAMPLE_RATE_HZ) < 100
    assert abs(loudest_hz(audio) - 440) < 3
    assert 0.4 < np.abs(audio).max() < 0.55


def test_what_is_no_audio(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("This is not audio. " * 100)
    empty = tmp_path / "empty.wav"
    write_wav(empty, np.zeros((0, 1)), 16_000)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(b"RIFF\x24\x00")
    nothing = tmp_path / "nothing.wav"
    nothing.touch()
    for path in (text, empty, cut, nothing, tmp_path / "missing.wav", tmp_path):
        with pytest.raises(BadRequest, match=path.name):
            read_audio(path)
    with pytest.raises(BadRequest, match="no such file"):
        read_audio(tmp_path / "missing.wav")


def test_a_picture_has_no_audio(tmp_path: Path) -> None:
    from llavaseg_ros.images import write_rgb

    write_rgb(tmp_path / "picture.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(BadRequest, match="no audio stream"):
        read_audio(tmp_path / "picture.png")


def test_blocks_are_the_file_and_zeros_at_its_end(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, (3 * BLOCK + 100, 1))
    write_wav(tmp_path / "noise.wav", samples, SAMPLE_RATE_HZ)
    recording = Recording(tmp_path / "noise.wav", realtime=False)
    blocks = list(recording.blocks(threading.Event()))
    assert [block.shape for block in blocks] == [(BLOCK,)] * 4
    joined = np.concatenate(blocks)
    assert np.allclose(joined[: len(samples)], samples[:, 0] / 32768, atol=1e-4) and not joined[len(samples) :].any()
    assert recording.behind_s == 0.0


def test_a_recording_stops_when_told(tmp_path: Path) -> None:
    write_wav(tmp_path / "long.wav", np.zeros((60 * SAMPLE_RATE_HZ, 1)), SAMPLE_RATE_HZ)
    stop = threading.Event()
    blocks = Recording(tmp_path / "long.wav").blocks(stop)
    next(blocks)
    stop.set()
    assert list(blocks) == []


def test_who_takes_blocks_late_is_behind(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros((4 * BLOCK, 1)), SAMPLE_RATE_HZ)
    recording = Recording(tmp_path / "a.wav")
    blocks = recording.blocks(threading.Event())
    next(blocks)
    time.sleep(0.2)
    assert recording.behind_s >= 0.19
