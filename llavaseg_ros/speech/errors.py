# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What can be missing for speech. Each text says what, and how to get it."""

from __future__ import annotations

from llavaseg_ros.errors import ErrorCode, LLaVASegError


class SpeechNotReady(LLaVASegError):
    """A package, a library or the model is missing or unusable. Waiting does not help."""

    code = ErrorCode.MODEL_NOT_READY

    @classmethod
    def missing_extra(cls, error: ImportError) -> SpeechNotReady:
        """A package of the extra `speech` cannot be imported."""
        return cls(f"speech needs packages that are not installed ({error}): pip install 'llavaseg_ros[speech]'")


class MicrophoneAway(LLaVASegError):
    """There is no such microphone, it cannot be opened, or it went away while it was listened to. It may come back."""

    code = ErrorCode.MODEL_NOT_READY
