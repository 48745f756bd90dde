# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The microphone against a stand-in for sounddevice: what it opens, and what it says when something is missing."""

from __future__ import annotations

import builtins
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.speech.audio import BLOCK, SAMPLE_RATE_HZ
from llavaseg_ros.speech.errors import MicrophoneAway, SpeechNotReady
from llavaseg_ros.speech.microphone import GONE_AFTER_S, Microphone, Resampler, portaudio


class PortAudioError(Exception):
    """As in sounddevice."""


class Stream:
    """Calls back from a thread with a tone, until it is closed or unplugged."""

    def __init__(self, owner: SoundDevice, **options: Any) -> None:
        self.owner, self.options = owner, options
        self.active = False
        self.closed = False

    def start(self) -> None:
        if self.owner.fail_at_start:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.active = True
        threading.Thread(target=self._call, daemon=True).start()

    def _call(self) -> None:
        size, rate, channels = (self.options[name] for name in ("blocksize", "samplerate", "channels"))
        for number in range(self.owner.blocks_before_unplugged):
            if self.closed:
                return
            seconds = (number * size + np.arange(size)) / rate
            tone = 0.5 * np.sin(2 * np.pi * 440 * seconds)
            self.options["callback"](np.repeat(tone[:, None], channels, axis=1).astype(np.float32), size, None, None)
            time.sleep(0.001)
            self.owner.go_on.wait()
        if self.owner.stream_notices:
            self.active = False

    def close(self, ignore_errors: bool = True) -> None:
        self.closed = True


class SoundDevice(SimpleNamespace):
    """The part of the module that is used."""

    PortAudioError = PortAudioError

    def __init__(self, devices: list[dict[str, Any]], default: int = -1) -> None:
        super().__init__(default=SimpleNamespace(device=(default, -1)))
        self.devices = [{"index": index, **device} for index, device in enumerate(devices)]
        self.refuses: set[tuple[int, int]] = set()
        self.fail_at_start = False
        self.stream_notices = True
        self.blocks_before_unplugged = 10_000
        self.go_on = threading.Event()  # cleared, the first block is the last until it is set
        self.go_on.set()
        self.opened: list[Stream] = []
        self.looked = 0

    def _terminate(self) -> None:
        pass

    def _initialize(self) -> None:
        self.looked += 1

    def query_devices(self) -> list[dict[str, Any]]:
        return self.devices

    def InputStream(self, **options: Any) -> Stream:  # noqa: N802
        if (options["samplerate"], options["channels"]) in self.refuses:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        self.opened.append(Stream(self, **options))
        return self.opened[-1]


SPEAKER = {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48_000.0}
BUILT_IN = {"name": "HDA Intel: ALC269 (hw:0,0)", "max_input_channels": 2, "default_samplerate": 44_100.0}
HEADSET = {"name": "USB Headset: Audio (hw:1,0)", "max_input_channels": 1, "default_samplerate": 48_000.0}


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> SoundDevice:
    sound = SoundDevice([SPEAKER, BUILT_IN, HEADSET], default=1)
    monkeypatch.setitem(sys.modules, "sounddevice", sound)  # type: ignore[arg-type]
    # Either thread may get no turn for longer than a driver is ever silent, or than it may be behind.
    monkeypatch.setattr("llavaseg_ros.speech.microphone.GONE_AFTER_S", 60.0)
    monkeypatch.setattr("llavaseg_ros.speech.microphone.MAX_WAITING", sound.blocks_before_unplugged)
    return sound


def first_blocks(microphone: Microphone, count: int) -> np.ndarray:
    stop, blocks = threading.Event(), []
    for block in microphone.blocks(stop):
        blocks.append(block)
        if len(blocks) == count:
            stop.set()
    return np.array(blocks[:count])


def check_tone(blocks: np.ndarray) -> None:
    assert blocks.shape[1:] == (BLOCK,) and blocks.dtype == np.float32
    audio = blocks.ravel()[4 * BLOCK :]  # a resampler begins softly
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    assert abs(np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE_HZ)[spectrum.argmax()] - 440) < 5
    # A seam between two blocks would spread the tone.
    assert spectrum.max() ** 2 > 0.3 * (spectrum**2).sum() and 0.45 < np.abs(audio).max() < 0.55


def test_the_default_at_16_khz(sound: SoundDevice) -> None:
    check_tone(first_blocks(Microphone(), 40))
    options = sound.opened[0].options
    assert (options["device"], options["samplerate"], options["channels"]) == (1, 16_000, 1)
    assert sound.opened[0].closed


