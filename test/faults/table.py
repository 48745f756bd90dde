# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/reliability.md, out of the marks of the cases.

python test/faults/table.py            # write it into the page, between its two comment lines
python test/faults/table.py --check    # exit code 1 when the page says something else
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from faults import GROUPS, Fault

PAGE = HERE.parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


class _Collector:
    """A plugin that keeps the faults of what pytest collects."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            marks = list(item.iter_markers("fault"))
            # The nearest mark: a parameter's own texts stand for it, not those of its function.
            self.faults += [mark.args[0] for mark in marks[:1]]


def collect() -> list[Fault]:
    """Every fault of the suite once, in the table's order. Raises RuntimeError when a file cannot be collected, or two
    different texts have one name."""
    collector = _Collector()
    code = pytest.main(["--collect-only", "-q", "-q", "--no-header", "-p", "no:cacheprovider", str(HERE)], [collector])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"the cases cannot be collected: pytest ended with {code}")
    by_name: dict[tuple[str, str], Fault] = {}
    for fault in collector.faults:
        if by_name.setdefault((fault.group, fault.name), fault) != fault:
            raise RuntimeError(f"two different faults are called {fault.name!r} in group {fault.group!r}")
    return sorted(by_name.values(), key=lambda fault: GROUPS.index(fault.group))


def render(faults: list[Fault]) -> str:
    """The table in Markdown, a section a group."""
    lines = [f"{len(faults)} cases."]
    for group in GROUPS:
        members = [fault for fault in faults if fault.group == group]
        if members:
            lines += ["", f"### {group}", "", "| what breaks | the node | a planner sees |", "| --- | --- | --- |"]
            lines += ["| " + " | ".join(map(_cell, (f.name, f.node, f.planner))) + " |" for f in members]
    return "\n".join(lines)


def written(page: str) -> str:
    """The table that stands in the page. Raises ValueError when one of the comment lines is missing."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """See the module's text."""
    table, page = render(collect()), PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        same = table == written(page)
        print(table.splitlines()[0] if same else f"{PAGE}: run python test/faults/table.py")
        return 0 if same else 1
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    PAGE.write_text(f"{before}\n{table}\n{after}", encoding="utf-8")
    print(table.splitlines()[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
