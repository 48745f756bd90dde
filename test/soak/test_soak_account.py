# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The account of a long run: what a settlement cuts in two is no violation, and what is missing is one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "test" / "faults"), str(ROOT / "test" / "ros"), str(ROOT / "benchmarks")]

from invariants import Masks, Out, Sent
from own_domain import own_domain
from soak_account import LOOKS, Account

SIZE = (48, 64)


@pytest.fixture
def account() -> Iterator[Account]:
    made = Account("/nobody", own_domain())
    yield made
    made.close()


def frame(account: Account, stamp_ns: int) -> dict[str, Any]:
    """What goes out for one followed frame without a target, by topic and in order."""
    account.record.sent[stamp_ns] = [Sent("camera", SIZE)]
    at, common = time.time_ns(), {"stamp_ns": stamp_ns, "frame_id": "camera"}
    return {
        "target_points": Out("target_points", at, **common),
        "target_pose": Out("target_pose", at + 1, **common),
        "masks": Masks("masks", at + 2, size=SIZE, command_id="a", **common),
        "mask": Out("mask", at + 3, size=SIZE, **common),
    }


def settle(account: Account) -> list[str]:
    for _ in range(LOOKS + 1):
        account.settle()
    return account.violations


def test_a_frame_that_a_settlement_cuts_in_two(account: Account) -> None:
    account.record.outputs += frame(account, 1).values()
    cut = frame(account, 2)
    early = ("target_points", "target_pose", "mask")  # each topic comes in its own time
    account.record.outputs += [cut[topic] for topic in early]
    assert settle(account) == [] and not account.record.outputs
    account.record.outputs += [cut["masks"], *frame(account, 3).values()]
    assert settle(account) == [] and account.checked == 4 + 3 + 4


@pytest.mark.parametrize("missing", ["target_points", "target_pose", "mask"])
def test_what_never_comes_is_told(account: Account, missing: str) -> None:
    account.record.outputs += frame(account, 1).values()
    assert settle(account) == []
    account.record.outputs += frame(account, 2).values()
    broken = frame(account, 3)
    del broken[missing]
    account.record.outputs += broken.values()
    account.record.outputs += frame(account, 4).values()
    assert any(f"no {missing} went out with it" in text for text in settle(account))
