# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Listens to a source, and says what was commanded and when to stop.

Two threads. One takes the audio, finds utterances, and glances at the one that goes on, for a stop word in it. The
other recognizes utterances that are complete. So a "stop" never waits for the recognition of what was said before it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from llavaseg_ros.errors import LLaVASegError
from llavaseg_ros.speech.audio import AudioSource
from llavaseg_ros.speech.errors import MicrophoneAway
from llavaseg_ros.speech.recognizer import GLANCE_S, Recognizer, Transcript
from llavaseg_ros.speech.stop_words import StopWords
from llavaseg_ros.speech.utterances import Utterance, UtteranceLimits, Utterances
from llavaseg_ros.speech.vad import VoiceActivity

log = logging.getLogger(__name__)

# A text whose compression ratio is higher repeats itself; Whisper's own limit.
_MAX_REPETITION = 2.4

# A glance is due as soon as the voice rests for so long: then a word is complete.
_REST_S = 0.1

# Later than this behind the source, glances are left out until the audio is caught up with, except those at a rest.
_LATE_S = 1.0

_JOIN_S = 5.0

# Of the level, each block: to a third within half a second.
_LEVEL_FADES = 0.93


class State(str, Enum):
    """What the listener does."""

    STARTING = "starting"
    LISTENING = "listening"
    HEARING = "hearing"  # somebody speaks
    AWAY = "microphone away"
    ENDED = "ended"  # the recording is over
    FAILED = "failed"


@dataclass(frozen=True)
class Heard:
    """An utterance and what became of it. dropped: why it was not sent as a command; "" if it was."""

    text: str
    start_s: float
    end_s: float
    dropped: str = ""
    transcript: Transcript | None = None


@dataclass(frozen=True)
class StopHeard:
    """A stop word. said: what was recognized. at_s: how much of the stream had been heard by then. glanced: at once,
    in an utterance that went on; else in the complete one.
    """

    word: str
    said: str
    at_s: float
    glanced: bool


@dataclass(frozen=True)
class ListenerOptions:
    """stop_period_s: how often an utterance that goes on is glanced at. min_avg_logprob, max_no_speech_prob: what is
    less sure is not sent. retry_s: how long to wait before a microphone is looked for again; it grows up to five times.
    """

    limits: UtteranceLimits = field(default_factory=UtteranceLimits)
    stop_words: tuple[str, ...] = ("stop",)
    stop_period_s: float = 0.2
    min_avg_logprob: float = -0.6
    max_no_speech_prob: float = 0.6
    retry_s: float = 2.0


