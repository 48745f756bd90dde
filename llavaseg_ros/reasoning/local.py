# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A frozen MLLM on this machine: any image-text-to-text model of transformers, with its processor and chat template."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from llavaseg_ros.checkpoints import broken_folder, check_finite, check_transformers_folder, no_network
from llavaseg_ros.errors import BadRequest, BundleError, Cancelled
from llavaseg_ros.reasoning.base import ConversationTooLong, Message, OnToken, ShouldCancel
from llavaseg_ros.reasoning.generation import Generation, TransformersGeneration, Watch, greedy
from llavaseg_ros.reasoning.guard import TextGuard, is_markup
from llavaseg_ros.reasoning.lean import LeanLlama
from llavaseg_ros.reasoning.objects import SeenObject
from llavaseg_ros.reasoning.prefix import prefix_of
from llavaseg_ros.reasoning.processor import ImageOnce, load_processor
from llavaseg_ros.reasoning.quantize import quantized, weight_count
from llavaseg_ros.reasoning.static import StaticGeneration

# Model types that this package adds to transformers, and the module whose import registers each.
_OWN_TYPES = {"llavaseg_object_tower": "llavaseg_ros.reasoning.tight_images"}
DECODINGS = ("auto", "static", "reuse", "plain")


class LocalMLLM:
    """An MLLM run by transformers in this process; implements the protocol of `base.MLLM`.

    The model is frozen: evaluation mode, no parameter takes a gradient, and nothing here writes to a weight.
    One user at a time.

    decoding: how replies are made, which never changes them. "plain": transformers' generate, the whole conversation
    anew every time. "reuse": the same, with the conversation so far kept, so that the image passes through the vision
    tower and the language model once a frame. "static": where the model can, that on a static cache, with a compiled
    step on a GPU (`static.py`); else as "reuse". "auto": by `lean.py` where it supports the model; else, on a GPU, as
    "static"; else as "reuse".
    """

    def __init__(self, model: Any, processor: Any, *, decoding: str = "auto", name: str = "") -> None:
        self.model = model.eval().requires_grad_(False)
        self.processor = copy.copy(processor)  # its image processor is replaced below, for this object alone
        self.name = name
        self._tokenizer = processor.tokenizer
        self._guard = _make_guard(processor)
        self._accepted = set(inspect.signature(model.forward).parameters)
        self._context = _context_length(model.config)
        self._generation = _make_generation(model, decoding)
        self._image: Image.Image | None = None
        self._once = ImageOnce(processor.image_processor)
        self.processor.image_processor = self._once
        self._tokens: torch.Tensor | None = None  # the vision tower's, of the current image
        if self.vision_tower is not None and hasattr(self.vision_tower, "read"):
            self.vision_tower.register_forward_hook(self._keep_tokens)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | str = "auto",
        quantization: str = "none",
        attention: str = "auto",
        decoding: str = "auto",
    ) -> LocalMLLM:
        """Load a transformers folder (config, safetensors, tokenizer, processor). No network, no code from the folder.

        dtype: "float32", "bfloat16", "float16", or "auto": float32 on the CPU, the checkpoint's own on a GPU.
        quantization: "none", "int8" or "int4", of the language model's matrices; its vision tower keeps dtype.
        attention: one of transformers' attn_implementation, or "auto" for its own choice. decoding: see the class.
        Raises BundleError, naming the folder, if anything is missing, truncated or does not fit.
        """
        path, device = Path(folder), torch.device(device)
        _look_at_config(path)
        if dtype == "auto" and device.type == "cpu":
            dtype = torch.float32
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        how: dict[str, Any] = {} if attention == "auto" else {"attn_implementation": attention}
        if quantization != "none":
            how |= {"quantization_config": quantized(quantization, dtype), "device_map": {"": device}}
        with broken_folder(f"the language model in {path}"), _no_progress_bars(), no_network():
            processor = load_processor(path)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                path, dtype=dtype, use_safetensors=True, output_loading_info=True, **options, **how
            )
            model, info = loaded
        if missing := sorted(info["missing_keys"]):
            raise BundleError(f"the language model in {path} lacks {len(missing)} weights, {missing[0]} among them")
        if getattr(processor, "chat_template", None) is None:
            raise BundleError(f"the language model in {path} has no chat template (chat_template.jinja)")
        if quantization == "none":  # else it is there already, and must not be moved
            model = model.to(device)
        check_finite(model, path)
        with broken_folder(f"the language model in {path}"):
            _check_template(processor, path)
            return cls(model, processor, decoding=decoding, name=path.name)

    def set_image(self, rgb: np.ndarray) -> None:
        """Take the image of the conversations to come: uint8 [H, W, 3], RGB. It is encoded by the first reply."""
        self.reset_image()
        self._image = Image.fromarray(rgb)

    def reset_image(self) -> None:
        """Forget the image and all that was computed from it."""
        self._image = None
        self._once.forget()
        self._generation.forget()
        self._tokens = None

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        """Continue a conversation by one assistant turn, decoded greedily; see `base.MLLM.reply`."""
        if should_cancel is not None and should_cancel():
            raise Cancelled("cancelled before the first token")
        inputs = self._inputs(messages)
        length = inputs["input_ids"].shape[1]
        if self._context and length + max_new_tokens > self._context:
            raise ConversationTooLong(
                f"the conversation takes {length} tokens and a reply up to {max_new_tokens}, the model's context is "
                f"{self._context}: shorten the command or reset the session"
            )
        watch = Watch(self._tokenizer, on_token, should_cancel)
        tokens = self._generation.generate(inputs, max_new_tokens=max_new_tokens, watch=watch)
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def seen_size(self) -> tuple[int, int] | None:
        """Width and height in pixels of the image as the processor resized it; None for processors that do not say."""
        return self._once.size()

    def seen_objects(self) -> tuple[SeenObject, ...]:
        """What the vision tower lists of the current image, left to right; empty for other towers, or without an
        image. Costs nothing after a reply about the image."""
        tower, image = self.vision_tower, self._image
        if image is None or tower is None or not hasattr(tower, "read"):
            return ()
        if self._tokens is None:
            with torch.inference_mode():
                tower(pixel_values=self._inputs([Message("user", "")])["pixel_values"])
        assert self._tokens is not None
        return tuple(tower.read(self._tokens, image.size))

    def _keep_tokens(self, _tower: Any, _inputs: Any, output: Any) -> None:
        self._tokens = output.last_hidden_state[0].detach()

    @property
    def vision_tower(self) -> Any:
        """The module that sees, None where the family calls it otherwise."""
        return getattr(self.model.model, "vision_tower", None)

    def describe(self) -> dict[str, Any]:
        """Family, size, device, dtype and context length."""
        quantization = getattr(self.model.config, "quantization_config", None)
        return {
            "name": self.name,
            "family": self.model.config.model_type,
            "parameters": weight_count(self.model),
            "weight_bytes": sum(p.numel() * p.element_size() for p in self.model.parameters()),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "quantization": "none" if quantization is None else _bits(quantization),
            "device": str(self.model.device),
            "context_tokens": self._context,
            "prefix_reuse": self._generation.reuses_prefix,
            "decoding": self._generation.describe(),
        }

    def _inputs(self, messages: Sequence[Message]) -> dict[str, torch.Tensor]:
        """Token ids and pixels of a conversation, by the model's own template; only what its forward takes."""
        if not messages or messages[-1].role != "user":
            raise BadRequest("a conversation must end with a turn of the user")
        conversation: list[dict[str, Any]] = []
        image = self._image
        for message in messages:
            content: list[dict[str, Any]] = [{"type": "text", "text": self._guard.clean(message.text)}]
            if message.role == "user" and image is not None:
                content.insert(0, {"type": "image", "image": image})
                image = None
            conversation.append({"role": message.role, "content": content})
        batch = self.processor.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        self._check_ids(batch["input_ids"])
        batch = batch.to(self.model.device, dtype=self.model.dtype)  # casts floating point only
        return {key: value for key, value in batch.items() if key in self._accepted}


    def _check_ids(self, ids: torch.Tensor) -> None:
        """Raises BundleError for a token that the model has no row for: on a GPU it would end the process."""
        rows = getattr(self.model.get_input_embeddings(), "num_embeddings", 0)
        image = getattr(self.model.config, "image_token_id", None)  # some have one beyond the rows
        words = ids if image is None else ids[ids != image]
        if rows and words.numel() and not 0 <= int(words.min()) <= int(words.max()) < rows:
            raise BundleError(
                f"the tokenizer of {self.name} gives token {int(words.max())}, the model knows {rows}: one of the two "
                "is damaged, or they do not belong together"
            )


