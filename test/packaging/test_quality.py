# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""docs/quality.md: what it says of versions, licenses, dependencies and files is so."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import llavaseg_ros

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "quality.md"
TEXT = PAGE.read_text(encoding="utf-8")
PACKAGE = ElementTree.parse(ROOT / "package.xml")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
SECTIONS = (
    "Version policy", "Change control process", "Documentation", "Testing", "Dependencies", "Platform support",
    "Security", "What is missing",
)  # fmt: skip


def section(name: str) -> str:
    """The text below a heading of the second level."""
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found, f"no section {name!r}"
    return found[1]


def named(text: str) -> set[str]:
    """What stands in backquotes in the first column of the tables."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_it_has_the_sections_of_the_template_and_claims_one_level() -> None:
    assert re.findall(r"^## (.+)$", TEXT, re.M) == list(SECTIONS)
    assert re.findall(r"\*\*Level claimed: (\d)\*\*", TEXT) == ["4"]


def test_the_version_is_the_package_s_and_called_unstable_for_as_long_as_it_is() -> None:
    version = llavaseg_ros.__version__
    assert PACKAGE.findtext("version") == version and f'version = "{version}"' in PYPROJECT
    assert f"The version is {version}" in section("Version policy")
    missing = "a stable version" in section("What is missing")
    assert missing == (int(version.split(".")[0]) < 1)
    assert (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").startswith("# Changelog")


def test_license() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PACKAGE.findtext("license") == "Apache-2.0" and 'license = "Apache-2.0"' in PYPROJECT
    assert "Apache-2.0" in section("Documentation")


def test_every_source_file_has_its_copyright_statement() -> None:
    folders, kinds = ("llavaseg_ros", "launch", "test", "benchmarks"), {".py", ".js", ".css", ".sh"}
    sources = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in kinds]
    sources += [*(ROOT / "scripts").iterdir(), ROOT / ".ci/run", ROOT / "setup.py", ROOT / "CMakeLists.txt"]
    assert len(sources) > 500
    for path in sources:
        text = path.read_text(encoding="utf-8")
        if text.strip():
            assert "Copyright" in text[:120] and "SPDX-License-Identifier: Apache-2.0" in text[:160], path
    assert "a copyright statement in each source file" not in section("What is missing")


def test_every_ros_dependency_is_named() -> None:
    tags = ("depend", "exec_depend", "build_export_depend")
    declared = {element.text for tag in tags for element in PACKAGE.findall(tag)}
    ros = {name for name in declared if name and not name.startswith("python3-")}
    assert ros <= named(section("Dependencies"))


def test_every_other_dependency_is_named_and_nothing_else() -> None:
    block = re.search(r"^dependencies = \[(.*?)^\]", PYPROJECT, re.M | re.S)
    assert block
    others = set(re.findall(r'^\s+"([A-Za-z0-9_.-]+?)[<>=~!]', block[1], re.M))
    declared = {element.text for tag in ("depend", "exec_depend") for element in PACKAGE.findall(tag)}
    assert len(others) > 8
    assert named(section("Dependencies")) == others | {name for name in declared if not name.startswith("python3-")}


def headings(path: Path) -> set[str]:
    """The anchors of a page, as its renderers make them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)\s]+)\)", TEXT))))
def test_links_lead_somewhere(link: str) -> None:
    if link.startswith("https://"):
        assert re.match(r"https://(www\.ros\.org|semver\.org)", link)  # nothing is looked up in a test
        return
    path, _, anchor = link.partition("#")
    target = (PAGE.parent / path).resolve() if path else PAGE
    assert target.exists(), link
    assert not anchor or anchor in headings(target), link


def test_files_that_are_named_exist() -> None:
    words = re.findall(r"`([\w./-]+)`", TEXT)
    names = {word for word in words if "/" in word or word.endswith((".xml", ".toml", ".txt"))}
    assert len(names) > 5
    assert not [name for name in names if not (ROOT / name.rstrip("/")).exists()]


def test_every_verdict_on_a_platform_says_what_was_run() -> None:
    rows = [line.strip("| ").split("|") for line in section("Platform support").splitlines() if line.startswith("| ")]
    body = [row for row in rows[2:] if len(row) >= 2]
    assert len(body) >= 10 and all(row[1].strip() for row in body)
    assert any("Kilted" in row[0] for row in body) and any(row[0].startswith("GPU") for row in body)


def test_readme_or_contributing_links_the_declaration() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")]
    assert any("docs/quality.md" in text for text in texts)
