# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The segmentation half on real classes: a tiny official-style ViT SAM, and the small SAM with untrained weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_sam import tiny_vit_sam

from llavaseg_ros.errors import BundleError
from llavaseg_ros.reasoning.object_tower import crop_padding
from llavaseg_ros.segmentation.adapters import AdapterConfig, AttributeAdapters, batch_text, places
from llavaseg_ros.segmentation.backbone import PIXEL_MEAN, PIXEL_STD, LateStages
from llavaseg_ros.segmentation.preprocess import drop_specks, fit_to, roi_of, to_mask, to_pixels
from llavaseg_ros.segmentation.sam import TappedSam, decode_masks, load_official_sam
from llavaseg_ros.segmentation.sam_import import import_segment_anything
from llavaseg_ros.segmentation.segmenter import Segmenter, save_segmenter, steered_masks
from llavaseg_ros.segmentation.small_sam import SmallSamConfig, build_small_sam
from llavaseg_ros.segmentation.text_encoder import MINILM, TextEncoder
from llavaseg_ros.types import Attributes

RED_MUG = Attributes("red", "cylinder with a handle", "front left")


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("segmenter")
    config = SmallSamConfig()
    sam = build_small_sam(config)
    tapped = TappedSam(sam)
    save_segmenter(folder, sam, config, AttributeAdapters(AdapterConfig(tapped.tap_channels, tapped.embed_dim, 384)))
    return folder


