# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The words: `data/language.yaml` read once and checked.

To add an object of your own: give it an entry in `data/catalog.yaml` (colors, shape) and one under `nouns:` in
`data/language.yaml` (names and plural), and list it under `serves:` of at least one purpose in `uses:`. To add
phrasings, append to the `known` side of a pool; keep some on the `held_out` side, so that the test says how the model
takes words it has not met. `load_lexicon(path)` checks a file and names what is wrong with it. Things that only
photographs show have their words in `data/photographs.yaml`, which is read along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from llavaseg_ros.training.language.photographs import load_photographs, with_photographs
from llavaseg_ros.training.language.phrases import Pool, normalized, read_pool
from llavaseg_ros.training.scenes.catalog import load_catalog

LANGUAGE_FILE = Path(__file__).resolve().parent.parent / "data" / "language.yaml"
KINDS = ("name", "color", "use", "place", "relation", "size", "absent", "question")
PLACES = (
    ("leftmost", "rightmost", "nearest", "farthest", "middle")
    + ("left side", "right side", "front side", "back side")
    + ("back left", "back right", "front left", "front right")
)
RELATIONS = ("left of", "right of", "in front of", "behind", "next to")
SIZES = ("biggest", "smallest")
QUESTIONS = ("count", "color", "is there", "beside", "where", "list")


@dataclass(frozen=True)
class Noun:
    """How one kind of object is called. `names.known[0]` is the kind itself."""

    names: Pool
    plural: str
    plural_only: bool
    covers: frozenset[str]
    like: frozenset[str]


@dataclass(frozen=True)
class Group:
    """A word for several kinds ("fruit"). of: its kinds; also: kinds that somebody may count in."""

    names: Pool
    of: frozenset[str]
    also: frozenset[str]
    plural: str


@dataclass(frozen=True)
class Use:
    """A purpose. serves: kinds that do it, the usual one first; also: kinds that would do in need."""

    serves: tuple[str, ...]
    also: frozenset[str]
    can: str
    used_to: str
    to: Pool
    goal: Pool
    say: Pool


@dataclass(frozen=True)
class Talk:
    """Small talk: what the person may say, and the one reply."""

    says: Pool
    reply: str


