# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which sets to train on, as words on a command line: NAME:SPLIT=ROOT, with a weight after a star."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llavaseg_ros.datasets.base import SKIP, Reading
from llavaseg_ros.datasets.mix import Mix
from llavaseg_ros.datasets.registry import entry, read
from llavaseg_ros.evaluation.dataset import DatasetError

_SPEC = re.compile(r"(?P<name>[^:=*]+):(?P<split>[^:=*]+)=(?P<root>[^*]+)(\*(?P<weight>\d+(\.\d+)?))?")


@dataclass(frozen=True)
class SetSpec:
    """One split of one set. weight: how often it is drawn, beside the others'."""

    name: str
    split: str
    root: Path
    weight: float = 1.0


def parse_spec(text: str) -> SetSpec:
    """ "refcoco:train=/data/coco" or "ade20k:train=/data/ade*0.5". For argparse: its error says what was expected.

    >>> parse_spec("reasonseg:train=/data/rs*3")
    SetSpec(name='reasonseg', split='train', root=PosixPath('/data/rs'), weight=3.0)
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME:SPLIT=ROOT or NAME:SPLIT=ROOT*WEIGHT")
    try:
        entry(match["name"], match["split"])
    except DatasetError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return SetSpec(match["name"], match["split"], Path(match["root"]), float(match["weight"] or 1.0))


def read_sets(specs: Sequence[SetSpec], on_problem: str = SKIP) -> list[Reading]:
    """Read every set. Raises DatasetError that says what is missing, where to get it, or what is broken."""
    return [read(spec.name, spec.root, spec.split, on_problem=on_problem) for spec in specs]


def mixed(specs: Sequence[SetSpec], readings: Sequence[Reading], seed: int) -> Mix:
    """The sets as one endless stream, drawn by their weights."""
    return Mix(readings, [spec.weight for spec in specs], seed)
