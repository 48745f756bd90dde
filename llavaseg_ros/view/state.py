# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""All that the page shows besides its pictures. Written by ROS callbacks, read by the server's threads."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.view.records import CANCELED, DONE, FAILED, RUNNING, Record

HISTORY_LENGTH = 50
SILENT_S = 3.5  # /diagnostics comes once a second


@dataclass
class NodeStatus:
    """What /diagnostics says of the node, and when it said so (monotonic seconds; None = never)."""

    level: str = "silent"
    text: str = ""
    values: dict[str, str] = field(default_factory=dict)
    at: float | None = None


@dataclass
class Camera:
    """The camera as the viewer sees it. arrived, depth_arrived: monotonic seconds of the newest frame, None before the
    first.

    depth_span_m: nearest and farthest depth of the depth picture's colors, None without any.
    """

    arrived: float | None = None
    rate_hz: float = 0.0
    width: int = 0
    height: int = 0
    frame_id: str = ""
    depth_arrived: float | None = None
    depth_span_m: tuple[float, float] | None = None


@dataclass
class Masks:
    """The masks that came last. age_s: called with nothing, seconds since the stamp of their image."""

    command_id: str
    command: str
    targets: list[dict[str, Any]]
    age_s: Callable[[], float]
    kind: str = "command"  # or "points": of a click


class ViewState:
    """Thread-safe. `version` grows with every change; `wait` lets a stream of events sleep until it does."""

    def __init__(self, node_name: str) -> None:
        self.node_name = node_name
        self.node, self.camera = NodeStatus(), Camera()
        self.masks: Masks | None = None
        self.services: dict[str, bool] = {"segment": False, "follow": False, "prompt": False}
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._pictures: dict[str, int] = {}
        self._changed = threading.Condition()
        # version: anything at all; the other two: without the pictures, and the history alone.
        self.version = self.state_version = self.history_version = 0

    # --- commands ---

    def begin(self, command_id: str, command: str, source: str, *, ago_s: float = 0.0) -> None:
        """A command was given, `ago_s` seconds ago."""
        with self._changed:
            self._records[command_id] = Record(command_id, command, source, time.time() - ago_s)
            while len(self._records) > HISTORY_LENGTH:
                self._records.popitem(last=False)
            self._touch(history=True)

    def feedback(self, command_id: str, stage: str, partial: str, elapsed_s: float) -> None:
        """A command from here goes on, or did: this may come after the answer."""
        with self._changed:
            record = self._records.get(command_id)
            if record is not None:
                record.stage(stage, elapsed_s)
                if record.status == RUNNING:
                    record.partial = partial or record.partial
                self._touch(history=record.status != RUNNING)

    def answer(self, msg: Any, *, latency_s: float, age_s: float = 0.0) -> None:
        """An `Answer` (or any object with its fields). age_s: of its image; the latched one may be from long ago."""
        with self._changed:
            if msg.command_id not in self._records:
                self.begin(msg.command_id, msg.command, "topic", ago_s=max(latency_s, age_s))
            record = self._records[msg.command_id]
            if not msg.final:
                record.partial = msg.text
                self._touch()
                return
            record.text, record.reasoning, record.found = msg.text, msg.reasoning, bool(msg.found)
            record.error_code, record.error_msg = int(msg.error_code), msg.error_msg
            canceled = msg.error_code == ErrorCode.PREEMPTED
            # A target without depth is still a target: its mask went out.
            done = record.found or msg.error_code in (ErrorCode.NONE, ErrorCode.NOT_FOUND)
            record.end(CANCELED if canceled else DONE if done else FAILED, latency_s)
            self._touch(history=True)

    def fail(self, command_id: str, code: ErrorCode, text: str) -> None:
        """A command from here ended without an answer: the node refused it, or went away."""
        with self._changed:
            record = self._records.get(command_id)
            if record is not None and record.status == RUNNING:
                record.error_code, record.error_msg = int(code), text
                record.end(FAILED, time.monotonic() - record.started)
                self._touch(history=True)

    def running(self) -> list[str]:
        """The ids of commands from here that have not ended."""
        with self._changed:
            return [r.id for r in self._records.values() if r.status == RUNNING and r.source == "page"]

    # --- the rest ---

    def set_masks(self, masks: Masks) -> None:
        """Masks have come; those of a command also belong to its record."""
        with self._changed:
            self.masks = masks
            record = self._records.get(masks.command_id)
            if record is not None:
                record.targets = masks.targets
            self._touch()

    def set_node(self, level: str, text: str, values: dict[str, str]) -> None:
        """/diagnostics has come."""
        with self._changed:
            self.node = NodeStatus(level, text, values, time.monotonic())
            self._touch()

    def set_services(self, **there: bool) -> None:
        """Which of the node's services can be called now."""
        with self._changed:
            if any(self.services.get(name) != value for name, value in there.items()):
                self.services.update(there)
                self._touch()

    def new_picture(self, *names: str) -> None:
        """There are other pictures to fetch under these names."""
        with self._changed:
            for name in names:
                self._pictures[name] = self._pictures.get(name, 0) + 1
            self.version += 1
            self._changed.notify_all()

    def pictures(self) -> dict[str, int]:
        """Number of each picture; another number means another picture."""
        with self._changed:
            return dict(self._pictures)

    def wait(self, version: int, timeout_s: float) -> int:
        """Sleep until the version is another than this one, or the time is up. Returns the version."""
        with self._changed:
            self._changed.wait_for(lambda: self.version != version, timeout_s)
            return self.version

    def close(self) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._touch()

    def snapshot(self) -> dict[str, Any]:
        """What the page shows now, without the history. Ages are seconds at this moment; the page lets them grow."""
        with self._changed:
            node, camera, masks, now = self.node, self.camera, self.masks, time.monotonic()
            silent_s = None if node.at is None else now - node.at
            silent = silent_s is None or silent_s > SILENT_S
            last = max(self._records.values(), key=lambda record: record.at, default=None)
            return {
                "node": {
                    "name": self.node_name,
                    "level": "silent" if silent else node.level,
                    "text": self._silence(silent_s) if silent else node.text,
                    "values": node.values,
                },
                "camera": {
                    "age_s": None if camera.arrived is None else now - camera.arrived,
                    "rate_hz": camera.rate_hz,
                    "width": camera.width,
                    "height": camera.height,
                    "frame_id": camera.frame_id,
                    "depth_age_s": None if camera.depth_arrived is None else now - camera.depth_arrived,
                    "depth_span_m": camera.depth_span_m,
                },
                "masks": None
                if masks is None
                else {
                    "command": masks.command,
                    "command_id": masks.command_id,
                    "kind": masks.kind,
                    "targets": masks.targets,
                    "age_s": masks.age_s(),
                },
                "record": last.as_json() if last is not None else None,
                "follow": node.values.get("follow state", "off") if not silent else "unknown",
                "services": dict(self.services),
                "pictures": dict(self._pictures),
            }

    def history(self) -> list[dict[str, Any]]:
        """Every command that is kept, the newest first."""
        with self._changed:
            # By time: an answer that was latched before the viewer came may arrive after a new command.
            records = sorted(self._records.values(), key=lambda record: record.at, reverse=True)
            return [record.as_json() for record in records]

    def _silence(self, silent_s: float | None) -> str:
        if silent_s is None:
            return f"nothing has been heard of {self.node_name}: is it running, in this ROS domain?"
        return f"nothing has been heard of {self.node_name} for {silent_s:.0f} s"

    def _touch(self, *, history: bool = False) -> None:
        self.version += 1
        self.state_version += 1
        self.history_version += history
        self._changed.notify_all()
