# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What goes out on /diagnostics: a summary that tells whether to trust the node, and a status for each part of it."""

from __future__ import annotations

import os

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from llavaseg_ros.ros.health import Part, Snapshot, parts_of, summary_of
from llavaseg_ros.ros.messages import clean

LEVELS = (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE)
SUMMARY = "reasoning segmentation"


def diagnostic_array(now: Snapshot, name: str, stamp: Time) -> DiagnosticArray:
    """The message for /diagnostics, the summary first. name: the node's full name, which is also the hardware id's
    stand-in. The summary has the values of all parts."""
    parts = parts_of(now)
    array = DiagnosticArray(status=[_status(part, name.lstrip("/")) for part in (summary_of(now, parts), *parts)])
    array.header.stamp = stamp
    return array


def _status(part: Part, name: str) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=LEVELS[part.level],
        name=f"{name}: {part.name}",
        message=clean(part.message),
        hardware_id=name,
        values=[KeyValue(key=clean(key), value=clean(value)) for key, value in part.values.items()],
    )


def resident_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes), from /proc; 0 where there is none."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def host_memory_mb() -> tuple[float, float]:
    """Memory of the host in MB (10^6 bytes): what is available to processes, and all of it; 0, 0 where unknown."""
    found: dict[str, float] = {}
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(rest.split()[0]) * 1024 / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0, 0.0
    return found.get("MemAvailable", 0.0), found.get("MemTotal", 0.0)
