# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A model's own processor (images, tokenizer, chat template), also where torchvision has no working build.

Processors of the Qwen-VL and SmolVLM families insist on a video processor, and those need torchvision, although a
still image goes through none of it. Where torchvision is missing, such a processor is put together without one.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from llavaseg_ros.segmentation.sam_import import torchvision_works


class _NoVideo:
    """In the place of a video processor: what templates ask of one before they know that there is no video."""

    num_frames = None
    fps = None
    model_input_names: tuple[str, ...] = ()


_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load_processor(folder: Path) -> Any:
    """The processor in a transformers folder. Raises whatever transformers raises for a broken folder."""
    kind = _kind(folder)
    # The PIL backend gives the same pixels whether torchvision is installed or not.
    if kind is None or torchvision_works() or "video_processor" not in inspect.signature(kind.__init__).parameters:
        return AutoProcessor.from_pretrained(folder, backend="pil", **_LOCAL)
    images = AutoImageProcessor.from_pretrained(folder, backend="pil", **_LOCAL)
    tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    settings, _ = kind.get_processor_dict(folder, **_LOCAL)
    known = set(inspect.signature(kind.__init__).parameters)
    options = {key: value for key, value in settings.items() if key in known and not key.endswith("_processor")}
    options.setdefault("chat_template", tokenizer.chat_template)
    return _without_video(kind)(image_processor=images, tokenizer=tokenizer, video_processor=_NoVideo(), **options)


def _kind(folder: Path) -> type[Any] | None:
    """The processor's class, by the model's type."""
    name = PROCESSOR_MAPPING_NAMES.get(AutoConfig.from_pretrained(folder, **_LOCAL).model_type)
    return None if name is None else getattr(transformers, name, None)


def _without_video(kind: type[Any]) -> type[Any]:
    """The class, with leave to have no video processor."""

    def check(self: Any, name: str, argument: Any) -> Any:
        if isinstance(argument, _NoVideo):
            return _NoVideo
        return kind.check_argument_for_proper_class(self, name, argument)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check, "__init__": kind.__init__})


class ImageOnce:
    """An image processor that does its work once for an image, however many turns ask for it."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._result: Any = None

    def forget(self) -> None:
        """The next call is about another image."""
        self._result = None

    def __call__(self, images: Any, **kwargs: Any) -> Any:
        """What the processor returned for the image since `forget`; a copy, for its caller adds keys."""
        if self._result is None:
            self._result = self._processor(images, **kwargs)
        return self._result.copy()

    def size(self) -> tuple[int, int] | None:
        """Width and height of the image after resizing, from the grid of patches that Qwen's processors report."""
        grid = None if self._result is None else self._result.get("image_grid_thw")
        if grid is None:
            return None
        _, rows, columns = (int(n) for n in grid[0])
        patch = int(self._processor.patch_size)
        return columns * patch, rows * patch

    def __getattr__(self, name: str) -> Any:
        if name == "_processor":  # asked for before __init__ ran: by copy, for one
            raise AttributeError(name)
        return getattr(self._processor, name)
