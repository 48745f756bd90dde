"""Conversations by name: the earlier turns that go to the model with a new command. Thread-safe, free of rclpy."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from llavaseg_ros.reasoning.base import Message

MAX_SESSIONS = 64
MAX_TURNS = 50


class Sessions:
    """Keeps the newest turns of the newest sessions, so that neither many clients nor long talks fill the memory."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, deque[tuple[str, str]]] = OrderedDict()
        self._lock = threading.Lock()

    def history(self, session_id: str, length: int) -> list[Message]:
        """The last `length` turns (a command and its answer each) as messages, oldest first."""
        with self._lock:
            turns = list(self._turns.get(session_id, ()))
        recent = turns[-length:] if length > 0 else []
        return [
            message
            for command, answer in recent
            for message in (Message("user", command), Message("assistant", answer))
        ]

    def add(self, session_id: str, command: str, answer: str) -> None:
        """Note a finished turn."""
        with self._lock:
            self._turns.setdefault(session_id, deque(maxlen=MAX_TURNS)).append((command, answer))
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
            return False, f"there is no session {session_id!r}"
        return True, f"forgot {len(turns)} turns of session {session_id!r}"
