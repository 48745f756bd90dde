# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The listener with the real model on recordings, and with sources that go away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llavaseg_ros.speech.audio import BLOCK, Recording, read_audio
from llavaseg_ros.speech.errors import MicrophoneAway, SpeechNotReady
from llavaseg_ros.speech.listener import Heard, Listener, ListenerOptions, State, StopHeard
from llavaseg_ros.speech.recognizer import Recognizer, Transcript
from llavaseg_ros.speech.stop_words import words_of
from llavaseg_ros.speech.utterances import UtteranceLimits


class Diary:
    """What a listener told, in its order."""

    def __init__(self, source: Any, recognizer: Any, **options: Any) -> None:
        self.events: list[Any] = []
        self.heard: list[Heard] = []
        self.states: list[tuple[State, str]] = []
        self.listener = Listener(
            source,
            recognizer,
            ListenerOptions(**options),
            on_command=self.events.append,
            on_stop=self.events.append,
            on_heard=self.heard.append,
            on_state=lambda state, text: self.states.append((state, text)),
        )

    def run(self) -> Diary:
        self.listener.start()
        self.listener.join()
        return self

    @property
    def commands(self) -> list[list[str]]:
        return [words_of(event) for event in self.events if isinstance(event, str)]

    @property
    def stops(self) -> list[StopHeard]:
        return [event for event in self.events if isinstance(event, StopHeard)]


class Scripted:
    """A recognizer for tests of order: what it says is told by the loudness of the audio, see `LOUD`."""

    def __init__(self, texts: dict[float, str], **transcript: float) -> None:
        self.texts, self.transcript = texts, transcript
        self.may_transcribe = threading.Event()
        self.may_transcribe.set()
        self.entered = threading.Event()
        self.lengths: list[int] = []

    def _said(self, audio: np.ndarray) -> str:
        loud = float(np.abs(audio).max())
        return self.texts[min(self.texts, key=lambda level: abs(level - loud))]

    def glance(self, audio: np.ndarray) -> str:
        return self._said(audio) if "stop" in self._said(audio) else ""

    def transcribe(self, audio: np.ndarray) -> Transcript:
        self.entered.set()
        assert self.may_transcribe.wait(30)
        self.lengths.append(len(audio))
        values = {"avg_logprob": -0.2, "no_speech_prob": 0.1, "repetition": 1.0, "seconds": 0.0, **self.transcript}
        return Transcript(self._said(audio), **values)


class Blocks:
    """A source of given blocks. An error in the list is raised; each call of `blocks` goes on after it."""

    name, behind_s = "blocks", 0.0

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def blocks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        while self.items:
            item = self.items.pop(0)
            if isinstance(item, Exception):
                raise item
            if callable(item):
                item()
                continue
            yield item


class Loudness:
    """In place of the detector: speech is what is not silent."""

    def reset(self) -> None:
        pass

    def __call__(self, block: np.ndarray) -> float:
        return float(np.abs(block).max() > 0)


@pytest.fixture
def by_loudness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llavaseg_ros.speech.listener.VoiceActivity", Loudness)


def speech(seconds: float, level: float) -> list[np.ndarray]:
    return [np.full(BLOCK, level, np.float32)] * round(seconds / 0.032)


def pause(seconds: float = 1.0) -> list[np.ndarray]:
    return speech(seconds, 0.0)


# --- the real model ---


def test_two_commands(recognizer: Recognizer, recordings: Path) -> None:
    diary = Diary(Recording(recordings / "two_commands.wav", realtime=False), recognizer).run()
    assert diary.commands == [words_of("Hand me something to drink from"), words_of("Hand me the red mug")]
    assert diary.stops == [] and all(heard.dropped == "" for heard in diary.heard)
    assert [state for state, _ in diary.states] == [
        State.LISTENING, State.HEARING, State.LISTENING, State.HEARING, State.LISTENING, State.ENDED,
    ]  # fmt: skip


