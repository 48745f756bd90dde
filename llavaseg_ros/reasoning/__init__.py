# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The frozen multimodal language model (MLLM) and the chain of thought that turns a command into a described target."""
