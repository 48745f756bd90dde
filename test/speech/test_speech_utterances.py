# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Utterances out of probabilities of speech; and the detector's stream against its own batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llavaseg_ros.speech.audio import BLOCK, read_audio
from llavaseg_ros.speech.utterances import BLOCK_S, Utterance, UtteranceLimits, Utterances
from llavaseg_ros.speech.vad import VoiceActivity

LIMITS = UtteranceLimits(threshold=0.5, end_silence_s=0.32, min_speech_s=0.1, max_s=2.0, pad_s=0.16)


def block(number: int) -> np.ndarray:
    """A block that says which one it is."""
    return np.full(BLOCK, number, np.float32)


def run(probabilities: list[float], limits: UtteranceLimits = LIMITS) -> list[Utterance]:
    utterances = Utterances(limits)
    ended = [utterances.feed(block(n), p) for n, p in enumerate(probabilities)]
    return [utterance for utterance in [*ended, utterances.end()] if utterance is not None]


def numbers(utterance: Utterance) -> list[int]:
    return [int(n) for n in utterance.audio.reshape(-1, BLOCK)[:, 0]]


def test_an_utterance_with_its_padding() -> None:
    (utterance,) = run([0.0] * 20 + [0.9] * 10 + [0.0] * 30)
    assert numbers(utterance) == list(range(15, 40))
    assert utterance.start_s == pytest.approx(20 * BLOCK_S) and utterance.end_s == pytest.approx(30 * BLOCK_S)
    assert utterance.speech_s == pytest.approx(10 * BLOCK_S) and not utterance.too_long


def test_a_short_pause_does_not_end_it_and_a_long_one_does() -> None:
    assert len(run([0.9] * 10 + [0.0] * 9 + [0.9] * 10)) == 1
    first, second = run([0.9] * 10 + [0.0] * 12 + [0.9] * 10)
    assert first.end_s == pytest.approx(10 * BLOCK_S) and second.start_s == pytest.approx(22 * BLOCK_S)
    # The pause before the second is in both: nothing of a word is lost between them.
    assert numbers(second)[:5] == [17, 18, 19, 20, 21]


def test_a_click_is_no_utterance() -> None:
    assert run([0.0] * 5 + [0.9] * 2 + [0.0] * 20) == []


def test_a_voice_may_fade_but_not_begin_below_the_threshold() -> None:
    assert run([0.4] * 30) == []
    (utterance,) = run([0.9] * 3 + [0.4] * 30)
    assert utterance.speech_s == pytest.approx(33 * BLOCK_S)


def test_what_is_too_long_says_so_and_takes_no_memory() -> None:
    (utterance,) = run([0.9] * 400)
    assert utterance.too_long and len(utterance.audio) < 3.0 * 16_000
    assert numbers(utterance)[-1] == 399
    (fits,) = run([0.0] * 10 + [0.9] * 62 + [0.0] * 20)
    assert not fits.too_long and numbers(fits)[0] == 5


def test_half_an_utterance_is_forgotten() -> None:
    utterances = Utterances(LIMITS)
    for number in range(10):
        assert utterances.feed(block(number), 0.9) is None
    assert utterances.speaking
    utterances.discard()
    assert not utterances.speaking and utterances.end() is None
    for number in range(10, 20):
        utterances.feed(block(number), 0.9)
    ended = utterances.end()
    assert ended is not None and numbers(ended) == list(range(10, 20))


def test_audio_since() -> None:
    utterances = Utterances(LIMITS)
    for number in range(20):
        utterances.feed(block(number), 0.9 if number >= 8 else 0.0)
    assert [int(n) for n in utterances.audio_since(18 * BLOCK_S).reshape(-1, BLOCK)[:, 0]] == [18, 19]
    assert [int(n) for n in utterances.audio_since(0.0).reshape(-1, BLOCK)[:, 0]] == list(range(3, 20))
    assert utterances.audio_since(99.0).shape == (0,)


def test_the_detector_stream_is_its_batch(recordings: Path) -> None:
    from faster_whisper.vad import get_vad_model

    audio = read_audio(recordings / "red_mug.wav")
    audio = audio[: len(audio) // BLOCK * BLOCK]
    vad = VoiceActivity()
    stream = [vad(one) for one in audio.reshape(-1, BLOCK)]
    assert np.allclose(stream, np.ravel(get_vad_model()(audio)), atol=1e-5)
    assert max(stream) > 0.9 and min(stream) < 0.1
    vad.reset()
    assert vad(audio[:BLOCK]) == pytest.approx(stream[0], abs=1e-6)
    with pytest.raises(ValueError, match="expected"):
        vad(audio[:100])


def test_the_detector_finds_the_words_in_a_recording(recordings: Path) -> None:
    audio = read_audio(recordings / "two_commands.wav")
    vad, utterances = VoiceActivity(), Utterances(UtteranceLimits())
    ended = [utterances.feed(one, vad(one)) for one in audio[: len(audio) // BLOCK * BLOCK].reshape(-1, BLOCK)]
    first, second = (utterance for utterance in ended if utterance is not None)
    assert 0.8 < first.start_s < 1.4 < first.end_s < second.start_s < second.end_s < len(audio) / 16_000 - 0.7