def test_stop_is_caught_before_its_utterance_ends(recognizer: Recognizer, recordings: Path) -> None:
    diary = Diary(Recording(recordings / "taken_back.wav", realtime=False), recognizer).run()
    assert diary.commands == []
    (stop,) = diary.stops
    (heard,) = diary.heard
    assert stop.word == "stop" and stop.glanced and heard.dropped == "a stop was heard"
    # "Hand me the red, no stop, not that one over there": more than a second is still to be said.
    assert heard.start_s < stop.at_s < heard.end_s - 1.0


def test_stop_alone(recognizer: Recognizer, recordings: Path) -> None:
    diary = Diary(Recording(recordings / "stop.wav", realtime=False), recognizer).run()
    (stop,) = diary.stops
    assert diary.commands == [] and stop.glanced
    # The word ends 0.3 s before the pause that follows it: 1 s, the length of the word, 1 s.
    end_s = len(read_audio(recordings / "stop.wav")) / 16_000 - 1.0
    assert stop.at_s < end_s + 0.6


def test_without_stop_words_it_is_text_like_any_other(recognizer: Recognizer, recordings: Path) -> None:
    diary = Diary(Recording(recordings / "stop.wav", realtime=False), recognizer, stop_words=()).run()
    assert diary.stops == [] and diary.commands == [["stop"]]


# --- order, and what is not sent ---


def test_a_stop_overtakes_the_command_before_it(by_loudness: None) -> None:
    """The command is complete, but still being recognized when the stop comes: it must never go out."""
    recognizer = Scripted({0.1: "hand me the knife", 0.5: "stop"})
    recognizer.may_transcribe.clear()
    source = Blocks([
        *speech(0.5, 0.1), *pause(), lambda: recognizer.entered.wait(30), *speech(0.224, 0.5),
        *pause(), recognizer.may_transcribe.set, *speech(0.5, 0.1), *pause(),
    ])  # fmt: skip
    diary = Diary(source, recognizer).run()
    assert [event if isinstance(event, str) else event.word for event in diary.events] == ["stop", "hand me the knife"]
    assert [heard.dropped for heard in diary.heard] == ["a stop was heard", "a stop was heard", ""]
    assert diary.heard[2].start_s > 2.0


def test_a_second_stop_in_one_long_utterance_is_a_second_stop(by_loudness: None) -> None:
    recognizer = Scripted({0.1: "something", 0.5: "stop"})
    source = Blocks([*speech(0.3, 0.5), *speech(2.0, 0.1), *speech(0.3, 0.5), *pause()])
    diary = Diary(source, recognizer).run()
    assert len(diary.stops) >= 2 and diary.stops[-1].at_s > 2.2 and diary.commands == []


def test_a_stop_that_no_glance_saw_is_found_in_the_end(by_loudness: None) -> None:
    recognizer = Scripted({0.1: "please stop"})
    recognizer.glance = lambda audio: ""  # type: ignore[method-assign]
    diary = Diary(Blocks([*speech(0.5, 0.1), *pause()]), recognizer).run()
    (stop,) = diary.stops
    assert not stop.glanced and diary.commands == []


@pytest.mark.parametrize(
    ("text", "values", "why"),
    [
        ("...", {}, "no words"),
        ("thank you", {"no_speech_prob": 0.9}, "no speech"),
        ("hand me the rug", {"avg_logprob": -0.7}, "not sure"),
        ("go go go go go go go go", {"repetition": 3.0}, "repeats"),
    ],
)
def test_what_is_unsure_is_not_sent(by_loudness: None, text: str, values: dict[str, float], why: str) -> None:
    diary = Diary(Blocks([*speech(0.5, 0.1), *pause()]), Scripted({0.1: text}, **values)).run()
    assert diary.events == [] and why in diary.heard[0].dropped and diary.heard[0].text == text


def test_what_is_too_long_is_not_sent_nor_recognized(by_loudness: None) -> None:
    recognizer = Scripted({0.1: "on and on"})
    diary = Diary(
        Blocks([*speech(5.0, 0.1), *pause(), *speech(0.5, 0.1), *pause()]),
        recognizer,
        limits=UtteranceLimits(max_s=2.0),
    ).run()
    assert [heard.dropped for heard in diary.heard] == ["longer than 2 s", ""]
    assert diary.commands == [["on", "and", "on"]] and len(recognizer.lengths) == 1


