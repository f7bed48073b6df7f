"""Operator mutants of the pure modules: one operator, constant or statement changed at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tests.mutants.patching import path_of
from tests.test_layout import PRODUCT, PURE_LAYERS, layer_of, read

SURVIVORS = Path(__file__).with_name("survivors.txt")
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Add,
}  # fmt: skip
SILENT = {"report", "_tell"}
"""Telemetry: what it says is compared by tests of its own, and not by what processes are told."""


@dataclass(frozen=True, eq=False)
class Mutant:
    """``wrong``: makes the changed source of ``module``, with the lines of the right one."""

    name: str
    module: str
    wrong: Callable[[], ast.Module]


def mutants() -> list[Mutant]:
    """Every change that the operators make, by module and line."""
    modules = [module for module in read(PRODUCT) if layer_of(module) in PURE_LAYERS and path_of(module).exists()]
    return [mutant for module in sorted(modules) for mutant in of_module(module)]


@cache
def right(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text())


def of_module(module: str) -> Iterator[Mutant]:
    tree = right(module)
    for at, node in enumerate(_code(tree)):
        for what, change in _changes(node):
            line = getattr(node, "lineno", 0)
            yield Mutant(f"{module}:{line} {what}", module, partial(_changed, tree, at, change))


def known_survivors() -> set[str]:
    """The names of the mutants that are listed as not noticed.

    :raises ValueError: what is listed is gone from the source.
    """
    names: set[str] = set()
    for entry in SURVIVORS.read_text().splitlines():
        if entry.startswith("#"):
            continue
        module, line, what, _ = entry.split(" | ")
        source = path_of(module).read_text().splitlines()
        places = {f"{module}:{at} {what}" for at, text in enumerate(source, 1) if text.strip() == line}
        found = places & {mutant.name for mutant in of_module(module)}
        if not found:
            raise ValueError(f"no such mutant any more: {entry}")
        names |= found
    return names


def _changed(tree: ast.Module, at: int, change: Callable[[ast.AST], None]) -> ast.Module:
    wrong = copy.deepcopy(tree)
    change(list(_code(wrong))[at])
    return ast.fix_missing_locations(wrong)


def _code(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes within functions, annotations and texts of errors left out, in order."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        if function.name in ("__repr__", "__str__"):
            continue
        for statement in function.body:
            yield from _walk(statement)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (ast.Raise, ast.FunctionDef, ast.JoinedStr)) or _is_silent(node) or _is_text(node):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name == "annotation":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_silent(node: ast.AST) -> bool:
    """Also what mypy has shown never to be reached."""
    call = node.value if isinstance(node, (ast.Expr, ast.Return)) else None
    function = call.func if isinstance(call, ast.Call) else None
    if isinstance(function, ast.Name):
        return function.id == "assert_never"
    return isinstance(function, ast.Attribute) and function.attr in SILENT


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            yield _named(node, "comparison"), _swap_comparison
        case ast.BoolOp() | ast.BinOp() if type(node.op) in SWAPS:
            yield _named(node, "operator"), _swap_operator
        case ast.UnaryOp(op=ast.Not()):
            yield _named(node, "without not"), _drop_not
        case ast.Constant(value=bool()):
            yield _named(node, "other"), _other_truth
        case ast.Constant(value=int()):
            yield _named(node, "+ 1"), _one_more
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete():
            yield _named(node, "left out"), _leave_out
        case ast.If():
            yield f"if {_named(node.test, 'always')}", _always
            yield f"if {_named(node.test, 'never')}", _never


def _named(node: ast.AST, what: str) -> str:
    return f"{ast.unparse(node)[:70]}: {what}"


def _swap_comparison(node: ast.AST) -> None:
    assert isinstance(node, ast.Compare)
    node.ops = [SWAPS[type(node.ops[0])]()]  # type: ignore[list-item]


def _swap_operator(node: ast.AST) -> None:
    assert isinstance(node, (ast.BoolOp, ast.BinOp))
    node.op = SWAPS[type(node.op)]()  # type: ignore[assignment]


def _drop_not(node: ast.AST) -> None:
    assert isinstance(node, ast.UnaryOp)
    node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)


def _other_truth(node: ast.AST) -> None:
    assert isinstance(node, ast.Constant)
    node.value = not node.value


def _one_more(node: ast.AST) -> None:
    assert isinstance(node, ast.Constant)
    node.value = int(str(node.value)) + 1


def _leave_out(node: ast.AST) -> None:
    """It is never come to; what it names stays named, as ``super()`` names the class."""
    assert isinstance(node, (ast.Expr, ast.AugAssign, ast.Delete))
    left_out = copy.copy(node)
    node.__class__ = ast.If  # type: ignore[assignment]
    node.__dict__ = {key: value for key, value in node.__dict__.items() if "lineno" in key or "offset" in key}
    node.__dict__ |= {"test": ast.Constant(False), "body": [left_out], "orelse": []}


def _always(node: ast.AST) -> None:
    assert isinstance(node, ast.If)
    node.test = ast.Constant(True)


def _never(node: ast.AST) -> None:
    assert isinstance(node, ast.If)
    node.test = ast.Constant(False)
