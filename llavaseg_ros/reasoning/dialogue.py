# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a command means for a model that was trained on one target a command, and on nothing said before it.

Rules in words (`several.py`, `references.py`) and the list of what the model sees (`objects.py`) take the place of what
a larger model would do by itself. What they do to a command is told in the result's reasoning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llavaseg_ros.reasoning.base import MLLM
from llavaseg_ros.reasoning.objects import Box, SeenObject, SeesObjects, box_overlap
from llavaseg_ros.reasoning.prompt_style import PromptStyle
from llavaseg_ros.reasoning.references import Reference, kind_of, reference_rules
from llavaseg_ros.reasoning.several import Several, enumeration, several_rule
from llavaseg_ros.types import Attributes, Referent, Thought

_HERE = 0.3  # overlap of boxes from which an object is the last target
_MOVED = 0.15  # image widths that the last target may have moved between two commands
_REACH = 0.5  # longest distance of "the one left of it", in widths of the image
_CONE = 1.2  # across by along, of what is clearly on a side


@dataclass(frozen=True)
class Reading:
    """What is to be done for a command.

    command: what the model is asked. note: what the rules made of it, for the reasoning; "" if nothing. thought: set
    when the model need not be asked: the targets, or why there is none. several: set when the model is asked about one
    of several.
    """

    command: str
    note: str = ""
    thought: Thought | None = None
    several: Several | None = None


class Interpreter:
    """Reads commands for one model."""

    def __init__(self, mllm: MLLM, style: PromptStyle) -> None:
        self._mllm = mllm
        self._style = style

    def read(self, command: str, last: Referent | None, size: tuple[int, int], max_targets: int) -> Reading:
        """What a command means. last: what the conversation was last about. size: width and height of the image, px."""
        reading = Reading(command)
        if not self._style.history:
            reference = reference_rules()(command, last)
            if reference is not None:
                reading = self._refer(command, reference, last, size, max_targets)
        if reading.thought is None and not self._style.several:
            several = several_rule()(reading.command)
            if several is not None:
                return self._several(reading, several, size, max_targets)
        return reading

    def enumerate(self, thought: Thought, several: Several, size: tuple[int, int], max_targets: int) -> Thought:
        """The thought of one target with the others of its kind: for a noun that only the model knows."""
        if thought.is_question:
            # A request for things, which the model did not take for one.
            missing = f"I do not see any {several.noun}."
            return replace(thought, target=f"{several.color} {several.noun}".strip(), answer=missing)
        if not thought.found:
            return thought
        color = thought.attributes.color
        kind = kind_of(Referent(thought.target, Attributes(color), (0.0, 0.0, 1.0, 1.0)))
        found = several.among(self._seen(), size, frozenset([kind]))
        if not found:
            return thought
        return self._all(found, several, thought.attributes.shape, size, max_targets, thought)

    def _seen(self) -> tuple[SeenObject, ...]:
        return self._mllm.seen_objects() if isinstance(self._mllm, SeesObjects) else ()

    def _several(self, reading: Reading, several: Several, size: tuple[int, int], max_targets: int) -> Reading:
        seen = self._seen()
        kinds = several_rule().kinds(several.noun, {one.kind for one in seen})
        found = several.among(seen, size, kinds)
        if not found:
            note = f"Several are meant; asked for one: \"{several.command}\"."
            return Reading(several.command, f"{reading.note} {note}".strip(), several=several)
        thought = self._all(found, several, "", size, max_targets)
        return replace(reading, thought=replace(thought, reasoning=f"{reading.note} {thought.reasoning}".strip()))

    def _all(
        self,
        found: Sequence[SeenObject],
        several: Several,
        shape: str,
        size: tuple[int, int],
        max_targets: int,
        before: Thought | None = None,
    ) -> Thought:
        """One thought for all of the objects, the surest first."""
        number = min(max_targets, several.number or max_targets)
        surest = sorted(found, key=lambda one: -one.score)[:number]
        raw = () if before is None else before.raw
        note = f"Several are meant. I see {enumeration([_whereabouts(one, size) for one in found])}."
        reasoning = note if before is None or not before.reasoning else f"{before.reasoning} {note}"
        thoughts = [_thought_of(one, size, shape, reasoning, raw) for one in surest]
        return replace(thoughts[0], others=tuple(thoughts[1:]))

    def _refer(
        self, command: str, reference: Reference, last: Referent | None, size: tuple[int, int], max_targets: int
    ) -> Reading:
        if last is None:
            nothing = "I have not found anything yet. What do you mean?"
            answer = f"I do not know what \"{reference.words}\" refers to: {nothing}"
            note = f"\"{reference.words}\" refers to something said before, and there is nothing."
            unclear = Thought(reference.words, answer=answer, reasoning=note, unclear=True)
            return Reading(command, note, unclear)
        note = f"\"{reference.words}\" refers to the {last.label}"
        seen = self._seen()
        found = _Scene(seen, last, size).meant(reference)
        if found:
            note = f"{note}: {enumeration([_whereabouts(one, size) for one in found])}."
            shape = last.attributes.shape
            thoughts = [
                _thought_of(one, size, shape if one.kind == kind_of(last) else "", note) for one in found[:max_targets]
            ]
            return Reading(command, note, replace(thoughts[0], others=tuple(thoughts[1:])))
        if reference.means in ("other", "rest") and seen:
            missing = Thought(f"other {kind_of(last)}", answer=f"I see no other {kind_of(last)}.", reasoning=f"{note}.")
            return Reading(command, note, missing)
        asked = reference.say or reference.words
        about = "" if reference.means == "new" else f"{note}; "
        return Reading(asked, f"{about}asked as \"{asked}\".")


