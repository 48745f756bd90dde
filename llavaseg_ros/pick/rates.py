# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the trials come to: rates with 95 % intervals, their ratio, and the causes of failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llavaseg_ros.evaluation.figures import Figure, share
from llavaseg_ros.pick.commands import KINDS, PHRASINGS
from llavaseg_ros.pick.trials import Arm, Trial

RESAMPLES = 4000


@dataclass(frozen=True)
class Rates:
    """ours, truth: share of picks that lifted the right thing and nothing else. ratio: ours over truth, over the same
    picks. wrong, truth_wrong: share of picks that lifted something else. refused: share that was not tried with ours.
    twice_..., once_...: the same for a robot that asks no third time, and for one that asks once only.
    """

    ours: Figure
    truth: Figure
    ratio: Figure
    wrong: Figure
    truth_wrong: Figure
    refused: Figure
    twice: Figure
    twice_ratio: Figure
    twice_wrong: Figure
    once: Figure
    once_ratio: Figure
    once_wrong: Figure

    def as_json(self) -> dict[str, dict[str, float | int | None]]:
        """Each figure as `Figure.as_json`."""
        return {name: figure.as_json() for name, figure in vars(self).items()}


def rates(trials: Sequence[Trial]) -> Rates:
    """Rates over trials; those of ours are without value where only true masks were tried."""
    asked = [t for t in trials if t.ours is not None]
    truth = [t.success(t.truth) for t in asked]

    def of(arms: Sequence[Arm | None]) -> tuple[Figure, Figure, Figure]:
        """Success, its ratio to that of true masks, wrong objects."""
        there = [(trial, arm) for trial, arm in zip(asked, arms, strict=True) if arm is not None]
        done = [trial.success(arm) for trial, arm in there]
        return share(done), _ratio(done, truth), share(trial.wrong(arm) for trial, arm in there)

    ours, ratio, wrong = of([t.acted for t in asked])
    twice, twice_ratio, twice_wrong = of([t.acted_on_two for t in asked])
    once, once_ratio, once_wrong = of([t.ours for t in asked])
    return Rates(
        ours=ours,
        truth=share(t.success(t.truth) for t in trials),
        ratio=ratio,
        wrong=wrong,
        truth_wrong=share(t.wrong(t.truth) for t in trials),
        refused=share(t.acted is not None and bool(t.acted.refused) for t in asked),
        twice=twice,
        twice_ratio=twice_ratio,
        twice_wrong=twice_wrong,
        once=once,
        once_ratio=once_ratio,
        once_wrong=once_wrong,
    )


def _ratio(ours: Sequence[bool], truth: Sequence[bool]) -> Figure:
    """Ratio of two rates over the same picks; its interval is the bootstrap's, over picks."""
    a, b = np.array(ours, float), np.array(truth, float)
    if not len(a) or not b.sum():
        return Figure(None, len(a))
    pick = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    low, high = np.percentile(a[pick].sum(1) / np.maximum(b[pick].sum(1), 1), (2.5, 97.5))
    return Figure(float(a.sum() / b.sum()), len(a), float(low), float(high))


def causes(trials: Sequence[Trial]) -> list[tuple[str, int, int]]:
    """Why picks with our masks failed: (cause, how many, how many of them failed with the true mask, too)."""
    count: Counter[str] = Counter()
    also: Counter[str] = Counter()
    for trial in trials:
        if trial.cause:
            count[trial.cause] += 1
            also[trial.cause] += not trial.success(trial.truth)
    return [(cause, number, also[cause]) for cause, number in count.most_common()]


def by_kind(trials: Sequence[Trial]) -> dict[str, Rates]:
    """Rates of every kind of command, and of the two phrasings."""
    there = {key for t in trials for key in (t.kind, t.phrasing)}
    keys = [key for key in (*KINDS, *PHRASINGS) if key in there]
    names = {"known": "known phrasings", "held_out": "held-out phrasings"}
    return {names.get(key, key): rates([t for t in trials if key in (t.kind, t.phrasing)]) for key in keys}


def results(trials: Sequence[Trial], settings: dict[str, Any]) -> dict[str, Any]:
    """All of this for a JSON file, with what every trial came to."""
    return {
        "settings": settings,
        "all": rates(trials).as_json(),
        "by_kind": {name: group.as_json() for name, group in by_kind(trials).items()},
        "causes": [{"cause": cause, "picks": count, "true_mask_too": also} for cause, count, also in causes(trials)],
        "trials": [asdict(trial) for trial in trials],
    }


def line(trials: Sequence[Trial]) -> str:
    """All rates on one line, as the run ends with it."""
    r = rates(trials)
    true = f"{_of(r.truth)} with true masks"
    if r.ours.value is None:
        return f"picks: {true}; wrong object {_of(r.truth_wrong)}"
    return (
        f"picks: {_of(r.ours)} with our masks, {true}, ratio {r.ratio.text(2)} ({r.ratio.interval(2)}); "
        f"wrong object {_of(r.wrong)}, refused {_of(r.refused)}; "
        f"without the third look {r.twice.text(2)}, ratio {r.twice_ratio.text(2)}, "
        f"wrong object {r.twice_wrong.text(2)}; with one look {r.once.text(2)}, ratio {r.once_ratio.text(2)}, "
        f"wrong object {r.once_wrong.text(2)}"
    )


def _of(figure: Figure) -> str:
    if figure.value is None:
        return "none"
    number = round(figure.value * figure.count)
    return f"{number}/{figure.count} = {figure.text(2)} ({figure.interval(2)})"
