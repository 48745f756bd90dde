# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stage `thoughts`: what the frozen language model makes of every command of a set, run once and kept as JSONL.

Training the adapters then needs no language model. A run that was stopped goes on where it was; several machines can
share a set by `--shard`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from llavaseg_ros.datasets.base import REFUSE, SKIP, Referral
from llavaseg_ros.errors import BadReply
from llavaseg_ros.images import read_rgb
from llavaseg_ros.reasoning.chain import MODES, ChainOfThought
from llavaseg_ros.training.public.sets import parse_spec, read_sets
from llavaseg_ros.types import Attributes, Thought


@dataclass(frozen=True)
class Kept:
    """One line of the file: words for a command, or why there are none. key: see `key_of`."""

    key: str
    target: str = ""
    found: bool = False
    color: str = ""
    shape: str = ""
    location: str = ""
    error: str = ""

    @classmethod
    def of(cls, key: str, thought: Thought) -> Kept:
        """From what the chain of thought returned."""
        return cls(key, thought.target, thought.found, **asdict(thought.attributes))

    @property
    def attributes(self) -> Attributes:
        """The words besides the target's name."""
        return Attributes(self.color, self.shape, self.location)


def key_of(referral: Referral) -> str:
    """Names a command among those of all sets."""
    return f"{referral.dataset}/{referral.split}/{referral.id}"


def read_thoughts(paths: Iterable[Path]) -> dict[str, Kept]:
    """All kept thoughts by key; of two with the same key, the later. A last line that was cut off does not count.

    Raises ValueError that names the file and the line for anything else that is not a thought.
    """
    found: dict[str, Kept] = {}
    for path in paths:
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                kept = Kept(**json.loads(line))
            except (ValueError, TypeError) as error:
                if number == len(lines):  # no line break after it: the run was killed in the middle of writing
                    break
                raise ValueError(f"{path}, line {number}: not a thought: {error}") from error
            found[kept.key] = kept
    return found


def think_over(chain: ChainOfThought, referrals: Iterable[Referral], known: Mapping[str, Kept]) -> Iterator[Kept]:
    """A thought for every referral that has none yet, picture by picture, so that each is encoded once."""
    todo: dict[Path, list[Referral]] = {}
    for referral in referrals:
        if key_of(referral) not in known:
            todo.setdefault(referral.image_path, []).append(referral)
    for path, about in tqdm(todo.items(), desc="thoughts", unit="picture", mininterval=5.0):
        chain.mllm.set_image(read_rgb(path))
        for referral in about:
            try:
                yield Kept.of(key_of(referral), chain.think(referral.command))
            except BadReply as error:
                yield Kept(key_of(referral), error=str(error))


def mine(referrals: Iterable[Referral], shard: tuple[int, int]) -> list[Referral]:
    """The part of one machine of several: whole pictures, so that none is encoded twice. shard: which, of how many."""
    which, count = shard
    pictures: dict[Path, int] = {}
    return [r for r in referrals if pictures.setdefault(r.image_path, len(pictures)) % count == which]


def parse_shard(text: str) -> tuple[int, int]:
    """ "1/4" -> (1, 4); the first is 0."""
    which, _, count = text.partition("/")
    if not (which.isdecimal() and count.isdecimal() and int(which) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WHICH/COUNT with WHICH from 0 to COUNT - 1")
    return int(which), int(count)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `llavaseg train thoughts`."""
    parser.add_argument("--profile", default="paper_7b", help="whose language model thinks")
    parser.add_argument(
        "--set", type=parse_spec, action="append", required=True, dest="sets", metavar="NAME:SPLIT=ROOT"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSONL file; the same file resumes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--mode", choices=MODES, default="cot")
    parser.add_argument(
        "--shard", type=parse_shard, default=(0, 1), metavar="WHICH/COUNT", help="a part of the pictures"
    )
    parser.add_argument("--on-problem", choices=(SKIP, REFUSE), default=SKIP, help="what to do with broken records")


def run(args: argparse.Namespace) -> None:
    """Think until every command has its line in args.out."""
    from llavaseg_ros.assemble import load_mllm
    from llavaseg_ros.device import select_device
    from llavaseg_ros.profile import load_profile
    from llavaseg_ros.reasoning.prompt_style import load_style

    readings = read_sets(args.sets, args.on_problem)
    for reading in readings:
        if reading.problems.count:
            print(f"{reading.dataset} {reading.split}: {reading.problems.count} left out\n{reading.problems.text()}")
    known = read_thoughts([args.out]) if args.out.exists() else {}
    profile = load_profile(args.profile)
    chain = ChainOfThought(load_mllm(profile, select_device(args.device)), load_style(profile.mllm.prompts), args.mode)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    with open_for_more(args.out) as file:
        for kept in think_over(chain, mine((r for reading in readings for r in reading), args.shard), known):
            file.write(json.dumps(asdict(kept), ensure_ascii=False) + "\n")
            file.flush()
            failed += bool(kept.error)
    print(f"{args.out}: {len(read_thoughts([args.out]))} thoughts; {failed} replies of this run could not be read")


def open_for_more(path: Path) -> Any:
    """Open for appending, after what is whole: a line that a killed run cut off goes."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
    return path.open("a", encoding="utf-8")
