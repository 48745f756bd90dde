# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The tests of the page use the node's harness and its scripted pipeline."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Tests talk to themselves only. Before the first context is made.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))

from fake_backend import NotingBackend, Serve
from view_room import Room

from llavaseg_ros.view.server import ViewServer


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(host="127.0.0.1", token="", **attributes) -> a server that runs; attributes are set before it starts."""
    servers = []

    def make(host: str = "127.0.0.1", *, token: str = "", names: tuple[str, ...] = (), **attributes: Any) -> ViewServer:
        server = ViewServer(NotingBackend(), host, 0, token=token, names=names)
        servers.append(server)
        for name, value in attributes.items():
            setattr(server, name, value)
        return server.start()

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def make_room() -> Iterator[Callable[..., Room]]:
    """make_room(pipeline=ScriptedPipeline(), **parameters of the viewer) -> a Room that is ready."""
    rooms: list[Room] = []

    def make(*arguments: Any, **parameters: Any) -> Room:
        rooms.append(Room(*arguments, **parameters))
        return rooms[-1]

    yield make
    for room in rooms:
        room.close()
