# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The image that both models work on, and what is done when memory runs out for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from llavaseg_ros.checks import check_image, is_immutable
from llavaseg_ros.device import free_caches, memory_errors
from llavaseg_ros.errors import NoImage, OutOfMemory
from llavaseg_ros.images import smaller_image
from llavaseg_ros.reasoning.base import MLLM
from llavaseg_ros.reasoning.objects import lists_objects
from llavaseg_ros.segmentation.encoding import Encoding, EncodingLane
from llavaseg_ros.segmentation.segmenter import Encoded, Segmenter

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class CurrentImage:
    """None until `take`. Work that needs memory for it goes through `sparing`.

    made_smaller: images so far that were worked on at a smaller size, because memory ran out.
    """

    def __init__(self, mllm: MLLM, lane: EncodingLane) -> None:
        self.made_smaller = 0
        self._mllm, self._lane = mllm, lane
        self._segmenter: Segmenter | None = None
        self._rgb: np.ndarray | None = None
        self._encoding: Encoding | None = None
        self._smaller = False

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width in pixels; None without an image."""
        return None if self._rgb is None else (self._rgb.shape[0], self._rgb.shape[1])

    def take(self, rgb: np.ndarray, segmenter: Segmenter) -> None:
        """See `LLaVASeg.set_image`. Raises BadRequest, and leaves the old image; OutOfMemory, then there is none."""
        check_image(rgb)
        self.forget()
        keep = is_immutable(rgb) and rgb.flags.c_contiguous
        self._rgb = rgb if keep else np.array(rgb, dtype=np.uint8, order="C", copy=True)
        self._segmenter = segmenter
        try:
            self.sparing(self._encoding_it, self._give, given=False)
        except BaseException:
            self.forget()
            raise

    def forget(self) -> None:
        """Drop it, and everything computed from it."""
        self._rgb = self._encoding = self._segmenter = None
        self._smaller = False
        self._mllm.reset_image()

    def encoding(self) -> Encoding:
        """SAM's encoding, under way or done. Raises NoImage."""
        if self._encoding is None:
            raise NoImage("there is no image yet: set_image comes before a command")
        return self._encoding

    def encoded(self) -> Encoded:
        """The encoding, once it is done; without it there is no image any more, unless a smaller one may do."""
        encoding = self.encoding()
        try:
            with memory_errors("encoding the image"):
                return encoding.result()
        except BaseException as error:
            if self._smaller or not isinstance(error, OutOfMemory):
                self.forget()
            raise

    def sparing(self, doing: str, work: Callable[[], _T], *, given: bool = True) -> _T:
        """Do some work; where memory runs out, free what can be freed, make the image smaller, and do it once more.

        doing: for the error's text. given: both models have the image, and are to be given the smaller one. Raises
        OutOfMemory, and what `work` raises.
        """
        try:
            with memory_errors(doing):
                return work()
        except OutOfMemory as error:
            if self._smaller or self._rgb is None:
                raise
            _log.warning("%s; once more, with a smaller image", str(error))
        # After the block, which keeps the first try's frames and with them its tensors alive.
        self._smaller, self._encoding = True, None
        self.made_smaller += 1
        self._mllm.reset_image()
        free_caches()
        try:
            if given:
                with memory_errors(self._encoding_it):
                    self._give()
            with memory_errors(doing):
                return work()
        except BaseException as error:
            if self._encoding is None:
                self.forget()
            if isinstance(error, OutOfMemory):
                raise OutOfMemory(f"{error} (also with a smaller image)") from error
            raise

    @property
    def _encoding_it(self) -> str:
        height, width = self.shape or (0, 0)
        return f"encoding the image of {width} x {height} px"

    def _give(self) -> None:
        """Give the image to both models."""
        assert self._rgb is not None and self._segmenter is not None
        seen = self._rgb
        if self._smaller and not lists_objects(self._mllm):  # whose boxes are in pixels of the image that it is given
            seen = smaller_image(seen)
        with torch.inference_mode():
            encode = self._segmenter.encode_smaller if self._smaller else self._segmenter.encode
            self._encoding = self._lane.start(partial(encode, self._rgb))
            self._mllm.set_image(seen)
