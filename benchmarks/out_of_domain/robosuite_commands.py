# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Commands about robosuite's objects: few phrasings, written by hand, each with exactly one right target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llavaseg_ros.places import location_name
from llavaseg_ros.training.scenes.catalog import load_catalog

from .robosuite_meshes import HEIGHT, MESHES, WIDTH, Seen

UNNAMED = "bread"  # the catalog has no word for it: in commands.jsonl it only stands around
DRINKS = ("milk carton", "can", "bottle")
FRAMES = ("Hand me the {}.", "Please pick up the {}.", "Where is the {}?", "I need the {}.", "Could you get me the {}?")
NAMES = {
    "milk carton": ("milk carton", "carton of milk", "milk"),
    "can": ("can", "soda can", "drink can"),
    "cereal box": ("cereal box", "box of cereal", "cornflakes"),
    "lemon": ("lemon",),
    "bottle": ("bottle",),
    "bread": ("bread", "loaf of bread"),
}
USES = {
    "milk carton": ("I want milk in my coffee.", "The cat wants some milk."),
    "can": ("I would like a soda.", "A cola would be nice."),
    "cereal box": ("It is time for breakfast. What can I eat with milk?", "Get me something to eat with milk."),
    "lemon": ("My tea should be sour.", "Give me something to make lemonade with."),
}
THIRST = ("I am thirsty.", "Bring me something to drink.")
PLACES = {
    "leftmost": ("Take the object on the far left.", "Pick up the leftmost object."),
    "rightmost": ("Take the object on the far right.", "Pick up the rightmost object."),
    "nearest": ("Give me the object that is nearest to the camera.", "Pick up the nearest object."),
    "farthest": ("Give me the object that is farthest away.", "Pick up the farthest object."),
}
ABSENT = ("mug", "banana", "hammer", "scissors", "apple", "book", "plate", "toy car")
ORDER = ("name", "relation", "use", "place", "color", "absent")


@dataclass(frozen=True)
class Command:
    """text asks for the object of kind `target`; found = False: no such object is in the picture."""

    text: str
    kind: str
    target: str
    found: bool = True


def ask_by_name(kind: str, rng: np.random.Generator) -> Command:
    """A command that names the object."""
    return Command(str(rng.choice(FRAMES)).format(rng.choice(NAMES[kind])), "name", kind)


def make_commands(seen: list[Seen], counts: dict[str, int], rng: np.random.Generator, count: int) -> list[Command]:
    """`count` commands of different types for one picture, the types that are rarest so far first.

    counts: type -> commands so far, over all pictures; it is brought up to date.
    """
    out: list[Command] = []
    makers = {"name": _name, "relation": _relation, "use": _use, "place": _place, "color": _color, "absent": _absent}
    for kind in sorted(ORDER, key=lambda k: (counts.get(k, 0), ORDER.index(k))):
        options = makers[kind](seen, rng)
        if options and len(out) < count:
            out.append(options[int(rng.integers(len(options)))])
            counts[kind] = counts.get(kind, 0) + 1
    return out


def row(image: str, command: Command, thing: Seen | None, mask: str | None) -> dict[str, Any]:
    """The line of the command's JSONL file. thing: its target in the picture, None = absent."""
    if thing is None:
        return {"image": image, "command": command.text, "mask": None, "target": command.target, "kind": command.kind}
    mesh = MESHES[command.target]
    categories = load_catalog().categories
    x0, y0, x1, y1 = thing.box
    return {
        "image": image,
        "command": command.text,
        "mask": mask,
        "target": mesh.name,
        "kind": command.kind,
        "attributes": {
            "color": mesh.color,
            "shape": categories[mesh.kind].shape if mesh.kind in categories else "",
            "location": location_name((x0 + x1) / 2, (y0 + y1) / 2, WIDTH, HEIGHT),
        },
        "visible": round(thing.visible, 3),
    }


def _known(seen: list[Seen]) -> list[str]:
    return [thing.stand.kind for thing in seen if thing.stand.kind != UNNAMED]


