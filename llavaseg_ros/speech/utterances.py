# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From blocks with their probability of speech to utterances: what was said between two pauses."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from llavaseg_ros.speech.audio import BLOCK, SAMPLE_RATE_HZ

BLOCK_S = BLOCK / SAMPLE_RATE_HZ

# Speech goes on until its probability falls this far below the threshold it began at: voices fade within words.
_HYSTERESIS = 0.15


@dataclass(frozen=True)
class UtteranceLimits:
    """threshold: probability of speech in [0, 1] that begins an utterance. Times in seconds.

    end_silence_s: a pause of this length ends it. min_speech_s: less speech than this is a noise, not a word.
    max_s: longer ones are no commands. pad_s: kept before the beginning, which the detector hears late.
    """

    threshold: float = 0.5
    end_silence_s: float = 0.6
    min_speech_s: float = 0.2
    max_s: float = 15.0
    pad_s: float = 0.3


@dataclass(frozen=True)
class Utterance:
    """audio: float32 [N], 16 kHz, with the padding. start_s, end_s: when its speech began and ended in the stream.

    speech_s: how much of it is speech. too_long: it took longer than `max_s`, and `audio` is only its end.
    """

    audio: np.ndarray
    start_s: float
    end_s: float
    speech_s: float
    too_long: bool


class Utterances:
    """Feed it every block of a stream in order."""

    def __init__(self, limits: UtteranceLimits) -> None:
        self.limits = limits
        self._before: deque[np.ndarray] = deque(maxlen=max(1, round(limits.pad_s / BLOCK_S)))
        self._most = round((limits.pad_s + limits.max_s + limits.end_silence_s) / BLOCK_S) + 1
        self._clock = 0
        self.discard()

    @property
    def now_s(self) -> float:
        """Seconds of the stream that were fed."""
        return self._clock * BLOCK_S

    @property
    def speaking(self) -> bool:
        """An utterance has begun and not ended yet."""
        return self._start is not None

    @property
    def silence_s(self) -> float:
        """How long the pause at the end of the utterance is so far."""
        return self._silent * BLOCK_S

    def audio_since(self, second: float) -> np.ndarray:
        """The utterance so far, from this second of the stream on. float32 [N], 16 kHz."""
        blocks = min(len(self._blocks), max(0, self._clock - round(second / BLOCK_S)))
        return np.concatenate(list(self._blocks)[-blocks:]) if blocks else np.zeros(0, np.float32)

    def discard(self) -> None:
        """Forget the utterance that has begun: its end will never come."""
        self._start: int | None = None
        self._blocks: deque[np.ndarray] = deque(maxlen=self._most)
        self._before.clear()
        self._silent = self._voiced = 0

    def feed(self, block: np.ndarray, probability: float) -> Utterance | None:
        """The utterance that ended with this block, if one did. Those with too little speech are never given."""
        self._clock += 1
        voiced = probability >= self.limits.threshold - (_HYSTERESIS if self.speaking else 0.0)
        if self._start is None:
            if voiced:
                self._start = self._clock - 1
                self._blocks.extend(self._before)
            else:
                self._before.append(block)
                return None
        self._blocks.append(block)
        self._voiced += voiced
        self._silent = 0 if voiced else self._silent + 1
        return self.end() if self.silence_s >= self.limits.end_silence_s else None

    def end(self) -> Utterance | None:
        """End the utterance here: the stream is over, and over because it is complete."""
        if self._start is None:
            return None
        audio = np.concatenate(list(self._blocks))
        end, length = self._clock - self._silent, self._clock - self._start
        utterance = Utterance(
            audio=audio,
            start_s=self._start * BLOCK_S,
            end_s=end * BLOCK_S,
            speech_s=self._voiced * BLOCK_S,
            too_long=(length - self._silent) * BLOCK_S > self.limits.max_s,
        )
        tail = list(self._blocks)[-min(self._silent, self._before.maxlen or 1) :] if self._silent else []
        self.discard()
        self._before.extend(tail)
        return utterance if utterance.speech_s >= self.limits.min_speech_s else None
