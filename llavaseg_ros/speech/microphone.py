# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A microphone, through PortAudio. Nothing of it is imported before a microphone is opened."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from llavaseg_ros.speech.audio import BLOCK, SAMPLE_RATE_HZ
from llavaseg_ros.speech.errors import MicrophoneAway, SpeechNotReady

# A microphone sends a block every 32 ms; after so long a silence of the driver it is gone.
GONE_AFTER_S = 1.0

# Blocks that may wait, 30 s. More means that this machine cannot keep up, and audio would be lost.
MAX_WAITING = 30 * SAMPLE_RATE_HZ // BLOCK

_POLL_S = 0.1


def portaudio() -> Any:
    """The module sounddevice. Raises SpeechNotReady that says whether it or PortAudio is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise SpeechNotReady.missing_extra(error) from error
    except OSError as error:  # how sounddevice says that it does not find the library
        raise SpeechNotReady(
            f"a microphone needs the library PortAudio, which is not installed ({error}): "
            "apt install libportaudio2 (Debian, Ubuntu)"
        ) from error
    return sounddevice


class Microphone:
    """device: "" for the system's default input, a number, or a part of a device's name, as PortAudio lists them."""

    def __init__(self, device: str = "") -> None:
        self.name = f"microphone {device!r}" if device else "the default microphone"
        self._device = device.strip()
        self._waiting: queue.Queue[np.ndarray] = queue.Queue(MAX_WAITING)
        self._overrun = threading.Event()

    @property
    def behind_s(self) -> float:
        """See AudioSource."""
        return self._waiting.qsize() * BLOCK / SAMPLE_RATE_HZ

    def blocks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        """See AudioSource. Looks for the device anew at every call, so that one that was plugged in later is found."""
        sounddevice = portaudio()
        # PortAudio lists the devices once, when it starts.
        sounddevice._terminate()
        sounddevice._initialize()
        found = find_device(sounddevice, self._device)
        self._waiting, self._overrun = queue.Queue(MAX_WAITING), threading.Event()
        stream, rate = self._open(sounddevice, found)
        resample = Resampler(rate)
        silent_s = 0.0
        try:
            stream.start()
            while not stop.is_set():
                try:
                    taken = self._waiting.get(timeout=_POLL_S)
                except queue.Empty:
                    silent_s += _POLL_S
                    if silent_s >= GONE_AFTER_S or not stream.active:
                        raise MicrophoneAway(f"{found['name']!r} sends nothing any more: was it unplugged?") from None
                    continue
                silent_s = 0.0
                if self._overrun.is_set():
                    raise MicrophoneAway(
                        f"audio of {found['name']!r} was lost: this machine is {self.behind_s:.0f} s behind"
                    )
                yield from resample(taken)
        except sounddevice.PortAudioError as error:
            raise MicrophoneAway(f"{found['name']!r} failed: {error}") from error
        finally:
            # On a device that is gone, closing fails, too.
            stream.close(ignore_errors=True)

    def _open(self, sounddevice: Any, found: dict[str, Any]) -> tuple[Any, int]:
        """The stream, not started, and its rate: 16 kHz mono, else what the device has."""

        def keep(data: np.ndarray, frames: int, when: Any, status: Any) -> None:
            try:
                self._waiting.put_nowait(data.mean(axis=1, dtype=np.float32))
            except queue.Full:
                self._overrun.set()

        own_rate, own_channels = int(found["default_samplerate"]), int(found["max_input_channels"])
        tries = [(rate, channels) for channels in (1, own_channels) for rate in (SAMPLE_RATE_HZ, own_rate)]
        reason = ""
        for rate, channels in dict.fromkeys(tries):
            try:
                stream = sounddevice.InputStream(
                    device=found["index"],
                    samplerate=rate,
                    channels=channels,
                    dtype="float32",
                    blocksize=BLOCK * rate // SAMPLE_RATE_HZ,
                    callback=keep,
                )
            except sounddevice.PortAudioError as error:
                reason = str(error)
            else:
                return stream, rate
        raise MicrophoneAway(f"{found['name']!r} cannot be opened (in use by another program?): {reason}")


def find_device(sounddevice: Any, device: str) -> dict[str, Any]:
    """The input device that is meant. Raises MicrophoneAway that lists those that there are."""
    inputs = [entry for entry in sounddevice.query_devices() if entry["max_input_channels"] > 0]
    if not inputs:
        raise MicrophoneAway("no microphone: this machine has no audio input (plugged in? /dev/snd in the container?)")
    if not device:
        number = sounddevice.default.device[0]
        return next((entry for entry in inputs if entry["index"] == number), inputs[0])
    for entry in inputs:
        if device == str(entry["index"]) or (not device.isdecimal() and device.lower() in entry["name"].lower()):
            return entry
    listed = ", ".join(f"{entry['index']} {entry['name']!r}" for entry in inputs)
    raise MicrophoneAway(f"no microphone {device!r}; the inputs of this machine: {listed}")


class Resampler:
    """Pieces of any length and rate in, blocks of BLOCK samples at 16 kHz out, without a seam between them."""

    def __init__(self, rate: int) -> None:
        self._rest = np.zeros(0, np.float32)
        self._rate = rate
        self._resampler: Any = None
        if rate != SAMPLE_RATE_HZ:
            import av

            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)

    def __call__(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        """samples: float32 [N], mono."""
        if self._resampler is not None:
            import av

            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate = self._rate
            pieces = [piece.to_ndarray()[0] for piece in self._resampler.resample(frame)]
            samples = np.concatenate(pieces) if pieces else samples[:0]
        joined = np.concatenate([self._rest, samples])
        end = len(joined) // BLOCK * BLOCK
        self._rest = joined[end:]
        yield from joined[:end].reshape(-1, BLOCK)
