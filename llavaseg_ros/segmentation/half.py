# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A segmenter in half precision, for frames that are only followed: half the time on CPUs that compute in bfloat16.

Its masks differ from those in single precision by a few pixels of their edges, which a command's own mask should not,
but a mask that is gone at the next frame may.
"""

from __future__ import annotations

import copy
import time

import numpy as np
import torch

from llavaseg_ros.segmentation.encoder_place import EncoderPlace
from llavaseg_ros.segmentation.frozen_eye import FrozenEye
from llavaseg_ros.segmentation.segmenter import Segmenter
from llavaseg_ros.types import Attributes

_PICTURE = (480, 640, 3)
_TRIES = 3


def half_twin(segmenter: Segmenter) -> Segmenter:
    """The same segmenter in bfloat16. SAM's prompt encoder and the text encoder are shared; its buffers of places need
    single precision."""
    sam = copy.copy(segmenter.sam.sam)
    sam._modules = dict(sam._modules)
    for part in ("image_encoder", "mask_decoder"):
        sam._modules[part] = copy.deepcopy(sam._modules[part]).to(torch.bfloat16)
    tapped = copy.copy(segmenter.sam)
    tapped._modules = {**tapped._modules, "sam": sam}
    adapters = copy.deepcopy(segmenter.adapters)
    return Segmenter(
        tapped,
        None if adapters is None else adapters.to(torch.bfloat16),
        segmenter.text,
        sam_name=segmenter.sam_name,
        device=segmenter.device,
        scale=segmenter.scale,
        encoder=EncoderPlace(torch.bfloat16),
        dtype=torch.bfloat16,
    )


def quick_segmenter(segmenter: Segmenter) -> Segmenter:
    """Which of a small SAM's two precisions is faster here, measured: `segmenter` itself or its twin.

    Of other SAMs, and on a GPU, it is `segmenter`: there the encoder's precision is set by the profile.
    """
    if segmenter.device.type != "cpu" or not isinstance(getattr(segmenter.encoder_module, "eye", None), FrozenEye):
        return segmenter
    twin = half_twin(segmenter)
    seconds = {id(one): [_once(one) for _ in range(_TRIES)] for one in (segmenter, twin)}
    # The least of a few: what a busy machine adds is not the segmenter's.
    return twin if min(seconds[id(twin)]) < min(seconds[id(segmenter)]) else segmenter


def _once(segmenter: Segmenter) -> float:
    rgb = np.random.default_rng(0).integers(0, 256, _PICTURE, dtype=np.uint8)  # the eye knows the last picture
    rgb[0, 0] = time.perf_counter_ns() % 251
    started = time.perf_counter()
    encoded = segmenter.encode(rgb)
    if segmenter.adapters is not None:
        segmenter.segment(encoded, "cup", Attributes("red"))
    return time.perf_counter() - started
