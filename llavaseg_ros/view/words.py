# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Error codes in words for the page: what has happened, and what a person can do about it."""

from __future__ import annotations

from llavaseg_ros.errors import ErrorCode

# The first sentence stands alone; error_msg of the node says the particulars.
WORDS: dict[ErrorCode, str] = {
    ErrorCode.NONE: "",
    ErrorCode.NO_IMAGE: "No camera image has come. Is the camera running, and its topic the right one?",
    ErrorCode.STALE_IMAGE: "The newest camera image is too old. Look at the driver, the network and the clocks.",
    ErrorCode.NOT_FOUND: "The target is not in the image.",
    ErrorCode.EMPTY_MASK: "The target was named, but no pixel could be given to it.",
    ErrorCode.NO_DEPTH: "The target was found, but there is no depth for it: a mask, no position.",
    ErrorCode.TIMEOUT: "It took too long and was given up.",
    ErrorCode.OUT_OF_MEMORY: "The model ran out of memory. A smaller model may fit.",
    ErrorCode.MODEL_NOT_READY: "The model is not ready.",
    ErrorCode.PREEMPTED: "Canceled, or replaced by a newer command.",
    ErrorCode.BAD_REQUEST: "The command cannot be used as it is.",
    ErrorCode.BAD_REPLY: "The language model's reply could not be read.",
    ErrorCode.UNKNOWN: "Something failed that should not. The node's log has more.",
}

# Outcomes that are no failure of the node.
CALM = (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.PREEMPTED)


def in_words(code: int) -> tuple[str, str]:
    """(name, sentence) of an error code; a code that this version does not know is UNKNOWN with its number."""
    try:
        known = ErrorCode(code)
    except ValueError:
        return f"CODE {code}", WORDS[ErrorCode.UNKNOWN]
    return known.name, WORDS[known]
