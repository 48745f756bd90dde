# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Synthetic voices and noises for the speech benchmark, and the recordings in test/speech/recordings.

    python benchmarks/speech_voices.py        # write the recordings of the tests again

Needs the programs `flite` and `espeak-ng` (Debian packages of these names). All audio is float32 in [-1, 1], mono,
16 kHz.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llavaseg_ros.speech.audio import SAMPLE_RATE_HZ, read_audio

# Diphone and clustered voices of flite (two American, one Scottish), formants of espeak-ng (American, British female).
VOICES = ("flite:slt", "flite:rms", "flite:awb", "espeak-ng:en-us", "espeak-ng:en-gb+f3")

# In the manner of the README and of test/sample: plain, polite, and in a roundabout way; questions; absent things.
COMMANDS = (
    "Hand me something to drink from.",
    "Hand me the red mug.",
    "Give me the yellow banana.",
    "I need something to cut paper with.",
    "Pick up the rightmost thing.",
    "What color is the mug?",
    "How many cups are there?",
    "The leftmost mug.",
    "I am thirsty.",
    "Give me the white candle.",
    "Would you pass me the item at the front right, please?",
    "Can you find the smaller orange one?",
    "Hand me the pink ball to the left of the screwdriver.",
    "Please bring me the fork behind the green bottle.",
    "Where is the cereal box?",
    "Is there a wrench on the table?",
    "Look at the milk carton on the right side.",
    "I want to have a healthy snack.",
    "Show me the biggest book.",
    "The blue flashlight in front of the bowl, please.",
)

# What makes a robot stop, alone, in the middle, and at the end of a command that the speaker takes back.
STOPS = ("Stop!", "Stop now.", "Please stop.", "Robot, stop!", "Stop the arm.", "Stop, stop, stop!", "No, stop it!")

# Words that sound like "stop", which must not stop anything.
NEAR_STOPS = (
    "Give me the stapler.",
    "Stack the plates.",
    "The box on top of the book.",
    "Take one step back.",
    "Go to the shop.",
    "Hand me the pot.",
    "The spot on the left.",
    "Give me the stick at the top.",
)

RECORDINGS = Path(__file__).resolve().parents[1] / "test" / "speech" / "recordings"


def missing_programs() -> list[str]:
    """Those of flite and espeak-ng that are not installed."""
    return [program for program in ("flite", "espeak-ng") if shutil.which(program) is None]


def say(voice: str, text: str) -> np.ndarray:
    """A text in one of VOICES. float32 [N], mono, 16 kHz, loudest sample 0.5."""
    program, name = voice.split(":")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        if program == "flite":
            command = ["flite", "-voice", name, "-t", text, "-o", str(path)]
        else:
            command = ["espeak-ng", "-v", name, "-s", "150", "-w", str(path), text]
        subprocess.run(command, check=True, capture_output=True)
        audio = read_audio(path)
    return (audio * (0.5 / np.abs(audio).max())).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    """float32 zeros."""
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def white(length: int, rng: np.random.Generator) -> np.ndarray:
    """Equal power at all frequencies."""
    return rng.standard_normal(length).astype(np.float32)


def pink(length: int, rng: np.random.Generator) -> np.ndarray:
    """Power that falls with frequency, 3 dB an octave: closer to a room than white noise."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequencies = np.fft.rfftfreq(length)
    frequencies[0] = frequencies[1]
    return np.fft.irfft(spectrum / np.sqrt(frequencies), length).astype(np.float32)


def babble(length: int, rng: np.random.Generator, others: Sequence[np.ndarray]) -> np.ndarray:
    """Six other people who talk at once: pieces of `others` from random places on."""
    noise = np.zeros(length, np.float32)
    for index in rng.choice(len(others), 6, replace=False):
        voice = np.tile(others[index], 1 + length // len(others[index]))
        noise += np.roll(voice, rng.integers(len(voice)))[:length]
    return noise


def add_noise(audio: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix so that speech has `snr_db` over noise. Pauses do not count: power of speech is that of its louder blocks."""
    blocks = audio[: len(audio) // 512 * 512].reshape(-1, 512)
    power = (blocks**2).mean(axis=1)
    speech = power[power > 0.01 * power.max()].mean()
    scale = np.sqrt(speech / (noise**2).mean() / 10 ** (snr_db / 10))
    return np.clip(audio + scale * noise, -1.0, 1.0).astype(np.float32)


def write_wav(path: Path, audio: np.ndarray) -> None:
    """16-bit PCM, mono, 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())


def write_recordings(folder: Path = RECORDINGS) -> list[Path]:
    """The recordings of the tests. The same every time."""
    pause = silence(1.0)
    mug = say("flite:rms", "Hand me the red mug.")
    talk = [say(voice, text) for voice in VOICES for text in COMMANDS[:3]]
    rng = np.random.default_rng(0)
    pieces = {
        "red_mug": [pause, mug, pause],
        "red_mug_babble_10db": [add_noise(np.concatenate([pause, mug, pause]), _room(rng, talk, len(mug)), 10.0)],
        "two_commands": [pause, say("flite:slt", "Hand me something to drink from."), pause, mug, pause],
        "stop": [pause, say("flite:rms", "Stop!"), pause],
        "mug_then_stop": [pause, mug, pause, say("espeak-ng:en-us", "Stop now."), pause],
        "taken_back": [pause, say("flite:slt", "Hand me the red, no stop, not that one over there."), pause],
    }
    paths = []
    for name, audio in pieces.items():
        paths.append(folder / f"{name}.wav")
        write_wav(paths[-1], np.concatenate(audio))
    return paths


def _room(rng: np.random.Generator, talk: Sequence[np.ndarray], length: int) -> np.ndarray:
    return babble(length + 2 * SAMPLE_RATE_HZ, rng, talk)


if __name__ == "__main__":
    if missing := missing_programs():
        sys.exit(f"missing: {' and '.join(missing)} (Debian, Ubuntu: apt install flite espeak-ng)")
    for written in write_recordings():
        print(f"{written} {written.stat().st_size / 1000:.0f} KB")
