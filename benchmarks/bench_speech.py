# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Speech on synthetic voices: word error with and without hotwords, in noise; stop words; time and memory.

    python benchmarks/bench_speech.py --json benchmarks/results/speech.json     # needs flite and espeak-ng
    python benchmarks/bench_speech.py --table benchmarks/results/speech.json    # print the tables of a file

Everything goes the way of the node: voice activity detection finds the utterances, and what it misses counts as not
heard. Times are processor seconds of this process, with one thread a model, so that a busy machine does not matter;
only the delay of a stop in real time is taken with a clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from speech_voices import (
    COMMANDS,
    NEAR_STOPS,
    STOPS,
    VOICES,
    add_noise,
    babble,
    missing_programs,
    pink,
    say,
    silence,
    white,
)

from llavaseg_ros.speech.audio import BLOCK, SAMPLE_RATE_HZ
from llavaseg_ros.speech.listener import Listener, ListenerOptions, StopHeard
from llavaseg_ros.speech.recognizer import Recognizer, Transcript, domain_hotwords
from llavaseg_ros.speech.stop_words import words_of
from llavaseg_ros.speech.utterances import Utterance, UtteranceLimits, Utterances
from llavaseg_ros.speech.vad import VoiceActivity

BENCH_VOICES = (VOICES[0], VOICES[2], VOICES[3])
NOISES = ("white", "pink", "babble")
CONDITIONS = ("clean", *(f"{noise} {snr} dB" for noise in NOISES for snr in (20, 10)))
STOP_CONDITIONS = ("clean", *(f"{noise} 10 dB" for noise in NOISES))
# Their last word is "stop", so that its end is the end of the sound.
ENDS_WITH_STOP = tuple(text for text in STOPS if words_of(text)[-1] == "stop" and words_of(text).count("stop") == 1)


def word_errors(reference: str, said: str) -> tuple[int, int]:
    """Substitutions, deletions and insertions, and the words of the reference. Case and punctuation do not count."""
    expected, got = words_of(reference), words_of(said)
    row = list(range(len(got) + 1))
    for i, word in enumerate(expected, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1], len(expected)


class Noises:
    """Adds the noise of a condition. The same noise for the same clip every time."""

    def __init__(self) -> None:
        self._others = [say(voice, text) for voice in VOICES for text in NEAR_STOPS]

    def __call__(self, audio: np.ndarray, condition: str, seed: int) -> np.ndarray:
        if condition == "clean":
            return audio
        kind, snr = condition.split()[:2]
        rng = np.random.default_rng(seed)
        noise = {
            "white": lambda: white(len(audio), rng),
            "pink": lambda: pink(len(audio), rng),
            "babble": lambda: babble(len(audio), rng, self._others),
        }[kind]()
        return add_noise(audio, noise, float(snr))


