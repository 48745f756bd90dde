# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What must be true of the node's topics in every case, whatever is broken. Pure functions over what an observer saw.

All times are source timestamps of DDS, ns: the moment at which a message was written, on the clock of the machine. They
put messages of different topics into their order, which their arrival does not.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from dataclasses import dataclass, field

ACTIVE, ACTIVATING = "active", "activating"
LEAVING = ("deactivating", "shuttingdown", "errorprocessing")
SILENT = ("unconfigured", "inactive", "finalized")


@dataclass(frozen=True)
class Sent:
    """An image that was sent. size: (height, width), px; None when its data is no whole image."""

    frame_id: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Out:
    """A message of the node. size: (height, width), px, of an image. pixels: a digest of a mask.

    marked: how many pixels are not 0, how many points there are, 0 or 1 for a pose of NaN or of numbers. problem: what
    is wrong with the message by itself.
    """

    topic: str
    at: int
    stamp_ns: int = 0
    frame_id: str = ""
    size: tuple[int, int] | None = None
    marked: int = 0
    pixels: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Masks(Out):
    """A TargetMaskArray."""

    command_id: str = ""
    targets: tuple[Out, ...] = ()


@dataclass(frozen=True)
class Said(Out):
    """An Answer."""

    command_id: str = ""
    command: str = ""
    found: bool = False
    final: bool = True
    error_code: int = 0


@dataclass(frozen=True)
class Transition:
    """A lifecycle transition event."""

    at: int
    start: str
    goal: str


@dataclass
class Record:
    """Everything that was seen. sent: images by stamp, ns. commands: (time, text) of the topics. goals: time by id.

    Ids are in hex. own_images: ids of goals that brought their own image. gone: when the node's process was killed.
    lost: messages a topic lost on the way to the observer. settled: ids of what was answered before `forget`.
    """

    sent: dict[int, list[Sent]] = field(default_factory=dict)
    outputs: list[Out] = field(default_factory=list)
    commands: list[tuple[int, str]] = field(default_factory=list)
    goals: dict[str, int] = field(default_factory=dict)
    own_images: set[str] = field(default_factory=set)
    transitions: list[Transition] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    settled: set[str] = field(default_factory=set)

    def forget(self, images: int) -> None:
        """Forget what was found to be in order, but for the newest images and which goals got their answer."""
        self.settled |= {answer.command_id for answer in self.answers if answer.final}
        self.outputs, self.commands, self.goals = [], [], {}
        for stamp in list(self.sent)[:-images]:
            del self.sent[stamp]

    def of(self, topic: str) -> list[Out]:
        """The messages of one topic, in the order in which they were written."""
        return sorted((out for out in self.outputs if out.topic == topic), key=lambda out: out.at)

    @property
    def answers(self) -> list[Said]:
        """The answers, in order."""
        return [out for out in self.of("answer") if isinstance(out, Said)]

    @property
    def masks(self) -> list[Masks]:
        """The mask arrays, in order."""
        return [out for out in self.of("masks") if isinstance(out, Masks)]


def problems(record: Record) -> list[str]:
    """Every violation, as a sentence; none when the node kept its word."""
    return [
        *_stamps(record),
        *_targets(record),
        *_groups(record),
        *_finals(record),
        *_silence(record),
        *_succession(record),
    ]


def _stamps(record: Record) -> list[str]:
    """Each output belongs to an image that was really sent, and has its size."""
    found = []
    for out in record.outputs:
        found += [f"{_name(out)}: {out.problem}"] if out.problem else []
        if isinstance(out, Said) and not out.stamp_ns and not out.found:
            continue  # no image was reached
        images = record.sent.get(out.stamp_ns, [])
        if not images:
            found.append(f"{_name(out)}: no image with this stamp was sent")
            continue
        # Points and poses may be in another frame (geometry.target_frame).
        moved = out.topic in ("target_points", "scene_points", "target_pose")
        if not moved and out.frame_id not in [image.frame_id for image in images]:
            found.append(f"{_name(out)}: frame {out.frame_id!r} is not that of its image, {images[0].frame_id!r}")
        sizes = {image.size for image in images} - {None}
        if isinstance(out, Said):
            continue
        if not sizes:
            found.append(f"{_name(out)}: its image was broken")
        parts = out.targets if isinstance(out, Masks) else (out,)
        for part in parts:
            if part.problem and part is not out:
                found.append(f"{_name(out)}: {part.problem}")
            if part.size is not None and part.size not in sizes:
                found.append(f"{_name(out)}: size {part.size}; its image has {sorted(map(str, sizes))}")
            if (part.stamp_ns, part.frame_id) != (out.stamp_ns, out.frame_id):
                found.append(f"{_name(out)}: a target's header differs from that of the array")
    return found


def _targets(record: Record) -> list[str]:
    """found: masks with a pixel came for this command. Not found: nothing that could be taken for a target."""
    found = []
    by_id: dict[str, list[Masks]] = {}
    for masks in record.masks:
        by_id.setdefault(masks.command_id, []).append(masks)
        if any(target.marked == 0 for target in masks.targets):
            found.append(f"{_name(masks)}: a target without a pixel")
    for answer in record.answers:
        if not answer.final:
            if answer.found:
                found.append(f"{_name(answer)}: an answer on the way says found")
            continue
        published = by_id.get(answer.command_id, [])
        targets = [masks for masks in published if masks.targets]
        if answer.found and not targets and not record.lost["masks"]:
            found.append(f"{_name(answer)}: says found, but no mask of this command was published")
        if answer.found and answer.error_code not in (0, 5):
            found.append(f"{_name(answer)}: says found with error {answer.error_code}")
        if not answer.found and targets:
            found.append(f"{_name(answer)}: says not found, but {len(targets)} arrays of this command have targets")
    return found


