# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a process holds, sampled from outside (/proc), and whether it grows.

A leak is a straight line under noise: lazily made things, allocator arenas and garbage come and go in steps. So growth
is the Theil-Sen slope (the median of the slopes between all pairs of samples, which a third of outliers does not move)
after a warm-up, times the time that was judged. It counts as none below a limit:

- memory: 12 MB, and 0.1 MB for each minute judged. The allocator's own steps stay below the first (they are about one
  image large). Over the 20 minutes that a run of half an hour is judged, that is a frame (0.92 MB) lost in 40 commands,
  or 23 kB lost with each command.
- handles, threads and mapped shared-memory files: 2, and one in ten minutes. A participant of DDS that comes or goes
  moves them by that much; one handle lost a command is 30 a minute.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# What counts as no growth: so much at once, and so much more for each minute that is judged.
LIMITS: dict[str, tuple[float, float]] = {
    "resident_mb": (12.0, 0.1),
    "anonymous_mb": (12.0, 0.1),
    "handles": (2.0, 0.1),
    "threads": (2.0, 0.1),
    "shm_files": (2.0, 0.1),
}
LEAST_SAMPLES = 10
MOST_PAIRS_OF = 400  # samples: 80,000 slopes
_SHM = re.compile(r"(/dev/shm/\S+)")
_MEMORY = {"Rss": "resident_mb", "Pss": "pss_mb", "Anonymous": "anonymous_mb"}


@dataclass(frozen=True)
class Verdict:
    """How one quantity went. slope in its unit a minute; rise: slope times the minutes judged."""

    first: float
    last: float
    slope_per_minute: float
    rise: float
    limit: float

    @property
    def grows(self) -> bool:
        """The rise is more than what counts as none."""
        return self.rise > self.limit


def sample(pid: int, seconds: float) -> dict[str, float]:
    """Memory (MB of 10^6 bytes), handles, threads and mapped shared-memory files of a process, `seconds` into the run.

    Raises OSError when there is no such process (any more).
    """
    folder = Path(f"/proc/{pid}")
    values = {"s": round(seconds, 1)}
    for line in (folder / "smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name in _MEMORY:
            values[_MEMORY[name]] = round(int(rest.split()[0]) * 1024 / 1e6, 2)
    values["handles"] = len(os.listdir(folder / "fd"))
    values["threads"] = len(os.listdir(folder / "task"))
    values["shm_files"] = len(shm_files(pid))
    return values


def shm_files(pid: int) -> set[str]:
    """The files in /dev/shm that a process has mapped, under their names there; also those that are deleted since."""
    text = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    return set(_SHM.findall(text))


def own_segments(pid: int) -> set[str]:
    """The segments of Fast DDS in /dev/shm that a process owns: it holds a lock on the file beside each."""
    locks = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    inodes = {lock[5].rpartition(":")[2] for lock in locks if len(lock) > 5 and lock[4] == str(pid)}
    found = set()
    for beside in Path("/dev/shm").glob("fast*_*_el"):
        with suppress(OSError):  # gone meanwhile
            if "_port" not in beside.name and str(beside.stat().st_ino) in inodes:
                found.add(str(beside)[: -len("_el")])
    return found


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Theil-Sen: the median of the slopes between all pairs of points. Raises ValueError below two points."""
    x, y = np.asarray(times, float), np.asarray(values, float)
    if len(x) < 2 or len(x) != len(y):
        raise ValueError(f"{len(x)} times and {len(y)} values; expected equally many, two at least")
    if len(x) > MOST_PAIRS_OF:
        kept = np.linspace(0, len(x) - 1, MOST_PAIRS_OF).round().astype(int)
        x, y = x[kept], y[kept]
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


def judge(
    samples: Sequence[Mapping[str, float]],
    warm_up_s: float,
    limits: Mapping[str, tuple[float, float]] = LIMITS,
) -> dict[str, Verdict]:
    """A verdict for each quantity of `limits`, from the samples after the warm-up.

    Raises ValueError when fewer than LEAST_SAMPLES are left: nothing can be said then.
    """
    kept = [row for row in samples if row["s"] >= warm_up_s]
    if len(kept) < LEAST_SAMPLES:
        raise ValueError(f"{len(kept)} samples after {warm_up_s:g} s; expected {LEAST_SAMPLES} at least")
    minutes = [row["s"] / 60 for row in kept]
    span = minutes[-1] - minutes[0]
    verdicts = {}
    for name, (once, per_minute) in limits.items():
        values = [row[name] for row in kept]
        rate = slope(minutes, values)
        verdicts[name] = Verdict(
            first=float(np.median(values[: max(1, len(values) // 10)])),
            last=float(np.median(values[-max(1, len(values) // 10) :])),
            slope_per_minute=rate,
            rise=rate * span,
            limit=once + per_minute * span,
        )
    return verdicts


def as_json(verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """The verdicts for a file."""
    return {
        name: {
            "first": round(v.first, 2),
            "last": round(v.last, 2),
            "slope_per_minute": round(v.slope_per_minute, 3),
            "rise": round(v.rise, 2),
            "limit": round(v.limit, 2),
            "grows": v.grows,
        }
        for name, v in verdicts.items()
    }


def percentiles(values_s: Sequence[float]) -> dict[str, float]:
    """Number, and 50th, 90th and 99th percentile in milliseconds; only the number when there are none."""
    if not values_s:
        return {"n": 0}
    p50, p90, p99 = np.percentile(values_s, (50, 90, 99))
    return {"n": len(values_s), "p50_ms": round(1e3 * p50), "p90_ms": round(1e3 * p90), "p99_ms": round(1e3 * p99)}