def test_a_recording_may_end_without_a_pause(by_loudness: None) -> None:
    diary = Diary(Blocks([*pause(), *speech(0.5, 0.1)]), Scripted({0.1: "hand me the mug"})).run()
    assert diary.commands == [["hand", "me", "the", "mug"]]


def test_level(by_loudness: None) -> None:
    assert Diary(Blocks(pause()), Scripted({0.1: ""})).run().listener.level == 0.0
    assert Diary(Blocks(speech(0.5, 0.25)), Scripted({0.1: ""})).run().listener.level == pytest.approx(0.25)
    assert Diary(Blocks([*speech(0.5, 0.25), *pause()]), Scripted({0.1: ""})).run().listener.level < 0.1


def test_no_half_command_when_the_microphone_goes_away(by_loudness: None) -> None:
    source = Blocks([
        *speech(0.5, 0.1), *pause(), *speech(0.5, 0.3), MicrophoneAway("'usb' sends nothing any more"),
        MicrophoneAway("no microphone"), *pause(0.3), *speech(0.5, 0.1), *pause(),
    ])  # fmt: skip
    recognizer = Scripted({0.1: "hand me the mug", 0.3: "do not"})
    diary = Diary(source, recognizer, retry_s=0.01).run()
    assert diary.commands == [["hand", "me", "the", "mug"]] * 2
    assert [heard.dropped for heard in diary.heard if heard.dropped] == ["the microphone went away in the middle of it"]
    away = [text for state, text in diary.states if state is State.AWAY]
    assert away == ["'usb' sends nothing any more", "no microphone"]
    after = [state for state, _ in diary.states[len(diary.states) - diary.states[::-1].index((State.AWAY, away[1])) :]]
    assert after[0] is State.LISTENING


def test_what_waiting_cannot_mend_ends_the_listener(by_loudness: None) -> None:
    diary = Diary(Blocks([SpeechNotReady("PortAudio is missing")]), Scripted({0.1: "x"})).run()
    assert diary.states[-1] == (State.FAILED, "PortAudio is missing")
    diary = Diary(Blocks([*pause(), RuntimeError("a bug")]), Scripted({0.1: "x"})).run()
    assert diary.states[-1][0] is State.FAILED and "a bug" in diary.states[-1][1]


def test_an_error_of_the_recognizer_costs_one_utterance(by_loudness: None) -> None:
    recognizer = Scripted({0.1: "hand me the mug"})
    calls = []

    def transcribe(audio: np.ndarray) -> Transcript:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("out of memory")
        return Scripted.transcribe(recognizer, audio)

    recognizer.transcribe = transcribe  # type: ignore[method-assign]
    diary = Diary(Blocks([*speech(0.5, 0.1), *pause(), *speech(0.5, 0.1), *pause()]), recognizer).run()
    assert diary.commands == [["hand", "me", "the", "mug"]]


def test_close_ends_both_threads_at_once(by_loudness: None, recordings: Path) -> None:
    diary = Diary(Recording(recordings / "two_commands.wav"), Scripted({0.5: "x"}))
    diary.listener.start()
    time.sleep(0.2)
    assert diary.listener.close()
    diary = Diary(Blocks([MicrophoneAway("none")] * 100), Scripted({0.5: "x"}), retry_s=60.0)
    diary.listener.start()
    assert diary.listener.close()
    assert Diary(Blocks([]), Scripted({0.5: "x"})).listener.close()  # never started


def test_a_late_listener_leaves_glances_out_but_not_those_at_a_rest(by_loudness: None) -> None:
    source = Blocks([*speech(2.0, 0.5), *pause()])
    source.behind_s = 5.0
    glances = []
    recognizer = Scripted({0.5: "stop"})
    recognizer.glance = lambda audio: glances.append(len(audio)) or "stop"  # type: ignore[method-assign, func-returns-value]
    diary = Diary(source, recognizer).run()
    assert len(glances) == 1 and len(diary.stops) == 1