@pytest.mark.parametrize("device", ["2", "usb headset"])
def test_by_number_or_name(sound: SoundDevice, device: str) -> None:
    first_blocks(Microphone(device), 1)
    assert sound.opened[0].options["device"] == 2


def test_a_device_that_only_knows_its_own_rate_and_channels(sound: SoundDevice) -> None:
    sound.refuses = {(16_000, 1), (44_100, 1), (16_000, 2)}
    check_tone(first_blocks(Microphone(), 40))
    assert (sound.opened[0].options["samplerate"], sound.opened[0].options["channels"]) == (44_100, 2)


def test_a_device_that_cannot_be_opened(sound: SoundDevice) -> None:
    sound.refuses = {(rate, channels) for rate in (16_000, 48_000) for channels in (1, 2)}
    with pytest.raises(MicrophoneAway, match="USB Headset.*cannot be opened.*Invalid sample rate"):
        first_blocks(Microphone("usb"), 1)
    sound.refuses, sound.fail_at_start = set(), True
    with pytest.raises(MicrophoneAway, match="USB Headset.*unavailable"):
        first_blocks(Microphone("usb"), 1)
    assert sound.opened[0].closed


def test_no_such_microphone_lists_those_that_there_are(sound: SoundDevice) -> None:
    with pytest.raises(MicrophoneAway, match=r"'webcam'.*1 'HDA Intel.*2 'USB Headset") as raised:
        first_blocks(Microphone("webcam"), 1)
    assert "Speaker" not in str(raised.value)
    with pytest.raises(MicrophoneAway, match="'0'"):  # an output
        first_blocks(Microphone("0"), 1)


def test_no_microphone_at_all(sound: SoundDevice) -> None:
    sound.devices = sound.devices[:1]
    with pytest.raises(MicrophoneAway, match="no microphone"):
        first_blocks(Microphone(), 1)


@pytest.mark.parametrize("stream_notices", [True, False])
def test_unplugged_while_listening(sound: SoundDevice, stream_notices: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some drivers end the stream, with others it only falls silent. Plugged in again, it is found by the next call."""
    sound.blocks_before_unplugged, sound.stream_notices = 20, stream_notices
    microphone = Microphone()
    with monkeypatch.context() as limit:
        if not stream_notices:
            limit.setattr("llavaseg_ros.speech.microphone.GONE_AFTER_S", GONE_AFTER_S)
        with pytest.raises(MicrophoneAway, match="HDA Intel.*unplugged"):
            list(microphone.blocks(threading.Event()))
    assert sound.opened[0].closed and sound.looked == 1
    sound.blocks_before_unplugged = 10_000
    assert len(first_blocks(microphone, 5)) == 5 and sound.looked == 2


def test_a_machine_that_cannot_keep_up_says_so(sound: SoundDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llavaseg_ros.speech.microphone.MAX_WAITING", 5)
    sound.go_on.clear()  # or the queue may be full before the first block is taken out
    microphone = Microphone()
    blocks = microphone.blocks(threading.Event())
    next(blocks)
    sound.go_on.set()
    end = time.monotonic() + 30
    while not microphone._overrun.is_set() and time.monotonic() < end:
        time.sleep(0.01)
    assert microphone.behind_s == pytest.approx(5 * 0.032)
    with pytest.raises(MicrophoneAway, match="was lost"):
        list(blocks)


def test_missing_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(error: Exception) -> Any:
        def load(name: str, *args: Any, **kwargs: Any) -> Any:
            if name == "sounddevice":
                raise error
            return real(name, *args, **kwargs)

        return load

    monkeypatch.setattr(builtins, "__import__", broken(OSError("PortAudio library not found")))
    with pytest.raises(SpeechNotReady, match="PortAudio.*apt install libportaudio2"):
        portaudio()
    monkeypatch.setattr(builtins, "__import__", broken(ModuleNotFoundError("No module named 'sounddevice'")))
    with pytest.raises(SpeechNotReady, match=r"sounddevice.*pip install 'llavaseg_ros\[speech\]'"):
        list(Microphone().blocks(threading.Event()))


def test_resampler_cuts_any_pieces_into_blocks() -> None:
    resample = Resampler(SAMPLE_RATE_HZ)
    samples = np.arange(3 * BLOCK + 100, dtype=np.float32)
    blocks = [block for piece in np.split(samples, [100, 900, 901]) for block in resample(piece)]
    assert np.array_equal(np.concatenate(blocks), samples[: 3 * BLOCK])
