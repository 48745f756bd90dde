# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Definitions of the messages that an annotated bag holds, our own from the installed .msg files."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from llavaseg_ros.errors import BadRequest

PACKAGE = "llavaseg_ros"
OWN_TYPES = ("TargetMask", "TargetMaskArray", "Answer")


def message_folder() -> Path:
    """Where the package's .msg files are installed. Raises BadRequest when they are not."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        folder = Path(prefix) / "share" / PACKAGE / "msg"
        if all((folder / f"{name}.msg").is_file() for name in OWN_TYPES):
            return folder
    raise BadRequest(
        f"the definitions {', '.join(f'{name}.msg' for name in OWN_TYPES)} of {PACKAGE} are not installed; looked in "
        f"share/{PACKAGE}/msg of {', '.join(filter(None, prefixes))}"
    )


def digest_of(type_name: str, definition: str) -> str:
    """RIHS01 of a message type by its definition in a bag; "" for one that cannot be parsed (IDL, say)."""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(definition, type_name))
        return store.hash_rihs01(type_name)
    except (TypesysError, KeyError, ValueError):
        return ""


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Standard messages and ours."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    folder = message_folder()
    types = {}
    for name in OWN_TYPES:
        types.update(get_types_from_msg((folder / f"{name}.msg").read_text("utf-8"), f"{PACKAGE}/msg/{name}"))
    store.register(types)
    return store
