"""Every code that the sources raise, refuse or part with is one of the stable codes, and each has a meaning for a person."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.errors import CODES, MEANINGS, CallFailed, NotAlive, RequestError, StartFailed

ROOT = Path(__file__).parent.parent
MAKERS = {"RequestError": 0, "Farewell": 0, "Refusal": 0, "refuse": 2, "fail_start": 1}
"""Who is given a code, and as which argument."""


def is_refusal(annotation: ast.expr) -> bool:
    text = ast.unparse(annotation)
    return "Refusal" in text or text.startswith("tuple[str, Term] |")


def returned(function: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """The codes of what a function returns that may refuse: pairs of a code and its detail."""
    returns = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    values = [part for value in returns for part in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])]
    for value in values:
        if isinstance(value, ast.Tuple) and isinstance(value.elts[0], ast.Constant) and isinstance(value.elts[0].value, str):
            yield value.lineno, value.elts[0].value


def codes() -> Iterator[tuple[str, str]]:
    for package in ("actorcore", "supervisors"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.FunctionDef) and node.returns is not None and is_refusal(node.returns):
                    yield from ((f"{path.relative_to(ROOT)}:{line}", code) for line, code in returned(node))
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
                    place = MAKERS.get(name)
                    arguments = [] if place is None else node.args[place : place + 1]
                    arguments += [item.value.elts[0] for item in node.keywords
                                  if item.arg == "error" and isinstance(item.value, ast.Tuple)]  # fmt: skip
                    for argument in arguments:
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                            yield f"{path.relative_to(ROOT)}:{node.lineno}", argument.value


def test_every_code_in_the_sources_is_a_stable_one() -> None:
    found = list(codes())
    assert len(found) > 100
    assert [(where, code) for where, code in found if code not in CODES] == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_meaning_is_a_short_line(code: str) -> None:
    assert 0 < len(MEANINGS[code]) <= 110
    assert MEANINGS[code].isprintable()
    assert str(RequestError(code, "x")) == f"{code}: x"


@pytest.mark.parametrize(("kind", "code"), [(StartFailed, "start_failed"), (NotAlive, "process_not_alive")])
def test_a_refusal_with_a_reason_tells_it_as_a_text_of_at_most_200_letters(kind: type[StartFailed | NotAlive], code: str) -> None:
    error = kind({"exit": 3})
    assert (error.code, error.reason, error.detail, str(error)) == (code, {"exit": 3}, "{'exit': 3}", f"{code}: {{'exit': 3}}")
    assert [kind("x" * length).detail for length in (200, 201)] == ["x" * 200] * 2
    assert kind("boom", "said so").detail == "said so"


def test_a_dead_callee_is_told_with_its_reason() -> None:
    assert str(CallFailed("noconnection")) == "no daemon answers: noconnection"
    assert (str(CallFailed("killed")), CallFailed({"exit": 3}).reason) == ("callee is dead: killed", {"exit": 3})