def _check_template(processor: Any, folder: Path) -> None:
    """Raises BundleError unless the chat template writes every turn, in order. What it raises passes."""
    said = ["hand me the mug", "Here is the mug.", "thank you"]
    turns = [
        {"role": role, "content": [{"type": "text", "text": text}]}
        for role, text in zip(("user", "assistant", "user"), said, strict=True)
    ]
    written = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    places = [written.find(text) for text in said]
    if -1 in places or places != sorted(places):
        raise BundleError(f"the chat template of the language model in {folder} leaves turns out: {written!r:.200}")


def _make_generation(model: Any, decoding: str) -> Generation:
    if decoding not in DECODINGS:
        raise BadRequest(f"decoding: got {decoding!r}, expected one of {', '.join(DECODINGS)}")
    if decoding == "auto" and LeanLlama.supports(model):
        return LeanLlama(model)
    static = decoding == "static" or (decoding == "auto" and model.device.type == "cuda")
    if static and StaticGeneration.supports(model):
        return StaticGeneration(model)
    settings = greedy(model.generation_config)
    return TransformersGeneration(model, settings, None if decoding == "plain" else prefix_of(model, settings))


def _make_guard(processor: Any) -> TextGuard:
    """A guard that knows this processor's control tokens."""
    tokenizer = processor.tokenizer
    markers = set(tokenizer.all_special_tokens)
    added = tokenizer.added_tokens_decoder.values()
    # Some control tokens are not marked as special ("<think>"); some of the others are mere words.
    markers |= {str(token) for token in added if token.special or is_markup(str(token))}
    for name in ("image_token", "video_token", "boi_token", "eoi_token", "fake_image_token", "global_image_token"):
        token = getattr(processor, name, None)
        if isinstance(token, str):
            markers.add(token)
    ids = set(tokenizer.convert_tokens_to_ids(sorted(markers)))
    ids -= {tokenizer.unk_token_id, None}  # any word that the tokenizer does not know becomes this one

    def holds_control(text: str) -> bool:
        return not ids.isdisjoint(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    return TextGuard(markers, holds_control)


def _context_length(config: Any) -> int:
    """The longest conversation in tokens; 0 if the model does not say."""
    return int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 0)


def _bits(quantization: Any) -> str:
    return "int4" if getattr(quantization, "load_in_4bit", False) else "int8"


def _look_at_config(folder: Path) -> None:
    """Refuse models that do not look at images, and register our own vision tower if the folder asks for it."""
    config = check_transformers_folder(folder)
    kind, vision = config.get("model_type"), config.get("vision_config")
    seer = vision.get("model_type") if isinstance(vision, dict) else None
    if isinstance(seer, str) and seer in _OWN_TYPES:
        importlib.import_module(_OWN_TYPES[seer])
    if not isinstance(kind, str) or kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise BundleError(
            f"the language model in {folder} is a {kind!r}, which does not look at images; expected one of the "
            "image-text-to-text models of transformers, such as llava, qwen2_5_vl, qwen3_vl or smolvlm"
        )


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            transformers_logging.enable_progress_bar()