def blocks_of(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Whole blocks."""
    yield from audio[: len(audio) // BLOCK * BLOCK].reshape(-1, BLOCK)


def find_utterances(audio: np.ndarray) -> list[Utterance]:
    """What the node would hand to the recognizer."""
    vad, utterances = VoiceActivity(), Utterances(UtteranceLimits())
    found = [utterances.feed(block, vad(block)) for block in blocks_of(audio)]
    return [utterance for utterance in [*found, utterances.end()] if utterance is not None]


def processor_s(function: Callable[[], Any]) -> tuple[Any, float]:
    """What the function returns, and the processor seconds that it took."""
    before = time.process_time()
    return function(), time.process_time() - before


def share_encoder(recognizers: Sequence[Recognizer]) -> None:
    """Encode an utterance once for all recognizers: hotwords only change what the decoder does with it."""
    encode, last = recognizers[0]._model.encode, {}

    def encode_once(features: np.ndarray) -> Any:
        key = features.tobytes()
        if key not in last:
            last.clear()
            last[key] = encode(features)
        return last[key]

    for recognizer in recognizers:
        recognizer._model.encode = encode_once


def bench_times(recognizers: dict[str, Recognizer]) -> dict[str, Any]:
    """Processor seconds of a command, detection and recognition, on ten clips without noise."""
    seconds: dict[str, list[float]] = {name: [] for name in recognizers}
    vad, audio_s = [], []
    for index, text in enumerate(COMMANDS[:10]):
        clip = np.concatenate([silence(1.0), say(BENCH_VOICES[index % len(BENCH_VOICES)], text), silence(1.0)])
        found, spent = processor_s(lambda clip=clip: find_utterances(clip))
        vad.append(spent)
        audio_s.append(len(clip) / SAMPLE_RATE_HZ)
        for name, recognizer in recognizers.items():
            seconds[name].append(processor_s(lambda f=found, r=recognizer: [r.transcribe(u.audio) for u in f])[1])
    return {
        "command_s": {name: statistics.median(values) for name, values in seconds.items()},
        "real_time_factor": {name: (sum(values) + sum(vad)) / sum(audio_s) for name, values in seconds.items()},
        "detection_s_per_s": sum(vad) / sum(audio_s),
    }


def bench_words(
    recognizers: dict[str, Recognizer], noises: Noises, conditions: Sequence[str], commands: Sequence[str]
) -> list[dict[str, Any]]:
    """One record for each clip, condition and recognizer."""
    records = []
    for condition in conditions:
        for index, (voice, text) in enumerate((voice, text) for voice in BENCH_VOICES for text in commands):
            clip = np.concatenate([silence(1.0), say(voice, text), silence(1.0)])
            found = find_utterances(noises(clip, condition, index))
            heard: dict[str, list[Transcript]] = {name: [] for name in recognizers}
            for utterance in found:
                for name, recognizer in recognizers.items():
                    heard[name].append(recognizer.transcribe(utterance.audio))
            for name, transcripts in heard.items():
                said = " ".join(transcript.text for transcript in transcripts)
                errors, words = word_errors(text, said)
                records.append(
                    {
                        "condition": condition,
                        "voice": voice,
                        "hotwords": name,
                        "command": text,
                        "said": said,
                        "errors": errors,
                        "words": words,
                        "utterances": len(found),
                        "avg_logprob": min((t.avg_logprob for t in transcripts), default=None),
                        "no_speech_prob": max((t.no_speech_prob for t in transcripts), default=None),
                        "repetition": max((t.repetition for t in transcripts), default=None),
                    }
                )
        mean = {name: _error_rate([r for r in records if _is(r, condition, name)]) for name in recognizers}
        print(condition, {name: round(value, 3) for name, value in mean.items()}, file=sys.stderr, flush=True)
    return records


def _is(record: dict[str, Any], condition: str, name: str) -> bool:
    return bool(record["condition"] == condition and record["hotwords"] == name)


def _error_rate(records: list[dict[str, Any]]) -> float:
    return sum(r["errors"] for r in records) / max(1, sum(r["words"] for r in records))


class _Clip:
    """A source that gives a clip as fast as it is taken, or at the pace of a microphone."""

    name = "clip"
    behind_s = 0.0

    def __init__(self, audio: np.ndarray, realtime: bool = False) -> None:
        self._audio, self._realtime, self.started = audio, realtime, 0.0

    def blocks(self, stop: threading.Event) -> Iterator[np.ndarray]:
        self.started = time.monotonic()
        for number, block in enumerate(blocks_of(self._audio), 1):
            if self._realtime:
                stop.wait(max(0.0, self.started + number * BLOCK / SAMPLE_RATE_HZ - time.monotonic()))
            yield block


class _Glances:
    """A recognizer whose glances are timed. look_again: utterances that are complete are recognized, too."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer, self.look_again = recognizer, False
        self.seconds: list[float] = []

    def glance(self, audio: np.ndarray) -> str:
        said, spent = processor_s(lambda: self._recognizer.glance(audio))
        self.seconds.append(spent)
        return str(said)

    def transcribe(self, audio: np.ndarray) -> Transcript:
        return self._recognizer.transcribe(audio) if self.look_again else Transcript("", 0.0, 1.0, 0.0, 0.0)


def stops_in(clip: _Clip, recognizer: Any) -> list[tuple[StopHeard, float]]:
    """The stops that a listener hears in a clip, each with the moment on the monotonic clock."""
    stops: list[tuple[StopHeard, float]] = []
    listener = Listener(
        clip,
        recognizer,
        ListenerOptions(),
        on_command=lambda text: None,
        on_stop=lambda stop: stops.append((stop, time.monotonic())),
    )
    listener.start()
    listener.join()
    return stops


def end_of_sound_s(audio: np.ndarray) -> float:
    """Where the last sample is that can be heard (more than 2 % of the loudest), s."""
    return float(np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())[-1] + 1) / SAMPLE_RATE_HZ