def _name(seen: list[Seen], rng: np.random.Generator) -> list[Command]:
    return [ask_by_name(kind, rng) for kind in _known(seen)]


def _use(seen: list[Seen], rng: np.random.Generator) -> list[Command]:
    kinds = _known(seen)
    # Where both are there, a person may mean either one.
    unclear = {"can": "bottle", "cereal box": "milk carton"}
    usable = [kind for kind in kinds if kind in USES and unclear.get(kind) not in kinds]
    out = [Command(str(rng.choice(USES[kind])), "use", kind) for kind in usable]
    drinks = [kind for kind in kinds if kind in DRINKS]
    if len(drinks) == 1:
        out.append(Command(str(rng.choice(THIRST)), "use", drinks[0]))
    return out


def _color(seen: list[Seen], rng: np.random.Generator) -> list[Command]:
    kinds = [thing.stand.kind for thing in seen]
    # Some call the cereal box red, some orange: it is never asked for by its color, and nothing red beside it.
    usable = [k for k in _known(seen) if k != "cereal box" and not (k == "can" and "cereal box" in kinds)]
    frame = str(rng.choice(("Hand me the {} thing.", "Pick up the {} object.")))
    return [Command(frame.format(MESHES[kind].color), "color", kind) for kind in usable]


def _place(seen: list[Seen], rng: np.random.Generator) -> list[Command]:
    boxes = {thing.stand.kind: thing.box for thing in seen}
    keys: dict[str, tuple[dict[str, float], float]] = {
        "leftmost": ({k: (b[0] + b[2]) / 2 for k, b in boxes.items()}, 0.08 * WIDTH),
        "rightmost": ({k: -(b[0] + b[2]) / 2 for k, b in boxes.items()}, 0.08 * WIDTH),
        "nearest": ({k: -b[3] for k, b in boxes.items()}, 0.06 * HEIGHT),
        "farthest": ({k: b[3] for k, b in boxes.items()}, 0.06 * HEIGHT),
    }
    out = []
    for place, (values, margin) in keys.items():
        first, second = sorted(values, key=lambda kind: values[kind])[:2]
        if values[second] - values[first] >= margin and first != UNNAMED:
            out.append(Command(str(rng.choice(PLACES[place])), "place", first))
    return out


def _relation(seen: list[Seen], rng: np.random.Generator) -> list[Command]:
    """The one object to one side of another one; no second object is anywhere near that side."""
    frame = str(rng.choice(("What stands {} the {}? Give it to me.", "Hand me the object {} the {}.")))
    out = []
    for reference in seen:
        others = [thing for thing in seen if thing is not reference]
        x0, _, x1, foot = reference.box
        middle = (x0 + x1) / 2
        offsets = {t.stand.kind: ((t.box[0] + t.box[2]) / 2 - middle, t.box[3] - foot) for t in others}
        sides: dict[str, dict[str, tuple[float, float]]] = {
            "left of": {k: (-x, abs(y)) for k, (x, y) in offsets.items()},
            "right of": {k: (x, abs(y)) for k, (x, y) in offsets.items()},
            "in front of": {k: (y, abs(x)) for k, (x, y) in offsets.items()},
            "behind": {k: (-y, abs(x)) for k, (x, y) in offsets.items()},
        }
        for side, reach in sides.items():
            near = [k for k, (along, across) in reach.items() if along > 0.04 * WIDTH and along > 1.2 * across]
            doubtful = [k for k, (along, _) in reach.items() if along > 0 and k not in near]
            if len(near) == 1 and not doubtful and UNNAMED not in (near[0], reference.stand.kind):
                out.append(Command(frame.format(side, reference.stand.kind), "relation", near[0]))
    return out


def _absent(seen: list[Seen], rng: np.random.Generator) -> list[Command]:
    missing = [kind for kind in NAMES if kind != UNNAMED and all(thing.stand.kind != kind for thing in seen)]
    kind = str(rng.choice(missing if missing and rng.uniform() < 0.5 else list(ABSENT)))
    return [Command(str(rng.choice(FRAMES)).format(kind), "absent", kind, found=False)]
