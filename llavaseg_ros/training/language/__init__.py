# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What people say to the robot, and what it should reply, made from scenes.

`make_dialogues` turns a scene dict (a line of `scenes.jsonl`) into dialogues; `dialogue_turns` and `fast_turn` give
the exact strings that the small LLaVA is trained on; `quiz_turns` asks short questions in bulk; `write_test_set`
writes a DATA.jsonl with masks. Words are data: `lexicon.py` says how to add your own objects and phrasings to
`data/language.yaml`.
"""

from llavaseg_ros.training.language.dialogue import Dialogue, dialogue_turns, fast_turn
from llavaseg_ros.training.language.generate import corpus, make_dialogues
from llavaseg_ros.training.language.lexicon import KINDS, LANGUAGE_FILE, Lexicon, load_lexicon
from llavaseg_ros.training.language.photographs import load_photographs
from llavaseg_ros.training.language.phrases import Phrasing
from llavaseg_ros.training.language.quiz import quiz_turns
from llavaseg_ros.training.language.synthetic import random_photograph, random_scene
from llavaseg_ros.training.language.testset import write_test_set

__all__ = [
    "KINDS",
    "LANGUAGE_FILE",
    "Dialogue",
    "Lexicon",
    "Phrasing",
    "corpus",
    "dialogue_turns",
    "fast_turn",
    "load_lexicon",
    "load_photographs",
    "make_dialogues",
    "quiz_turns",
    "random_photograph",
    "random_scene",
    "write_test_set",
]
