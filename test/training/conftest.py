# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A pack of objects and its renderer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llavaseg_ros.training.scenes.packs import Pack
    from llavaseg_ros.training.scenes.render import SceneRenderer


@pytest.fixture(scope="module")
def pack() -> Pack:
    """A training pack, objects and table tops."""
    from llavaseg_ros.training.scenes.packs import make_pack

    return make_pack(7, 0)


@pytest.fixture(scope="module")
def renderer(off_screen: None, pack: Pack) -> Iterator[SceneRenderer]:
    """A renderer of `pack`."""
    from llavaseg_ros.training.scenes.render import SceneRenderer

    with SceneRenderer(pack) as out:
        yield out
