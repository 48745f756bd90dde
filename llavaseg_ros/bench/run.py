# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The whole benchmark: what is measured how often, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from llavaseg_ros.bench import growth, machine, memory
from llavaseg_ros.bench.figures import figures, followed, replies, stages
from llavaseg_ros.bench.plain import Plain
from llavaseg_ros.bench.rounds import OURS, PLAIN, Log, Subject, compare, run_round
from llavaseg_ros.bench.stopwatch import Stopwatch
from llavaseg_ros.errors import BadRequest, OutOfMemory
from llavaseg_ros.pipeline import LLaVASeg

Told = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured. rounds: of the table, a few commands each by every variant. growth: repeats of how cost
    grows, 0 for none of that. commands, frames: over which growth of memory is measured, 0 for none of that."""

    rounds: int = 8
    growth: int = 2
    commands: int = 44
    frames: int = 110


QUICK = Plan(rounds=3, growth=0, commands=0, frames=0)


def run(model: LLaVASeg, name: str, plan: Plan, told: Told) -> dict[str, Any]:
    """Measure a loaded model. name: the profile that it was loaded from, for the baseline's copy. told: gets a line
    whenever something new begins. Returns plain JSON values; `figures.text` makes a page of them.

    Raises BadRequest if not one command got a readable reply.
    """
    report: dict[str, Any] = {"machine": machine.facts(model.device), "plan": asdict(plan)}
    report["machine"]["load_at_start"] = machine.load_average()
    subjects, missing = [Subject(OURS, model, Stopwatch(model.mllm))], ""
    told("loading the same models for the baseline")
    try:
        plain = Plain.load(name, model.device)
        subjects.insert(0, Subject(PLAIN, plain, Stopwatch(plain.mllm)))
    except (BadRequest, OutOfMemory) as error:
        missing = str(error)
        told(f"no baseline: {missing}")
    told("warming up")
    for subject in subjects:
        run_round(Log(), [subject], plan.rounds)  # of commands that no round asks
    log = Log()
    for number in range(plan.rounds):
        told(f"round {number + 1} of {plan.rounds}")
        run_round(log, subjects, number)
    if not log.shots:
        raise BadRequest(f"not one command got a reply that could be read; the first: {log.failed[0]}")
    described = model.describe()
    sam = described["segmenter"]["sam"]
    rows = figures(
        log,
        missing=missing,
        embedded_on_cpu=sam == "small" and model.device.type == "cpu",
        vit_h_on_gpu=sam == "vit_h" and model.device.type == "cuda",
    )
    report |= {
        "model": described,
        "figures": [row.as_json() for row in rows],
        "stages": stages(log),
        "followed": followed(log),
    }
    report["growth"] = growth.measure(log, subjects, plan.growth, told) if plan.growth else {}
    report["same"] = asdict(compare(log))
    report["replies"] = replies(log)
    report["failed"] = log.failed
    if plan.commands or plan.frames:
        told(f"memory over {plan.commands} commands and {plan.frames} frames")
    report["memory"] = memory.measure(subjects[-1], plan.commands, plan.frames)
    report["machine"]["load_at_end"] = machine.load_average()
    return report
