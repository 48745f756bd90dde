"""The words: `data/language.yaml` read once and checked.

To add an object of your own: give it an entry in `data/catalog.yaml` (colors, shape) and one under `nouns:` in
`data/language.yaml` (names and plural), and list it under `serves:` of at least one purpose in `uses:`. To add
phrasings, append to the `known` side of a pool; keep some on the `held_out` side, so that the test says how the model
takes words it has not met. `load_lexicon(path)` checks a file and names what is wrong with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

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

Phrasing = Literal["known", "held_out"]


@dataclass(frozen=True)
class Pool:
    """Ways to say one thing: those that training may use, and those that only tests use."""

    known: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    def only(self, *placeholders: str) -> Pool:
        """The entries that hold one of `placeholders`."""

        def keep(entries: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(e for e in entries if any(p in e for p in placeholders))

        return Pool(keep(self.known), keep(self.held_out))


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
    """The whole of `language.yaml`."""

    shares: dict[str, float]
    frames: Pool
    phrase_frames: Pool
    fillers: Pool
    filler_probability: float
    some: frozenset[str]
    groups: dict[str, Group]
    nouns: dict[str, Noun]
    things: Pool
    color_phrases: Pool
    named_color_phrases: Pool
    near_colors: frozenset[frozenset[str]]
    places: dict[str, Pool]
    relations: dict[str, Pool]
    how: Pool
    sizes: dict[str, Pool]
    use_frames_to: Pool
    use_frames_goal: Pool
    use_color: Pool
    uses: dict[str, Use]
    questions: dict[str, Pool]
    question_shares: dict[str, float]
    talk: dict[str, Talk]

    def pools(self) -> Iterator[tuple[str, Pool]]:
        """Every pool with its place in the file, for counting and checking."""
        yield "frames", self.frames
        yield "fillers", self.fillers
        yield "things", self.things
        yield "color_phrases", self.color_phrases
        yield "named_color_phrases", self.named_color_phrases
        yield "how", self.how
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


class Picker:
    """Draws from pools for one command. With phrasing "held_out", `used_held_out` tells whether any draw was from
    that side.
    """

    def __init__(self, rng: random.Random, phrasing: Phrasing) -> None:
        if phrasing not in ("known", "held_out"):
            raise ValueError(f"phrasing is {phrasing!r}; expected 'known' or 'held_out'")
        self.rng = rng
        self.phrasing = phrasing
        self.used_held_out = False

    def pick(self, pool: Pool) -> str:
        """One entry, evenly; with phrasing "held_out" from that side in half of the draws."""
        if self.phrasing == "held_out" and pool.held_out and self.rng.random() < 0.5:
            self.used_held_out = True
            return self.rng.choice(pool.held_out)
        return self.rng.choice(pool.known)

    def name(self, pool: Pool) -> str:
        """One name of a kind: the usual one more often than its synonyms."""
        if self.rng.random() < 0.5:
            return pool.known[0]
        return self.pick(pool)

    def filler(self, pool: Pool) -> str:
        """Filler words do not make a phrasing a held-out one, so this draw is not noted."""
        held_out = self.phrasing == "held_out" and self.rng.random() < 0.5
        return self.rng.choice(pool.held_out if held_out else pool.known)


def normalized(text: str) -> str:
    """Text without case and punctuation, to compare phrasings."""
    kept = "".join(c if c.isalnum() or c in "{}'" else " " for c in text.lower())
    return " ".join(kept.split())


def _pool(entry: Any, where: str) -> Pool:
    if not isinstance(entry, dict) or not entry.get("known"):
        raise ValueError(f"{where}: expected a mapping with a non-empty list `known` and a list `held_out`")
    known, held_out = tuple(entry["known"]), tuple(entry.get("held_out") or ())
    for text in known + held_out:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{where}: {text!r} is not a text; put it in quotes")
    both = {normalized(t) for t in known} & {normalized(t) for t in held_out}
    if both:
        raise ValueError(f"{where}: {sorted(both)} is both known and held out")
    return Pool(known, held_out)


def _pools(data: dict[str, Any], section: str, expected: tuple[str, ...], where: str) -> dict[str, Pool]:
    if set(data[section]) != set(expected):
        raise ValueError(f"{where}: `{section}` has {sorted(data[section])}; expected {sorted(expected)}")
    return {name: _pool(data[section][name], f"{where}: {section}.{name}") for name in expected}


def _nouns(data: dict[str, Any], where: str) -> dict[str, Noun]:
    like: dict[str, set[str]] = {name: set(entry.get("like", ())) for name, entry in data.items()}
    for name, entry in data.items():
        for other in (*entry.get("like", ()), *entry.get("covers", ())):
            if other not in data:
                raise ValueError(f"{where}: nouns.{name} names {other!r}, which has no entry under `nouns`")
            like[other].add(name)
    return {
        name: Noun(
            _pool(entry, f"{where}: nouns.{name}"),
            entry["plural"],
            bool(entry.get("plural_only", False)),
            frozenset(entry.get("covers", ())),
            frozenset(like[name] | set(entry.get("covers", ()))),
        )
        for name, entry in data.items()
    }


def _uses(data: dict[str, Any], where: str) -> dict[str, Use]:
    uses = {}
    for name, entry in data.items():
        at = f"{where}: uses.{name}"
        pools = (_pool(entry[key], f"{at}.{key}") for key in ("to", "goal", "say"))
        uses[name] = Use(
            tuple(entry["serves"]), frozenset(entry.get("also", ())), entry["can"], entry["used_to"], *pools
        )
    return uses


@lru_cache(maxsize=4)
def load_lexicon(path: Path = LANGUAGE_FILE) -> Lexicon:
    """Reads and checks a language file.

    Raises ValueError, naming file and entry, when a phrase is both known and held out, a section is missing
    something, a group or a purpose names a kind that has no noun, or a kind serves no purpose.
    """
    data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    where = str(path)
    nouns = _nouns(data["nouns"], where)
    groups = {
        name: Group(_pool(e, f"{where}: groups.{name}"), frozenset(e["of"]), frozenset(e.get("also", ())), e["plural"])
        for name, e in data["groups"].items()
    }
    uses = _uses(data["uses"], where)
    for section, kinds in [(f"groups.{n}", g.of | g.also) for n, g in groups.items()] + [
        (f"uses.{n}", u.also.union(u.serves)) for n, u in uses.items()
    ]:
        unknown = sorted(kinds - set(nouns))
        if unknown:
            raise ValueError(f"{where}: {section} names {unknown}, which have no entry under `nouns`")
    idle = sorted(set(nouns) - {c for u in uses.values() for c in u.serves})
    if idle:
        raise ValueError(f"{where}: {idle} serve no purpose; list each under `serves` of an entry of `uses`")
    if set(data["shares"]) != set(KINDS):
        raise ValueError(f"{where}: `shares` has {sorted(data['shares'])}; expected {sorted(KINDS)}")
    frames = _pool(data["frames"], f"{where}: frames")
    return Lexicon(
        shares={k: float(v) for k, v in data["shares"].items()},
        frames=frames,
        phrase_frames=frames.only("{the}", "{bare}"),
        fillers=_pool(data["fillers"], f"{where}: fillers"),
        filler_probability=float(data["filler_probability"]),
        some=frozenset(data["some"]),
        groups=groups,
        nouns=nouns,
        things=_pool(data["things"], f"{where}: things"),
        color_phrases=_pool(data["color_phrases"], f"{where}: color_phrases"),
        named_color_phrases=_pool(data["named_color_phrases"], f"{where}: named_color_phrases"),
        near_colors=frozenset(frozenset(pair) for pair in data["near_colors"]),
        places=_pools(data, "places", PLACES, where),
        relations=_pools(data, "relations", RELATIONS, where),
        how=_pool(data["how"], f"{where}: how"),
        sizes=_pools(data, "sizes", SIZES, where),
        use_frames_to=_side(data["use_frames"], "to", where),
        use_frames_goal=_side(data["use_frames"], "goal", where),
        use_color=_pool(data["use_color"], f"{where}: use_color"),
        uses=uses,
        questions=_pools(data, "questions", QUESTIONS, where),
        question_shares={k: float(v) for k, v in data["question_shares"].items()},
        talk={n: Talk(_pool(e, f"{where}: talk.{n}"), e["reply"]) for n, e in data["talk"].items()},
    )


def _side(entry: dict[str, Any], key: str, where: str) -> Pool:
    """`use_frames` is written the other way round (side, then slot), because its two slots are read together."""
    return _pool({"known": entry["known"][key], "held_out": entry["held_out"][key]}, f"{where}: use_frames.{key}")
