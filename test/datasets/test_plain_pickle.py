# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pickles are read as data: whatever else they ask for is refused."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llavaseg_ros.datasets.plain_pickle import loads, read_plain_pickle
from llavaseg_ros.evaluation.dataset import DatasetError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_gives_what_was_written(protocol: int) -> None:
    shared = ["a", "b"]
    value = [
        {"sent": "the cup", "ids": [1, 300, 70000, -5, 2**70], "half": 0.5},
        (1, 2, 3, 4),
        (),
        shared,
        shared,
        None,
        True,
    ]
    read = loads(pickle.dumps(value, protocol))
    assert read == value
    assert read[3] is read[4]


# From protocol 3 on: before it there were no bytes, and Python 3 writes them as a call.
@given(PLAIN, st.sampled_from([3, 4, 5]))
def test_any_plain_data_comes_back(value: Any, protocol: int) -> None:
    assert loads(pickle.dumps(value, protocol)) == value


def test_a_file_of_python_2() -> None:
    # pickle.dumps([{'sent': 'the cup', 'raw': u'caf\xe9', 'ref_id': 5L, 'there': True}], 0) of Python 2.7
    text = (
        b"(lp0\n(dp1\nS'there'\np2\nI01\nsS'raw'\np3\nVcaf\xe9\np4\nsS'ref_id'\np5\nL5L\nsS'sent'\np6\n"
        b"S'the cup'\np7\nsa."
    )
    assert loads(text) == [{"there": True, "raw": "caf\u00e9", "ref_id": 5, "sent": "the cup"}]
    # The same of protocol 2: texts are SHORT_BINSTRING there.
    assert loads(b"\x80\x02]q\x00}q\x01U\x04sentq\x02U\x07the cupq\x03sa.") == [{"sent": "the cup"}]


class Malicious:
    """Runs a command in whatever loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps([{"sent": "the cup"}, Malicious(made)], protocol))
    with pytest.raises(DatasetError, match=r"refs\(unc\)\.p: byte \d+: the instruction (STACK_)?GLOBAL.* is refused"):
        read_plain_pickle(path)
    assert not made.exists()
    pickle.loads(path.read_bytes())  # the file itself is a working attack
    assert made.exists()


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(collections.OrderedDict(a=1), 2),
        pickle.dumps({1, 2}, 4),
        pickle.dumps(Path("/"), 4),
        b"(S'touch x'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch x'\no.",  # OBJ
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pname\n.",  # PERSID
        b"S'name'\nQ.",  # BINPERSID
        b"}}b.",  # BUILD
    ],
)
def test_everything_that_is_not_plain_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="is refused"):
        loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        b".",
        b"]",
        b"(.",
        b"]]a",
        b"K\x01K\x02.",  # two values
        b"K\x01a.",  # append to nothing
        b"}K\x01s.",  # a key without a value
        b"(K\x01d.",
        b"g5\n.",  # what nobody put there
        b"(K\x01\x85\x86.",
        b"e.",
        b"}]K\x01s.",  # a list as a key
        b"U\xffabc.",  # longer than the file
        pickle.dumps([{"sent": "the cup"}] * 3, 0)[:-5],
    ],
)
def test_rubbish_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(ValueError, match="cut short|is refused"):
        loads(data)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gone.p: cannot be read"):
        read_plain_pickle(tmp_path / "gone.p")


def test_a_list_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    read = loads(pickle.dumps(loop, 2))
    assert read[0] is read
