# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Is this speech? The silero model that faster-whisper carries, block by block."""

from __future__ import annotations

import numpy as np

from llavaseg_ros.speech.audio import BLOCK
from llavaseg_ros.speech.errors import SpeechNotReady

# What the model wants to see of the block before, samples, and the size of its memory.
_CONTEXT, _MEMORY = 64, 128


class VoiceActivity:
    """A stream of blocks in, the probability of speech for each out. Takes 0.1 ms a block."""

    def __init__(self) -> None:
        try:
            from faster_whisper.vad import get_vad_model
        except ImportError as error:
            raise SpeechNotReady.missing_extra(error) from error
        self._session = get_vad_model().session
        self.reset()

    def reset(self) -> None:
        """Forget what came before: what follows is another stream."""
        self._h = np.zeros((1, 1, _MEMORY), np.float32)
        self._c = np.zeros((1, 1, _MEMORY), np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)

    def __call__(self, block: np.ndarray) -> float:
        """block: float32 [BLOCK], 16 kHz. Returns the probability of speech in it, in [0, 1]."""
        if block.shape != (BLOCK,):
            raise ValueError(f"block: shape {block.shape}, expected ({BLOCK},)")
        seen = np.concatenate([self._context, block])[None].astype(np.float32)
        out, self._h, self._c = self._session.run(None, {"input": seen, "h": self._h, "c": self._c})
        self._context = seen[0, -_CONTEXT:]
        return float(np.ravel(out)[0])
