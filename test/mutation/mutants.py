# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small faults, made one at a time in the syntax tree of a module: what tests have to notice.

Comparisons, arithmetic, conditions, constants, return values, arguments and whole statements are changed. Left alone
are texts of errors and logs, docstrings, annotations and decorators: a test that pins them pins no behaviour.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True)
class Mutant:
    """One fault. key: the function, the code before and after, and a number where these repeat; stays when lines move.

    line: of the original module. tree: the whole module with the fault.
    """

    key: str
    line: int
    tree: ast.Module


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every mutant of a module's source, in the order of its lines. The same source gives the same mutants."""
    sites = list(_sites(ast.parse(source), ""))
    seen: Counter[str] = Counter()
    for number, (name, node) in enumerate(sites):
        for choice, (before, after) in enumerate(_described(node)):
            key = f"{name}: {before} -> {after}"
            seen[key] += 1
            if seen[key] > 1:
                key = f"{key} #{seen[key]}"
            yield Mutant(key, getattr(node, "lineno", 0), _with_fault(source, number, choice))


def _with_fault(source: str, number: int, choice: int) -> ast.Module:
    tree = ast.parse(source)
    node = list(_sites(tree, ""))[number][1]
    fault = _faults(node)[choice]
    tree = _Replace(node, fault).visit(tree)
    return ast.fix_missing_locations(tree)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.copy_location(self.new, node) if node is self.old else self.generic_visit(node)


def _sites(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    """The nodes that may be changed, with the function that they are in."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        name = f"{name}.{node.name}" if name else node.name
    yield name or "module", node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params", "format_spec"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_text(node, child):
                yield from _sites(child, name)


def _is_text(parent: ast.AST, child: ast.AST) -> bool:
    """The child only makes a text: a docstring, a log, what an error says, or an f-string."""
    if isinstance(child, (ast.Import, ast.ImportFrom, ast.JoinedStr)):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
        return ast.unparse(child.value.func).startswith("log.")
    return isinstance(parent, ast.Raise) and child is parent.exc


def _described(node: ast.AST) -> Iterator[tuple[str, str]]:
    for fault in _faults(node):
        if isinstance(node, ast.If):
            yield f"if {ast.unparse(node.test)}", f"if {ast.unparse(fault.test)}"  # type: ignore[attr-defined]
        else:
            yield _short(node), _short(fault)


def _short(node: ast.AST) -> str:
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())


def _faults(node: ast.AST) -> list[ast.AST]:
    """What may stand in the place of a node; empty where nothing is changed."""
    if isinstance(node, ast.Compare):
        return [_swap_compare(node, i) for i, op in enumerate(node.ops) if type(op) in _COMPARE]
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC and not _joins_text(node):
        return [ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)]
    if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        return [ast.AugAssign(node.target, _ARITHMETIC[type(node.op)](), node.value), ast.Pass()]
    if isinstance(node, ast.BoolOp):
        return [ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
        return [node.operand]
    if isinstance(node, ast.IfExp):
        return [ast.IfExp(node.test, node.orelse, node.body)]
    if isinstance(node, ast.If):
        return [ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)]
    if isinstance(node, ast.Constant):
        return _other_constants(node.value)
    if isinstance(node, ast.Return):
        nothing = node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)
        return [] if nothing else [ast.Return(ast.Constant(None))]
    if isinstance(node, (ast.Raise, ast.Continue, ast.Break)):
        return [ast.Pass()]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return [ast.Pass()]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
        return [ast.Pass()]
    if isinstance(node, ast.Call) and len(node.args) > 1 and not any(isinstance(a, ast.Starred) for a in node.args[:2]):
        first, second, *rest = node.args
        same = ast.dump(first) == ast.dump(second)
        alike = same or ast.unparse(node.func) in ("min", "max")  # for these the order means nothing
        return [] if alike else [ast.Call(node.func, [second, first, *rest], node.keywords)]
    return []


def _swap_compare(node: ast.Compare, at: int) -> ast.Compare:
    ops = [_COMPARE[type(op)]() if i == at else op for i, op in enumerate(node.ops)]
    return ast.Compare(node.left, ops, node.comparators)


def _joins_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _other_constants(value: object) -> list[ast.AST]:
    if isinstance(value, bool):
        return [ast.Constant(not value)]
    if isinstance(value, int):
        return [ast.Constant(value + 1)]
    if isinstance(value, float):
        return [ast.Constant(2 * value + 1)]
    if isinstance(value, str):
        return [ast.Constant(value + "X" if value else "X")]
    return []