def bench_stops(recognizer: Recognizer, noises: Noises, conditions: Sequence[str]) -> dict[str, Any]:
    """How many stops are caught, at once or in the end, how late, and how often something else was taken for one."""
    glances = _Glances(recognizer)
    figures: dict[str, Any] = {}
    for condition in conditions:
        at_once, in_the_end, delays, false = 0, 0, [], []
        others = (*NEAR_STOPS, *COMMANDS[: len(COMMANDS) // 2])
        for index, (voice, text) in enumerate((v, t) for v in BENCH_VOICES for t in (*STOPS, *others)):
            clip = np.concatenate([silence(1.0), say(voice, text), silence(1.0)])
            glances.look_again = text in STOPS
            stops = [stop for stop, _ in stops_in(_Clip(noises(clip, condition, index)), glances)]
            if text not in STOPS:
                false += [f"{text} ({voice}): {stop.said}" for stop in stops[:1]]
                continue
            at_once += any(stop.glanced for stop in stops)
            in_the_end += bool(stops)
            if stops and stops[0].glanced and text in ENDS_WITH_STOP:
                delays.append(stops[0].at_s - end_of_sound_s(clip))
        figures[condition] = {
            "stops": len(BENCH_VOICES) * len(STOPS),
            "caught_at_once": at_once,
            "caught_in_the_end": in_the_end,
            "others": len(BENCH_VOICES) * len(others),
            "false": false,
            "audio_delays_s": delays,
        }
        print(condition, figures[condition], file=sys.stderr, flush=True)
    return {"conditions": figures, "glance_processor_s": statistics.median(glances.seconds)}


def bench_real_time(recognizer: Recognizer) -> list[float | None]:
    """Delays by the clock, on this machine as busy as it is."""
    return [_real_delay(voice, text, recognizer) for voice in BENCH_VOICES for text in ENDS_WITH_STOP]


def _real_delay(voice: str, text: str, recognizer: Any) -> float | None:
    """Seconds of the clock from the end of the word to the message, played at the pace of a microphone."""
    audio = np.concatenate([silence(1.0), say(voice, text), silence(1.0)])
    clip = _Clip(audio, realtime=True)
    stops = stops_in(clip, recognizer)
    return stops[0][1] - clip.started - end_of_sound_s(audio) if stops else None


def resident_mb() -> float:
    """Memory of this process now, MB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def tables(results: dict[str, Any]) -> str:
    """The tables of docs/speech.md."""
    records = results["words"]
    lines = ["| | word error | with hotwords | sent, with hotwords | of these, word for word right |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for condition in CONDITIONS:
        plain = [r for r in records if _is(r, condition, "none")]
        hot = [r for r in records if _is(r, condition, "domain")]
        sent = [r for r in hot if is_sent(r)]
        right = sum(r["errors"] == 0 for r in sent)
        lines.append(
            f"| {condition} | {_error_rate(plain):.3f} | {_error_rate(hot):.3f} | {len(sent)} of {len(hot)} | {right} |"
        )
    lines += ["", "| voice, clean | word error | with hotwords |", "| --- | --- | --- |"]
    for voice in BENCH_VOICES:
        rates = [
            _error_rate([r for r in records if _is(r, "clean", name) and r["voice"] == voice])
            for name in ("none", "domain")
        ]
        lines.append(f"| {voice} | {rates[0]:.3f} | {rates[1]:.3f} |")
    lines += ["", "| stop words | caught at once | caught in the end | delay, median | worst | false alarms |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for condition, figures in results["stops"]["conditions"].items():
        delays = figures["audio_delays_s"]
        middle, worst = (f"{f(delays):.2f} s" if delays else "-" for f in (statistics.median, max))
        lines.append(
            f"| {condition} | {figures['caught_at_once']} of {figures['stops']} | {figures['caught_in_the_end']} | "
            f"{middle} | {worst} | {len(figures['false'])} of {figures['others']} |"
        )
    lines += ["", f"glance: {results['stops']['glance_processor_s'] * 1e3:.0f} ms of processor"]
    real = sorted(delay for delay in results["times"]["stop_delays_s"] if delay is not None)
    lines.append(f"delay of the clock: median {statistics.median(real):.2f} s, worst {real[-1]:.2f} s, of {len(real)}")
    times = results["times"]
    for name in ("none", "domain"):
        command_s, factor = times["command_s"][name], times["real_time_factor"][name]
        lines.append(f"hotwords {name}: {command_s:.2f} s of processor a command, real-time factor {factor:.2f}")
    lines.append(", ".join(f"{name}: {value:.0f} MB" for name, value in results["memory_mb"].items()))
    return "\n".join(lines)


def is_sent(record: dict[str, Any], options: ListenerOptions | None = None) -> bool:
    """The node would have sent this as a command."""
    options = options or ListenerOptions()
    return bool(
        record["said"]
        and record["avg_logprob"] >= options.min_avg_logprob
        and record["no_speech_prob"] <= options.max_no_speech_prob
        and record["repetition"] <= 2.4
    )


def rounded(value: Any) -> Any:
    """Four digits after the point are more than is known."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--table", type=Path, help="print the tables of such a file, and measure nothing")
    parser.add_argument("--part", choices=("words", "stops", "times"), help="only this; a file keeps its other parts")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=CONDITIONS, help="only these")
    parser.add_argument("--commands", type=int, default=len(COMMANDS), help="use only so many commands")
    args = parser.parse_args()
    if args.table:
        print(tables(json.loads(args.table.read_text(encoding="utf-8"))))
        return 0
    if missing := missing_programs():
        print(f"missing: {' and '.join(missing)} (Debian, Ubuntu: apt install flite espeak-ng)", file=sys.stderr)
        return 1
    results: dict[str, Any] = {}
    if args.json and args.json.is_file():
        results = json.loads(args.json.read_text(encoding="utf-8"))
    before = resident_mb()
    domain = Recognizer(hotwords=domain_hotwords())
    loaded, noises = resident_mb(), Noises()
    if args.part in (None, "times"):
        find_utterances(silence(1.0))
        domain.transcribe(say(VOICES[0], COMMANDS[0]))
        domain.glance(say(VOICES[0], COMMANDS[0]))
        results["memory_mb"] = {"before": before, "model loaded": loaded, "in use": resident_mb()}
        recognizers = {"domain": domain, "none": Recognizer()}
        results["times"] = bench_times(recognizers) | {"stop_delays_s": bench_real_time(domain)}
    if args.part in (None, "stops"):
        stops = bench_stops(domain, noises, [c for c in STOP_CONDITIONS if c in args.conditions])
        stops["conditions"] = results.get("stops", {}).get("conditions", {}) | stops["conditions"]
        results["stops"] = stops
    if args.part in (None, "words"):
        recognizers = {"domain": domain, "none": Recognizer()}
        share_encoder(list(recognizers.values()))
        kept = [r for r in results.get("words", []) if r["condition"] not in args.conditions]
        results["words"] = kept + bench_words(recognizers, noises, args.conditions, COMMANDS[: args.commands])
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rounded(results)) + "\n", encoding="utf-8")
    if {"words", "stops", "times"} <= set(results):
        print(tables(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
