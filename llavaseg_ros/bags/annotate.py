# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Annotates one bag: masks, answers and overlays of its frames into a new bag, resumable at any moment."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from heapq import merge
from pathlib import Path
from typing import Any

import llavaseg_ros
from llavaseg_ros.bags.frames import FrameReader
from llavaseg_ros.bags.lifting import BagLifter
from llavaseg_ros.bags.looking import Looking
from llavaseg_ros.bags.options import Options
from llavaseg_ros.bags.reading import Bag, open_bag
from llavaseg_ros.bags.segments import CUSTOM_KEY, BagWriter, OutMessage, Segments, job_of
from llavaseg_ros.bags.state import Counts, State
from llavaseg_ros.bags.topics import CameraTopics, choose_topics
from llavaseg_ros.errors import BadRequest
from llavaseg_ros.files import named_errors

# A segment is ended after so long or so many frames: what a kill costs at most.
SEGMENT_S, SEGMENT_FRAMES = 10.0, 200

OnFrame = Callable[[int, int], None]
"""Called with (frames done, frames expected) at the start and after every frame."""


@dataclass
class Summary:
    """What came of one bag. path: the new bag. problems: what is wrong with the old one. done_before: nothing to do."""

    path: Path
    counts: Counts
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    done_before: bool = False


def annotated_path(bag: Path, out: Path) -> Path:
    """Folder of the new bag for an input, in the folder `out`."""
    name = bag.resolve().name if bag.is_dir() else bag.stem
    return out / f"{name}_llavaseg"


class BagJob:
    """One bag and its options. Making one checks everything that can be checked without a model.

    Raises BadRequest: the bag cannot be read or has no camera; the new bag exists and is another one; what is
    unfinished is another job's. restart: throw away what is there.
    """

    def __init__(self, bag: Path, out: Path, options: Options, *, restart: bool = False) -> None:
        self.options = options
        self.target = annotated_path(bag, out)
        self.bag: Bag = open_bag(bag)
        self.topics: CameraTopics = choose_topics(
            self.bag,
            image=options.image,
            camera_info=options.camera_info,
            depth=options.depth,
            depth_camera_info=options.depth_camera_info,
        )
        own = options.prefix.strip("/")
        taken = [name for name in self.bag.topics if name.strip("/").startswith(f"{own}/")]
        if options.copy and taken:
            raise BadRequest(
                f"{bag} has {', '.join(taken)} already: with --copy the new topics would mix with them; give another "
                "--prefix"
            )
        # Through JSON, so that it compares equal with what was read from a file.
        self.job: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "bag": str(bag.resolve()),
                    "bytes": self.bag.size(),
                    "version": llavaseg_ros.__version__,
                    **asdict(options),
                }
            )
        )
        self.done = not restart and self.target.exists() and self._check_done()
        if restart and self.target.exists() and job_of(self.target) is None:
            raise BadRequest(f"{self.target} was not made by `llavaseg annotate`; it is left alone")
        self._restart = restart
        self._segments = Segments(self.target.with_name(f"{self.target.name}.part"), self.job)
        with named_errors(self._segments.folder):
            self._state = State() if self.done else self._segments.open(restart=restart)

    @property
    def expected(self) -> int:
        """Frames that there should be."""
        count = self._reader().expected()
        return min(count, self.options.limit) if self.options.limit else count

    @property
    def done_frames(self) -> int:
        """Frames that an earlier run has done."""
        return self._state.counts.frames

    def release(self) -> None:
        """Let another process, or another job, have this bag."""
        self._segments.release()

    def run(self, model: Any, on_frame: OnFrame | None = None) -> Summary:
        """Do what is left, and write the new bag. model: has the methods of `LLaVASeg`; None does if `done`.

        A KeyboardInterrupt, or any other exception, leaves what is done for the next run. OSError names the new bag
        when the disk is full.
        """
        if self.done:
            return Summary(self.target, Counts(**_counts_of(self.target)), done_before=True)
        with named_errors(self.target):
            return self._run(model, on_frame)

    def _run(self, model: Any, on_frame: OnFrame | None) -> Summary:
        report = on_frame or (lambda *_: None)
        state, expected = self._state, self.expected
        report(state.counts.frames, expected)
        looking = Looking(model, self.options, state, BagLifter(self.bag, self.topics))
        reader = self._reader()
        started, frames = time.monotonic(), 0
        try:
            for frame in reader.frames():
                if self.options.limit and frame.number >= self.options.limit * self.options.every:
                    break
                if frame.number < state.next_frame:
                    continue
                self._segments.write(looking.look(frame))
                state.next_frame = frame.number + 1
                frames += 1
                report(state.counts.frames, expected)
                if frames >= SEGMENT_FRAMES or time.monotonic() - started > SEGMENT_S:
                    self._segments.commit(state)
                    started, frames = time.monotonic(), 0
            self._segments.commit(state)
        except BaseException:
            self._segments.abort()
            raise
        state.counts.broken += reader.broken
        self._finish(state)
        return Summary(self.target, state.counts, list(self.bag.problems), list(self.topics.notes))

    def _reader(self) -> FrameReader:
        return FrameReader(self.bag, self.topics, self.options.every)

    def _finish(self, state: State) -> None:
        """Merge the segments, and the input if it is to be copied, into the new bag; it appears when it is whole."""
        if not state.counts.frames:
            first = f"; the first: {state.counts.first_error}" if state.counts.first_error else ""
            raise BadRequest(
                f"{self.bag.path}: not one of {self._reader().expected()} images of {self.topics.image} can be used"
                f"{first}"
            )
        result = self._segments.room_for_result(self.target.name)
        record = {**self.job, "counts": asdict(state.counts)}
        writer = BagWriter(result, {CUSTOM_KEY: json.dumps(record, ensure_ascii=False)})
        try:
            if self.options.copy:
                for topic in self.bag.topics.values():
                    writer.declare(topic.name, topic.type_name, topic)
            for name, type_name in Looking.topics(self.options).items():
                writer.declare(name, type_name)
            for message in self._all_messages():
                writer.write(message)
            writer.close()
        except BaseException:
            writer.abort()
            raise
        if self._restart and self.target.exists():
            shutil.rmtree(self.target)
        os.replace(result, self.target)
        self._segments.remove()

    def _all_messages(self) -> Iterable[OutMessage]:
        if not self.options.copy:
            return self._segments.messages()
        return merge(self._input(), self._segments.messages(), key=lambda message: message.log_ns)

    def _input(self) -> Iterator[OutMessage]:
        for message in self.bag.messages():
            yield OutMessage(message.topic, self.bag.topics[message.topic].type_name, message.log_ns, message.data)

    def _check_done(self) -> bool:
        """The new bag is there and is of this very job. Raises BadRequest when it is something else."""
        found = job_of(self.target)
        if found is None:
            raise BadRequest(f"{self.target} exists and was not made by `llavaseg annotate`; give another --out")
        different = [name for name, value in self.job.items() if found.get(name) != value]
        if different:
            raise BadRequest(
                f"{self.target} exists, with other {', '.join(different)}; give another --out, or --restart to make it "
                "anew"
            )
        return True


def _counts_of(bag: Path) -> dict[str, Any]:
    return dict((job_of(bag) or {}).get("counts", {}))
