# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Audio of files: decoded, made mono and 16 kHz, and handed out block by block as a microphone does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.speech.errors import SpeechNotReady

SAMPLE_RATE_HZ = 16_000

# Samples of a block: what the voice activity detector takes, 32 ms.
BLOCK = 512

# Longer recordings are no commands, and are held in memory whole.
MAX_FILE_S = 3600.0


class AudioSource(Protocol):
    """Where blocks come from."""

    name: str

    def blocks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        """Blocks, float32 [BLOCK] in [-1, 1], mono, 16 kHz, as they come, until `stop` is set or the source ends.

        Raises MicrophoneAway when the source is not there or goes away, SpeechNotReady when it can never be opened.
        """
        ...

    @property
    def behind_s(self) -> float:
        """Seconds of audio that wait to be taken: how late the one who takes the blocks is."""
        ...


def read_audio(path: Path) -> np.ndarray:
    """A WAV, FLAC, MP3, or whatever FFmpeg decodes, of any rate and number of channels.

    Returns float32 [N] in [-1, 1], mono, 16 kHz. Raises BadRequest when there is no such file, or no audio in it, or
    more than an hour of it; SpeechNotReady when the extra `speech` is not installed.
    """
    try:
        import av
        from faster_whisper.audio import decode_audio
    except ImportError as error:
        raise SpeechNotReady.missing_extra(error) from error
    if not path.is_file():
        raise BadRequest(f"audio file {path}: there is no such file")
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise BadRequest(f"audio file {path}: it has no audio stream")
            if container.duration is not None and container.duration / 1e6 > MAX_FILE_S:
                raise BadRequest(f"audio file {path}: longer than {MAX_FILE_S / 60:g} minutes")
        audio = decode_audio(str(path), sampling_rate=SAMPLE_RATE_HZ)
    except (av.error.FFmpegError, OSError, ValueError, IndexError, TypeError) as error:
        raise BadRequest(f"audio file {path}: it cannot be decoded as audio ({_first_line(error)})") from error
    if not len(audio):
        raise BadRequest(f"audio file {path}: it is empty")
    return np.asarray(audio, np.float32)


class Recording:
    """A file that plays once. realtime: at the pace of a microphone; else as fast as it is taken.

    Raises what `read_audio` raises, at once.
    """

    def __init__(self, path: Path, *, realtime: bool = True) -> None:
        self.name = str(path)
        self._audio, self._realtime = read_audio(path), realtime
        self._due = 0.0

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self._audio) / SAMPLE_RATE_HZ

    @property
    def behind_s(self) -> float:
        """See AudioSource. Nobody is late where nothing hurries."""
        return max(0.0, time.monotonic() - self._due) if self._realtime and self._due else 0.0

    def blocks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        """See AudioSource. The last block is filled up with zeros."""
        start = time.monotonic()
        for number, first in enumerate(range(0, len(self._audio), BLOCK), 1):
            block = self._audio[first : first + BLOCK]
            if self._realtime:
                self._due = start + number * BLOCK / SAMPLE_RATE_HZ
                if stop.wait(max(0.0, self._due - time.monotonic())):
                    return
            elif stop.is_set():
                return
            yield np.pad(block, (0, BLOCK - len(block)))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