@pytest.fixture(scope="module")
def segmenter(small_folder: Path) -> Segmenter:
    return Segmenter.load(small_folder)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def test_segment_anything_imports_and_leaves_no_false_torchvision() -> None:
    code = (
        "from llavaseg_ros.segmentation.sam_import import import_segment_anything, torchvision_works\n"
        "works = torchvision_works()\n"
        "import sys; sa = import_segment_anything(); assert sa.sam_model_registry\n"
        "assert works or 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sam_predictor_works_with_the_lent_functions(picture: np.ndarray) -> None:
    predictor = import_segment_anything().SamPredictor(tiny_vit_sam())
    predictor.set_image(picture)
    masks, _, _ = predictor.predict(
        point_coords=np.array([[80.0, 60.0]]), point_labels=np.array([1]), multimask_output=False
    )
    assert masks.shape == (1, 120, 160)


def test_vit_taps_are_the_outputs_of_the_global_attention_blocks() -> None:
    sam = tiny_vit_sam()
    tapped = TappedSam(sam)
    assert tapped.tap_channels == (32, 32)
    seen: dict[int, torch.Tensor] = {}
    for i in (1, 3):
        sam.image_encoder.blocks[i].register_forward_hook(lambda _m, _i, out, i=i: seen.__setitem__(i, out))
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        got = tapped.encode(pixels)
        assert torch.equal(got.embedding, sam.image_encoder(pixels))
    for tap, block in zip(got.taps, (1, 3), strict=True):
        assert torch.equal(tap, seen[block].permute(0, 3, 1, 2))


@pytest.mark.parametrize("make", [tiny_vit_sam, build_small_sam])
def test_batched_decoding_equals_sams_own_decoder_image_by_image(make) -> None:
    torch.manual_seed(1)
    sam = make()
    grid, dim = sam.prompt_encoder.image_embedding_size[0], sam.mask_decoder.transformer_dim
    images = torch.randn(2, dim, grid, grid)
    sparse, dense = torch.randn(2, 3, dim), torch.randn(2, dim, grid, grid)
    with torch.inference_mode():
        masks, quality = decode_masks(sam, images, sparse, dense)
        for i in range(2):
            own, own_quality = sam.mask_decoder(
                image_embeddings=images[i : i + 1],
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse[i : i + 1],
                dense_prompt_embeddings=dense[i : i + 1],
                multimask_output=False,
            )
            torch.testing.assert_close(masks[i], own[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(quality[i], own_quality[0], atol=1e-4, rtol=1e-4)


def test_untrained_adapters_leave_sams_dense_prompt_alone() -> None:
    adapters = AttributeAdapters(AdapterConfig((8, 8), 16, 12, width=32))
    text, kinds, keep = batch_text([[(0, torch.randn(3, 12)), (1, torch.zeros(0, 12))]])
    out = adapters([torch.randn(1, 8, 4, 4), torch.randn(1, 8, 8, 8)], text, kinds, keep, torch.ones(1, 2))
    assert out.dense.shape == (1, 16, 8, 8) and out.dense.abs().max() == 0
    assert out.sparse.shape == (1, 4, 16) and out.presence.shape == (1,)


def test_words_change_the_prompt_and_padding_does_not() -> None:
    torch.manual_seed(0)
    adapters = AttributeAdapters(AdapterConfig((8,), 16, 12, width=32)).eval()
    torch.nn.init.ones_(adapters.gamma)
    taps, extent = [torch.randn(1, 8, 4, 4)], torch.ones(1, 2)
    red, blue = torch.randn(2, 12), torch.randn(5, 12)
    with torch.inference_mode():
        alone = adapters(taps, *batch_text([[(1, red)]]), extent)
        padded = adapters([taps[0].expand(2, -1, -1, -1)], *batch_text([[(1, red)], [(1, blue)]]), extent.expand(2, -1))
    torch.testing.assert_close(padded.dense[0], alone.dense[0])
    torch.testing.assert_close(padded.presence[:1], alone.presence)
    assert (padded.dense[1] - padded.dense[0]).abs().max() > 1e-3


def test_place_codes_follow_the_image_not_the_padding() -> None:
    full = places(4, 4, torch.tensor([[1.0, 1.0]]))
    # The upper half of a grid whose lower half is padding covers the same picture as a grid of half the height.
    half = places(8, 4, torch.tensor([[1.0, 0.5]]))[:, :16]
    torch.testing.assert_close(half, full)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (720, 1280), (33, 500)])
def test_mask_and_points_come_back_where_they_were(size: tuple[int, int]) -> None:
    height, width = size
    fit = fit_to(height, width, 384, 32)
    assert max(fit.active) == 384 and all(p % 32 == 0 for p in fit.padded)
    x, y = width * 0.25, height * 0.75
    ix, iy = fit.to_input(np.array([x, y]))
    logits = torch.full((fit.padded[0] // 2, fit.padded[1] // 2), -5.0)
    logits[max(0, int(iy / 2) - 1) : int(iy / 2) + 2, max(0, int(ix / 2) - 3) : int(ix / 2) + 4] = 5.0
    mask = to_mask(logits, fit)
    assert mask.shape == size and mask.dtype == bool and mask[int(y), int(x)]
    x0, y0, w, h = roi_of(mask)
    assert x0 <= x <= x0 + w and y0 <= y <= y0 + h


def test_specks_go_and_pieces_stay() -> None:
    mask = np.zeros((40, 40), bool)
    mask[:10, :10] = mask[20:28, 20:26] = True
    mask[39, 39] = True
    assert drop_specks(mask).sum() == 148
    assert roi_of(np.zeros((4, 4), bool)) == (0, 0, 0, 0)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (384, 384)])
def test_tower_sees_what_the_small_sam_sees(size: tuple[int, int]) -> None:
    """LLaVA's square padding is undone: the same pixels at the same place as in the segmenter's input."""
    rgb = np.random.default_rng(1).integers(0, 255, (*size, 3), dtype=np.uint8)
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    fit = fit_to(*size, 384, 32)
    ours = to_pixels(rgb, fit, mean, std)
    square = torch.zeros(1, 3, 384, 384)
    top, left = (384 - fit.active[0]) // 2, (384 - fit.active[1]) // 2
    square[..., top : top + fit.active[0], left : left + fit.active[1]] = ours[..., : fit.active[0], : fit.active[1]]
    cropped, extent = crop_padding(square - 0.01)
    assert cropped.shape == ours.shape
    shift = 1 if top or left else 0  # one line of picture beside the padding is given up
    inner = cropped[..., : fit.active[0] - 2, : fit.active[1] - 2] + 0.01
    dy, dx = (shift if top else 0), (shift if left else 0)
    torch.testing.assert_close(
        inner, ours[..., dy : dy + inner.shape[-2], dx : dx + inner.shape[-1]], atol=1e-5, rtol=0
    )
    assert torch.allclose(extent[0], torch.tensor(fit.extent), atol=0.01)


def test_a_frame_is_encoded_once_and_a_saved_segmenter_gives_the_same(
    segmenter: Segmenter, small_folder: Path, picture: np.ndarray
) -> None:
    again = Segmenter.load(small_folder)
    encoded = segmenter.encode(picture)
    segment, presence = segmenter.segment(encoded, "red mug", RED_MUG)
    other, other_presence = again.segment(again.encode(picture), "red mug", RED_MUG)
    assert 0 <= presence <= 1 and presence == other_presence
    assert (segment is None) == (other is None)
    if segment is not None and other is not None:
        assert segment.mask.shape == picture.shape[:2] and np.array_equal(segment.mask, other.mask)
        assert 0 <= segment.score <= 1 and segment.roi == roi_of(segment.mask)


def test_everything_is_frozen_and_nothing_moves(segmenter: Segmenter, picture: np.ndarray) -> None:
    assert not any(p.requires_grad for p in segmenter.sam.parameters())
    before = {k: v.clone() for k, v in segmenter.sam.state_dict().items()}
    segmenter.segment(segmenter.encode(picture), "ball", Attributes())
    assert all(torch.equal(v, before[k]) for k, v in segmenter.sam.state_dict().items())


def test_click_and_box_go_through_sams_own_ports(segmenter: Segmenter, picture: np.ndarray) -> None:
    encoded = segmenter.encode(picture)
    click = {"points": np.array([[80, 60]], np.float32), "labels": np.array([1])}
    for prompt in (click, {"box": np.array([10, 10, 100, 90], np.float32)}):
        assert segmenter.segment_prompt(encoded, **prompt).mask.shape == picture.shape[:2]


def test_adapters_for_another_sam_are_refused(small_folder: Path, tmp_path: Path) -> None:
    config = json.loads((small_folder / "segmenter.json").read_text())
    config["adapters"]["tap_channels"] = [768, 768, 768, 768]
    (tmp_path / "segmenter.json").write_text(json.dumps(config))
    for name in ("sam.safetensors", "adapters.safetensors"):
        (tmp_path / name).write_bytes((small_folder / name).read_bytes())
    with pytest.raises(BundleError, match="made for a SAM with taps"):
        Segmenter.load(tmp_path)


@pytest.mark.parametrize("name", ["sam.safetensors", "adapters.safetensors", "segmenter.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_files_are_named(small_folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    for path in small_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if damage == "gone":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((small_folder / name).read_bytes()[:100])
    with pytest.raises(BundleError, match=name):
        Segmenter.load(tmp_path)


def test_official_checkpoints_load_weights_only(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="vit_b, vit_h"):
        load_official_sam("vit_x", tmp_path / "a.pth")
    with pytest.raises(BundleError, match="does not exist"):
        load_official_sam("vit_b", tmp_path / "a.pth")


def test_text_encoder_keeps_phrases_and_is_frozen() -> None:
    text = TextEncoder(MINILM)
    assert text("Red  Mug") is text("red mug")
    assert text("").shape == (0, text.dim) and text("red mug").shape[1] == text.dim
    assert text("word " * 200).shape[0] <= 24
    with pytest.raises(BundleError, match="nowhere"):
        TextEncoder("nowhere")


def test_dense_prompt_is_resized_to_the_embedding() -> None:
    sam = tiny_vit_sam()
    adapters = AttributeAdapters(AdapterConfig((8,), 16, 12, width=32)).eval()
    with torch.inference_mode():
        out = adapters([torch.randn(1, 8, 2, 2)], *batch_text([[(0, torch.randn(1, 12))]]), torch.ones(1, 2))
        logits, _ = steered_masks(sam, torch.randn(1, 16, 4, 4), out)
    assert logits.shape == (1, 1, 16, 16)


def test_the_late_stages_begin_at_random_and_training_with_the_wheel() -> None:
    first, second = LateStages("efficientnet-lite2", 64), LateStages("efficientnet-lite2", 64)
    f8 = torch.rand(1, 48, 4, 4)
    assert not torch.equal(first(f8)[1], second(f8)[1])
    for stages in (first, second):
        stages.start_from_wheel()
    assert torch.equal(first(f8)[1], second(f8)[1])
    frozen = [name for name, p in first.named_parameters() if not p.requires_grad]
    assert frozen and all("_depthwise_conv" in name for name in frozen)
