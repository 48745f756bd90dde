# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The judgement of the soak: it sees a leak, and only that; and the sampler sees what a process really holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from soak_growth import LIMITS, judge, percentiles, sample, slope

MINUTES, EVERY_S = 30.0, 2.0


def series(seed: int = 0, minutes: float = MINUTES, **leaks: float) -> list[dict[str, float]]:
    """Samples of a run: noise, garbage in waves, allocator steps, and a leak a minute for each name in `leaks`."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(int(60 * minutes / EVERY_S)):
        s = number * EVERY_S
        memory = 900.0 + 25 * np.sin(s / 9) + rng.normal(0, 5) + (6.0 if s > 900 else 0.0) - 200 * np.exp(-s / 40)
        row = {"s": s, "resident_mb": memory, "anonymous_mb": memory - 200}
        row |= {"handles": 18 + rng.integers(0, 2), "threads": 28 + rng.integers(0, 3), "shm_files": 15.0}
        rows.append({name: value + leaks.get(name, 0.0) * s / 60 for name, value in row.items()})
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_noise_waves_and_steps_are_no_growth(seed: int) -> None:
    assert not [name for name, verdict in judge(series(seed), 300.0).items() if verdict.grows]


@pytest.mark.parametrize(
    ("name", "a_minute"),
    [("resident_mb", 1.0), ("anonymous_mb", 1.0), ("handles", 0.5), ("threads", 0.5), ("shm_files", 0.5)],
)
def test_a_leak_is_growth(name: str, a_minute: float) -> None:
    """1 MB a minute is 33 kB a command; half a handle a minute is one for every sixtieth command."""
    grown = {n for n, verdict in judge(series(**{name: a_minute}), 300.0).items() if verdict.grows}
    assert grown == {name}


def test_every_quantity_has_a_limit_and_is_sampled() -> None:
    values = sample(os.getpid(), 1.0)
    assert set(LIMITS) <= set(values) and values["resident_mb"] > 5 and values["threads"] >= 1


def test_slope_is_that_of_the_line_and_not_of_its_outliers() -> None:
    x = np.linspace(0, 30, 901)
    y = 3.0 + 0.25 * x
    y[::5] += 500
    assert slope(list(x), list(y)) == pytest.approx(0.25, abs=0.01)
    with pytest.raises(ValueError, match="two at least"):
        slope([1.0], [1.0])


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="9 samples after 300 s; expected 10"):
        judge(series()[:159], 300.0)


def test_percentiles() -> None:
    assert percentiles([]) == {"n": 0}
    assert percentiles([n / 1000 for n in range(1, 101)]) == {"n": 100, "p50_ms": 50, "p90_ms": 90, "p99_ms": 99}


LEAKS = {
    "nothing": ("pass", set()),
    "memory": ("kept.append(b'x' * 4_000_000)", {"resident_mb", "anonymous_mb"}),
    "handles": ("kept.append(open(os.devnull))", {"handles"}),
    "threads": ("threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", {"threads"}),
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_process_that_leaks_is_caught(what: str) -> None:
    """From outside, on a real process: 20 steps of a leak, a sample after each."""
    statement, expected = LEAKS[what]
    code = f"import os, sys, threading, time\nkept = []\nfor _ in sys.stdin:\n    {statement}\n    print(flush=True)\n"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    try:
        rows = []
        for number in range(20):
            child.stdin.write("\n")
            child.stdin.flush()
            child.stdout.readline()
            rows.append({**sample(child.pid, 6.0 * number), "shm_files": 0.0})
    finally:
        child.kill()
        child.wait()
    assert {name for name, verdict in judge(rows, 12.0).items() if verdict.grows} == expected
