# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`transformers serve` for a folder of this package: python serve_transformers.py FOLDER PORT. A process of its own.

The stock server, on the CPU in float32; all that is added is the import that makes our vision tower known to it.
"""

from __future__ import annotations

import sys

from transformers.cli.serve import Serve

import llavaseg_ros.reasoning.tight_images  # noqa: F401

if __name__ == "__main__":
    Serve(force_model=sys.argv[1], device="cpu", dtype="float32", host="127.0.0.1", port=int(sys.argv[2]))