@dataclass(frozen=True)
class Lexicon:
    """The whole of `language.yaml`, with the words of the photographs.

    tests_only: kinds that the catalog holds out; all their words are only for tests. photographed: kinds that
    photographs show, photograph_only: those of them that no rendered scene shows.
    """

    shares: dict[str, float]
    typo_probability: float
    frames: Pool
    phrase_frames: Pool
    fillers: Pool
    filler_probability: float
    some: frozenset[str]
    adjectives: Pool
    adjective_probability: float
    groups: dict[str, Group]
    nouns: dict[str, Noun]
    things: Pool
    color_phrases: Pool
    named_color_phrases: Pool
    near_colors: frozenset[frozenset[str]]
    places: dict[str, Pool]
    relations: dict[str, Pool]
    how: Pool
    relation_requests: Pool
    relation_request_probability: float
    sizes: dict[str, Pool]
    use_frames_to: Pool
    use_frames_goal: Pool
    use_color: Pool
    uses: dict[str, Use]
    questions: dict[str, Pool]
    question_shares: dict[str, float]
    talk: dict[str, Talk]
    tests_only: frozenset[str]
    photographed: frozenset[str]
    photograph_only: frozenset[str]

    @cached_property
    def rendered(self) -> tuple[str, ...]:
        """The kinds that rendered training scenes show."""
        return tuple(k for k in self.nouns if k not in self.tests_only and k not in self.photograph_only)

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word of every known phrase, in small letters."""
        phrases = (phrase for _, pool in self.pools() for phrase in pool.all_words())
        return frozenset(word for phrase in phrases for word in normalized(phrase).split())

    def pools(self) -> Iterator[tuple[str, Pool]]:
        """Every pool with its place in the file, for counting and checking."""
        yield "frames", self.frames
        yield "fillers", self.fillers
        yield "things", self.things
        yield "color_phrases", self.color_phrases
        yield "named_color_phrases", self.named_color_phrases
        yield "adjectives", self.adjectives
        yield "how", self.how
        yield "relation_requests", self.relation_requests
        yield "use_frames.to", self.use_frames_to
        yield "use_frames.goal", self.use_frames_goal
        yield "use_color", self.use_color
        for section in ("places", "relations", "sizes", "questions"):
            for name, pool in getattr(self, section).items():
                yield f"{section}.{name}", pool
        for name, group in self.groups.items():
            yield f"groups.{name}", group.names
        for name, noun in self.nouns.items():
            yield f"nouns.{name}", noun.names
        for name, use in self.uses.items():
            yield f"uses.{name}.to", use.to
            yield f"uses.{name}.goal", use.goal
            yield f"uses.{name}.say", use.say
        for name, talk in self.talk.items():
            yield f"talk.{name}", talk.says


class _Reader:
    """The sections of a language file, each checked as it is read."""

    def __init__(self, data: dict[str, Any], where: str) -> None:
        self.data, self.where = data, where
        self.slots: dict[str, list[str]] = data.get("slots", {})

    def pool(self, entry: Any, at: str) -> Pool:
        return read_pool(entry, f"{self.where}: {at}", self.slots)

    def top(self, name: str) -> Pool:
        return self.pool(self.data[name], name)

    def section(self, name: str, expected: tuple[str, ...]) -> dict[str, Pool]:
        entries = self.data[name]
        if set(entries) != set(expected):
            raise ValueError(f"{self.where}: `{name}` has {sorted(entries)}; expected {sorted(expected)}")
        return {key: self.pool(entries[key], f"{name}.{key}") for key in expected}

    def use_frames(self, key: str) -> Pool:
        # Written the other way round (side, then slot), because the two slots are read together.
        entry = self.data["use_frames"]
        return self.pool({side: entry[side][key] for side in ("known", "held_out")}, f"use_frames.{key}")

    def nouns(self) -> dict[str, Noun]:
        entries = self.data["nouns"]
        like: dict[str, set[str]] = {name: set(entry.get("like", ())) for name, entry in entries.items()}
        for name, entry in entries.items():
            for other in (*entry.get("like", ()), *entry.get("covers", ())):
                if other not in entries:
                    raise ValueError(f"{self.where}: nouns.{name} names {other!r}, which has no entry under `nouns`")
                like[other].add(name)
        return {
            name: Noun(
                self.pool(entry, f"nouns.{name}"),
                entry["plural"],
                bool(entry.get("plural_only", False)),
                frozenset(entry.get("covers", ())),
                frozenset(like[name] | set(entry.get("covers", ()))),
            )
            for name, entry in entries.items()
        }

    def groups(self) -> dict[str, Group]:
        return {
            name: Group(self.pool(e, f"groups.{name}"), frozenset(e["of"]), frozenset(e.get("also", ())), e["plural"])
            for name, e in self.data["groups"].items()
        }

    def uses(self) -> dict[str, Use]:
        uses = {}
        for name, entry in self.data["uses"].items():
            pools = (self.pool(entry[key], f"uses.{name}.{key}") for key in ("to", "goal", "say"))
            also = frozenset(entry.get("also", ()))
            uses[name] = Use(tuple(entry["serves"]), also, entry["can"], entry["used_to"], *pools)
        return uses

    def talk(self) -> dict[str, Talk]:
        return {n: Talk(self.pool(e, f"talk.{n}"), e["reply"]) for n, e in self.data["talk"].items()}


@lru_cache(maxsize=4)
def load_lexicon(path: Path = LANGUAGE_FILE) -> Lexicon:
    """Reads and checks a language file, and adds the words of the photographs.

    Raises ValueError, naming file and entry, when a phrase is both known and held out, a choice cannot be read, a
    section is missing something, a group or a purpose names a kind that has no noun, or a kind serves no purpose.
    """
    data = yaml.load(Path(path).read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    where, photographs, tests_only = str(path), load_photographs(), frozenset(load_catalog().held_out)
    read = _Reader(with_photographs(data, photographs), where)
    nouns, groups, uses = read.nouns(), read.groups(), read.uses()
    for section, kinds in [(f"groups.{n}", g.of | g.also) for n, g in groups.items()] + [
        (f"uses.{n}", u.also.union(u.serves)) for n, u in uses.items()
    ]:
        unknown = sorted(kinds - set(nouns))
        if unknown:
            raise ValueError(f"{where}: {section} names {unknown}, which have no entry under `nouns`")
    idle = sorted(set(nouns) - tests_only - {c for u in uses.values() for c in u.serves})
    if idle:
        raise ValueError(f"{where}: {idle} serve no purpose; list each under `serves` of an entry of `uses`")
    if set(data["shares"]) != set(KINDS):
        raise ValueError(f"{where}: `shares` has {sorted(data['shares'])}; expected {sorted(KINDS)}")
    frames = read.top("frames")
    some = read.pool({"known": read.data["some"]}, "some")
    return Lexicon(
        shares={k: float(v) for k, v in data["shares"].items()},
        typo_probability=float(data["typo_probability"]),
        frames=frames,
        phrase_frames=frames.only("{the}", "{bare}"),
        fillers=read.top("fillers"),
        filler_probability=float(data["filler_probability"]),
        some=frozenset(some.all_known()),
        adjectives=read.top("adjectives"),
        adjective_probability=float(data["adjective_probability"]),
        groups=groups,
        nouns=nouns,
        things=read.top("things"),
        color_phrases=read.top("color_phrases"),
        named_color_phrases=read.top("named_color_phrases"),
        near_colors=frozenset(frozenset(pair) for pair in data["near_colors"]),
        places=read.section("places", PLACES),
        relations=read.section("relations", RELATIONS),
        how=read.top("how"),
        relation_requests=read.top("relation_requests"),
        relation_request_probability=float(data["relation_request_probability"]),
        sizes=read.section("sizes", SIZES),
        use_frames_to=read.use_frames("to"),
        use_frames_goal=read.use_frames("goal"),
        use_color=read.top("use_color"),
        uses=uses,
        questions=read.section("questions", QUESTIONS),
        question_shares={k: float(v) for k, v in data["question_shares"].items()},
        talk=read.talk(),
        tests_only=tests_only & set(nouns),
        photographed=frozenset(photographs.names.values()),
        photograph_only=frozenset(photographs.shapes),
    )
