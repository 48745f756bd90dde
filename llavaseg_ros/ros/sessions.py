# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Conversations by name: what was said and found before a new command. Thread-safe, free of rclpy."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from llavaseg_ros.reasoning.base import Message
from llavaseg_ros.types import Referent

MAX_SESSIONS = 64
MAX_TURNS = 50
# Of a command or an answer: what a later command refers to stands in its first sentences.
MAX_TURN_LENGTH = 2000


@dataclass(frozen=True)
class Turn:
    """A command, its answer, and the target that was found, None if none was."""

    command: str
    answer: str
    target: Referent | None = None


class Sessions:
    """Keeps the newest turns of the newest sessions, so that neither many clients nor long talks fill the memory."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._turns)

    def recall(self, session_id: str, length: int) -> tuple[list[Message], Referent | None]:
        """The last `length` turns as messages, oldest first, and the newest target that was found in them."""
        with self._lock:
            turns = list(self._turns.get(session_id, ()))
        recent = turns[-length:] if length > 0 else []
        said = [
            message
            for turn in recent
            for message in (Message("user", turn.command), Message("assistant", turn.answer))
        ]
        return said, next((turn.target for turn in reversed(recent) if turn.target is not None), None)

    def add(self, session_id: str, command: str, answer: str, target: Referent | None = None) -> None:
        """Note a finished turn."""
        turn = Turn(command[:MAX_TURN_LENGTH], answer[:MAX_TURN_LENGTH], target)
        with self._lock:
            self._turns.setdefault(session_id, deque(maxlen=MAX_TURNS)).append(turn)
            self._turns.move_to_end(session_id)
            while len(self._turns) > MAX_SESSIONS:
                self._turns.popitem(last=False)

    def reset(self, session_id: str) -> tuple[bool, str]:
        """Forget a session, or all of them with "*". (False, why) when there is no such session."""
        with self._lock:
            if session_id == "*":
                number = len(self._turns)
                self._turns.clear()
                return True, f"forgot {number} sessions"
            turns = self._turns.pop(session_id, None)
        if turns is None:
            return False, f"there is no session {session_id[:80]!r}"
        return True, f"forgot {len(turns)} turns of session {session_id[:80]!r}"