class _Scene:
    """What is in view, and which of it was the last target."""

    def __init__(self, seen: Sequence[SeenObject], last: Referent, size: tuple[int, int]) -> None:
        width, height = size
        x0, y0, x1, y1 = last.box
        self._width = width
        self._kind = kind_of(last)
        box = (x0 * width, y0 * height, x1 * width, y1 * height)
        color = last.attributes.color or last.label.split(" ")[0]
        self._last = SeenObject(self._kind, color, box, 1.0)
        here = self._find(seen, box)
        self._now = self._last if here is None else replace(self._last, box=here.box, score=here.score)
        # What lies in its very place is the same thing, listed twice.
        self._others = [one for one in seen if box_overlap(one.box, self._now.box) < _HERE]
        self._same = [one for one in self._others if one.kind == self._kind]
        self._seen = bool(seen)

    def meant(self, reference: Reference) -> list[SeenObject]:
        """The objects that a reference means, best first; none when that is not clear from the list."""
        if reference.means == "same":
            return [self._now]
        if not self._seen:
            return []
        find: dict[str, Callable[[str], list[SeenObject]]] = {
            "other": lambda _: self._alike(self._same)[:1],
            "rest": lambda _: self._alike(self._same),
            "all": lambda _: [self._now, *self._alike(self._same)],
            "side": self._beside,
            "named": lambda which: self._named(which, reference.noun),
            "color": lambda which: [one for one in self._mine() if one.color == which][:1],
            "colored": lambda which: [one for one in self._mine() if one.color == which],
            "size": self._sized,
            "place": self._placed,
        }
        return find[reference.means](reference.which) if reference.means in find else []

    def _find(self, seen: Sequence[SeenObject], box: Box) -> SeenObject | None:
        """The last target among what is seen: in its place, or near it and of its kind."""
        there = max(seen, key=lambda one: box_overlap(one.box, box), default=None)
        if there is not None and box_overlap(there.box, box) >= _HERE:
            return there
        near = [one for one in seen if one.kind == self._kind and self._distance(one) <= _MOVED]
        return min(near, key=self._distance, default=None)

    def _mine(self) -> list[SeenObject]:
        return [self._now, *self._same]

    def _alike(self, many: Sequence[SeenObject]) -> list[SeenObject]:
        """Those of the last target's color first, then the surest."""
        return sorted(many, key=lambda one: (one.color != self._now.color, -one.score))

    def _beside(self, side: str) -> list[SeenObject]:
        """The nearest on that side: of the last target's kind if there is one, for "one" takes up the noun before."""
        near = self._on_side(self._others, side)
        mine = [one for one in near if one.kind == self._kind]
        return (mine or near)[:1]

    def _named(self, side: str, phrase: str) -> list[SeenObject]:
        noun, colors = phrase.split()[1:], several_rule().colors
        color = {colors[word] for word in noun if word in colors}
        bare = " ".join(word for word in noun if word not in colors)
        kinds = several_rule().kinds(bare, {one.kind for one in self._others})
        fits = [one for one in self._others if one.kind in kinds and (not color or one.color in color)]
        return self._on_side(fits, side)[:1]

    def _on_side(self, many: Sequence[SeenObject], side: str) -> list[SeenObject]:
        """Those that are clearly there, nearest first."""
        x, y = self._now.middle
        kept = []
        for one in many:
            dx, dy = one.middle[0] - x, one.middle[1] - y
            along = {"left of": -dx, "right of": dx, "in front of": dy, "behind": -dy}.get(side)
            across = abs(dy) if side in ("left of", "right of") else abs(dx)
            if self._distance(one) <= _REACH and (along is None or (along > 0 and across <= _CONE * along)):
                kept.append(one)
        return sorted(kept, key=self._distance)

    def _sized(self, which: str) -> list[SeenObject]:
        many = sorted(self._mine(), key=lambda one: one.area, reverse=which.startswith("big"))
        if len(many) < 2 or (which in ("bigger", "smaller") and many[0] is self._now):
            return []
        return many[:1]

    def _placed(self, which: str) -> list[SeenObject]:
        many = self._mine()
        if len(many) < 2:
            return []
        across, down = sum(o.middle[0] for o in many) / len(many), sum(o.middle[1] for o in many) / len(many)
        order: dict[str, Callable[[SeenObject], float]] = {
            "leftmost": lambda one: one.middle[0],
            "rightmost": lambda one: -one.middle[0],
            "nearest": lambda one: -one.box[3],
            "farthest": lambda one: one.box[3],
            "middle": lambda one: abs(one.middle[0] - across) + abs(one.middle[1] - down),
        }
        return [min(many, key=order[which])]

    def _distance(self, one: SeenObject) -> float:
        """From where the last target is, in widths of the image."""
        now = getattr(self, "_now", self._last).middle
        return float(((one.middle[0] - now[0]) ** 2 + (one.middle[1] - now[1]) ** 2) ** 0.5 / self._width)


def _thought_of(
    one: SeenObject, size: tuple[int, int], shape: str, reasoning: str, raw: tuple[str, ...] = ()
) -> Thought:
    place = one.location(size)
    attributes = Attributes(one.color, shape, place)
    answer = f"Here is the {one.name} ({place})."
    return Thought(one.name, attributes, answer, reasoning, True, raw, box=one.box)


def _whereabouts(one: SeenObject, size: tuple[int, int]) -> str:
    return f"the {one.name} ({one.location(size)})"
