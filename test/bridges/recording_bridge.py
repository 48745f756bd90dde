# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A bridge that keeps what it gets, in a place where the test finds it."""

from __future__ import annotations

from typing import Any


class RecordingBridge:
    made: list[RecordingBridge] = []

    def __init__(self, node: Any, settings: dict[str, Any]) -> None:
        self.settings, self.masks, self.closed = settings, [], False
        RecordingBridge.made.append(self)

    def on_masks(self, masks: Any) -> None:
        self.masks.append(masks)

    def close(self) -> None:
        self.closed = True


class FailingBridge(RecordingBridge):
    def on_masks(self, masks: Any) -> None:
        raise RuntimeError("this one always fails")