class Listener:
    """on_command: called with the text of a command. on_stop: with a stop word, as soon as it is recognized. on_heard:
    with every utterance, also those that were dropped. on_state: when the state changes, with a text for people.

    They are called from the listener's threads and must not block. After `on_stop`, no utterance that began before the
    stop word is given to `on_command` any more. level: the loudest sample lately, in [0, 1]; 0: a microphone is muted.
    """

    def __init__(
        self,
        source: AudioSource,
        recognizer: Recognizer,
        options: ListenerOptions,
        *,
        on_command: Callable[[str], None],
        on_stop: Callable[[StopHeard], None],
        on_heard: Callable[[Heard], None] = lambda heard: None,
        on_state: Callable[[State, str], None] = lambda state, text: None,
    ) -> None:
        self._source, self._recognizer, self._options = source, recognizer, options
        self._on_command, self._on_stop, self._on_heard, self._on_state = on_command, on_stop, on_heard, on_state
        self._stop_words = StopWords(options.stop_words)
        self._vad = VoiceActivity()
        self._utterances = Utterances(options.limits)
        self._complete: queue.Queue[tuple[int, Utterance] | None] = queue.Queue()
        self._closing = threading.Event()
        self._order = threading.Lock()
        self._number = self._stopped_up_to = 0
        self._glanced_at = self._glance_from = 0.0
        self._rested = False
        self.state, self.level = State.STARTING, 0.0
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in ((self._listen, "speech-listen"), (self._recognize, "speech-recognize"))
        ]

    def start(self) -> None:
        """Begin to listen."""
        for thread in self._threads:
            thread.start()

    def close(self) -> bool:
        """End listening. An utterance that has begun is lost. False when a thread is stuck inside a library."""
        self._closing.set()
        self._complete.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_S)
        return not any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait until the source has ended and all of it is recognized."""
        for thread in self._threads:
            thread.join()

    # --- the thread that listens ---

    def _listen(self) -> None:
        wait_s = self._options.retry_s
        try:
            while not self._closing.is_set():
                before_s = self._utterances.now_s
                try:
                    self._take_all()
                except MicrophoneAway as error:
                    self._lose(error)
                    if self._utterances.now_s > before_s:
                        wait_s = self._options.retry_s
                    if self._closing.wait(wait_s):
                        break
                    wait_s = min(1.5 * wait_s, 5.0 * self._options.retry_s)
                    continue
                if not self._closing.is_set():
                    self._complete_utterance(self._utterances.end())
                    self._change(State.ENDED, f"{self._source.name} has ended")
                break
        except LLaVASegError as error:
            self._change(State.FAILED, str(error))
        except Exception as error:
            log.exception("listening failed")
            self._change(State.FAILED, f"listening failed: {error!r}")
        finally:
            self._complete.put(None)

    def _take_all(self) -> None:
        """Every block of the source, until it ends."""
        self._vad.reset()
        first = True
        for block in self._source.blocks(self._closing):
            if self._closing.is_set():
                return
            if first:
                first = False
                self._change(State.LISTENING, f"listening to {self._source.name}")
            self._take(block)

    def _take(self, block: np.ndarray) -> None:
        self.level = max(_LEVEL_FADES * self.level, float(np.abs(block).max()))
        spoke = self._utterances.speaking
        utterance = self._utterances.feed(block, self._vad(block))
        if self._utterances.speaking:
            if not spoke:
                self._number += 1
                self._glance_from = self._utterances.now_s - self._options.limits.pad_s
                self._glanced_at = self._utterances.now_s
                self._rested = False
                self._change(State.HEARING, "somebody speaks")
            self._look_for_stop()
        elif spoke:
            self._change(State.LISTENING, f"listening to {self._source.name}")
        self._complete_utterance(utterance)

    def _look_for_stop(self) -> None:
        """Glance at what is being said: every `stop_period_s`, also in the pause at the end, where a word that was not
        clear may become so, and whenever the voice comes to rest after a word."""
        if not self._stop_words:
            return
        now_s, rests = self._utterances.now_s, self._utterances.silence_s >= _REST_S
        at_a_rest = rests and not self._rested
        self._rested = rests
        due = now_s - self._glanced_at >= self._options.stop_period_s
        if not at_a_rest and not (due and self._source.behind_s < _LATE_S):
            return
        self._glanced_at = now_s
        said = self._recognizer.glance(self._utterances.audio_since(max(self._glance_from, now_s - GLANCE_S)))
        word = self._stop_words.find(said)
        if word:
            # The next one in this utterance has to be said after this one.
            self._glance_from = now_s
            self._stop(StopHeard(word, said, now_s, glanced=True))

    def _stop(self, stop: StopHeard, number: int | None = None) -> None:
        with self._order:
            self._stopped_up_to = max(self._stopped_up_to, self._number if number is None else number)
            self._on_stop(stop)

    def _complete_utterance(self, utterance: Utterance | None) -> None:
        if utterance is not None:
            self._complete.put((self._number, utterance))

    def _lose(self, error: MicrophoneAway) -> None:
        """The rest of what is being said will never come, so none of it may go out."""
        half = self._utterances.speaking
        start_s = self._utterances.now_s
        self._utterances.discard()
        if half:
            self._on_heard(Heard("", start_s, start_s, "the microphone went away in the middle of it"))
        self._change(State.AWAY, str(error))

    def _change(self, state: State, text: str) -> None:
        self.state = state
        self._on_state(state, text)

    # --- the thread that recognizes ---

    def _recognize(self) -> None:
        while True:
            item = self._complete.get()
            if item is None or self._closing.is_set():
                return
            number, utterance = item
            try:
                self._finish(number, utterance)
            except Exception:  # out of a library: the thread must live on
                log.exception("an utterance could not be recognized")

    def _finish(self, number: int, utterance: Utterance) -> None:
        transcript = None
        if utterance.too_long:
            dropped = f"longer than {self._options.limits.max_s:g} s"
        elif number <= self._stopped_up_to:
            dropped = "a stop was heard"
        else:
            transcript = self._recognizer.transcribe(utterance.audio)
            dropped = self._why_not(transcript)
            word = self._stop_words.find(transcript.text)
            if word and number > self._stopped_up_to:
                self._stop(StopHeard(word, transcript.text, utterance.end_s, glanced=False), number)
        text = transcript.text if transcript else ""
        with self._order:  # a stop comes before this, and then it is too late, or after it
            if number <= self._stopped_up_to:
                dropped = "a stop was heard"
            if not dropped and not self._closing.is_set():
                self._on_command(text)
        self._on_heard(Heard(text, utterance.start_s, utterance.end_s, dropped, transcript))

    def _why_not(self, transcript: Transcript) -> str:
        """Why a transcript is no command; "" if it is one."""
        options = self._options
        if not any(letter.isalnum() for letter in transcript.text):
            return "no words"
        if transcript.no_speech_prob > options.max_no_speech_prob:
            return f"perhaps no speech (probability {transcript.no_speech_prob:.2f})"
        if transcript.avg_logprob < options.min_avg_logprob:
            return f"not sure enough (mean log-probability {transcript.avg_logprob:.2f})"
        if transcript.repetition > _MAX_REPETITION:
            return "it repeats itself"
        return ""