def _groups(record: Record) -> list[str]:
    """What goes out for one image goes out together: points, pose, masks, mask, all with one stamp and one meaning."""
    found = []
    arrays = record.masks
    topics = {topic: record.of(topic) for topic in ("mask", "target_points", "scene_points", "target_pose")}
    times = {topic: [out.at for out in outs] for topic, outs in topics.items()}
    for number, masks in enumerate(arrays):
        before = arrays[number - 1].at if number else 0
        after = arrays[number + 1].at if number + 1 < len(arrays) else 1 << 63
        best = masks.targets[0] if masks.targets else None
        for topic, outs in topics.items():
            place = bisect(times[topic], masks.at) - (topic != "mask")  # points and pose go out before the masks
            partner = outs[place] if 0 <= place < len(outs) else None
            if partner is None or not before < partner.at < after:
                killed = any(masks.at <= gone < after for gone in record.gone)
                if topic != "scene_points" and not (killed or record.lost[topic] or record.lost["masks"]):
                    found.append(f"{_name(masks)}: no {topic} went out with it")
                continue
            if partner.stamp_ns != masks.stamp_ns:
                if not (record.lost[topic] or record.lost["masks"]):
                    found.append(f"{_name(partner)}: went out with {_name(masks)}")
                continue
            if best is None and partner.marked:
                found.append(f"{_name(partner)}: holds a target, but the masks beside it are empty")
            if best is not None and topic == "mask" and partner.pixels != best.pixels:
                found.append(f"{_name(partner)}: is not the best mask of the array beside it")
    return found


def _finals(record: Record) -> list[str]:
    """Exactly one final answer for each command that came while the node was active, and nothing after it."""
    found = []
    finals: dict[str, list[Said]] = {}
    for answer in record.answers:
        if answer.final:
            finals.setdefault(answer.command_id, []).append(answer)
    for command_id, answers in finals.items():
        number = len(answers) + (command_id in record.settled)
        if number > 1:
            found.append(f"command {answers[0].command[:40]!r} ({command_id}) got {number} final answers")
    for answer in record.answers:
        if not answer.final and answer.at > min((a.at for a in finals.get(answer.command_id, [])), default=1 << 63):
            found.append(f"{_name(answer)}: an answer on the way after the final one")
    for command_id, at in record.goals.items():
        if command_id not in finals and command_id not in record.settled and _owed(record, at):
            found.append(f"goal {command_id} got no final answer")
    came = Counter(_key(text) for _, text in record.commands)
    owed = Counter(_key(text) for at, text in record.commands if _owed(record, at))
    told = Counter(_key(a[0].command) for command_id, a in finals.items() if command_id not in record.goals)
    for key in came.keys() | told.keys():
        if not owed[key] <= told[key] <= came[key]:
            found.append(
                f"command {key!r} came {came[key]} times, {owed[key]} of them owed an answer, and got {told[key]} "
                f"final answers ({record.lost['answer']} answers were lost on the way)"
            )
    return found


def _silence(record: Record) -> list[str]:
    """Nothing is published while the node is not active."""
    found = []
    events = sorted(record.transitions, key=lambda event: event.at)
    # Of a process before this one nothing is known but its end.
    begun = max((gone for gone in record.gone if events and gone < events[0].at), default=0)
    silent_since: int | None = begun if events and events[0].start in SILENT else None
    windows: list[tuple[int, int, str]] = []
    state = events[0].start if events else ""
    for event in events:
        if event.goal == ACTIVATING and silent_since is not None:
            windows.append((silent_since, event.at, state))
            silent_since = None
        elif event.goal in SILENT and silent_since is None:
            silent_since, state = event.at, event.goal
    if silent_since is not None:
        windows.append((silent_since, 1 << 63, state))
    for out in record.outputs:
        for start, end, state in windows:
            if start < out.at < end:
                found.append(f"{_name(out)}: published while the node was {state}")
    return found


def _succession(record: Record) -> list[str]:
    """After the masks of a newer command, those of an older one never come back.

    But for a plain question, whose empty masks take no target's place, and a goal with an image of its own.
    """
    questions = {a.command_id for a in record.answers if a.final and not a.found and a.error_code == 0}
    found, over, current = [], set(), ""
    for masks in record.masks:
        command_id = masks.command_id
        if command_id in questions or command_id in record.own_images:
            continue
        if command_id != current:
            over.add(current)
            current = command_id
        if command_id in over:
            found.append(f"{_name(masks)}: masks of an older command after those of a newer one")
    return found


def _owed(record: Record, at: int) -> bool:
    """A command that came at this time must get its answer: the node was active, and nobody took that away after it."""
    events = sorted(record.transitions, key=lambda event: event.at)
    if any(gone > at for gone in record.gone) or any(e.at > at and e.goal in LEAVING for e in events):
        return False
    earlier = [event.goal for event in events if event.at <= at]
    state = earlier[-1] if earlier else (events[0].start if events else ACTIVE)
    return state == ACTIVE


def _key(text: str) -> str:
    return "".join(c for c in text[:500] if c.isascii() and c.isalnum())[:60]


def _name(out: Out) -> str:
    return f"{out.topic} with stamp {out.stamp_ns // 10**9}.{out.stamp_ns % 10**9:09d}"
