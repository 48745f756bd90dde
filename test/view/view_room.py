# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `llavaseg` with a scripted model, and a viewer beside it."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from fake_backend import Reply, request
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from ros_harness import Stack, spin_in_thread, wait_until
from scripted_pipeline import ScriptedPipeline

from llavaseg_ros.nodes.viewer import Viewer


class Room:
    """A stack and a viewer in its namespace."""

    def __init__(self, pipeline: Any = None, **parameters: Any) -> None:
        self.stack = Stack(pipeline or ScriptedPipeline()).wait_ready()
        self.viewer = Viewer(
            namespace=self.stack.namespace,
            context=self.stack.context,
            use_global_arguments=False,
            parameter_overrides=[Parameter("port", value=0), *(Parameter(n, value=v) for n, v in parameters.items())],
        )
        self._executor = MultiThreadedExecutor(4, context=self.stack.context)
        self._executor.add_node(self.viewer)
        self._spinner = spin_in_thread(self._executor)
        if "node" not in parameters:
            # The page knows of the node by its diagnostics, which may come before its action is found.
            wait_until(self.viewer.commands._action.server_is_ready, what="the action")

    def post(self, path: str, **body: Any) -> Reply:
        return request(self.viewer.server, "POST", path, body=body)

    def get(self, path: str) -> Reply:
        return request(self.viewer.server, "GET", path)

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.get("/api/state").json["state"])

    def send_image(self, rgb: np.ndarray | None = None, **arguments: Any) -> Any:
        """A frame that both nodes have got."""
        before = self.viewer.images.count
        msg = self.stack.send_image(rgb, **arguments)
        end = time.monotonic() + 60.0
        while self.viewer.images.count == before:
            assert time.monotonic() < end, "the viewer never got the image"
            self.stack._camera.publish(msg)
            time.sleep(0.05)
        return msg

    def ask(self, text: str) -> dict[str, Any]:
        """Send a command from the page; its record when it has ended."""
        reply = self.post("/api/command", text=text)
        assert reply.status == 200, reply.body
        return self.ended(reply.json["id"])

    def ended(self, command_id: str) -> dict[str, Any]:
        def look() -> Any:
            records = {record["id"]: record for record in self.get("/api/state").json["history"]}
            found = records.get(command_id)
            return found if found is not None and found["status"] != "running" else None

        return dict(wait_until(look, what="the command's end"))

    def picture(self, name: str) -> np.ndarray:
        reply = self.get(f"/frame/{name}.jpg")
        assert reply.status == 200, reply.body
        return np.asarray(cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_COLOR))[:, :, ::-1].astype(int)

    def close(self) -> None:
        self.viewer.close()
        self._executor.shutdown(timeout_sec=20.0)
        self.viewer.destroy_node()
        self.stack.close()
        self._spinner.join(20.0)
