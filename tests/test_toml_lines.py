"""The line of a mistake: the first line of the statement that says it."""

from __future__ import annotations

import tomllib

import pytest

from supervisors.tree.toml_lines import Path, last_line, line_of, line_of_error, spelled

TEXT = """name = "shop"

[flags]
intensity = 3

[[children]]
id = "a"
args = [
    1,
    2,
]

[[children]]
id = "b"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 1),
        (("flags",), 3),
        (("flags", "intensity"), 4),
        (("children", 0), 6),
        (("children", 0, "id"), 7),
        (("children", 0, "args"), 8),
        (("children", 0, "args", 1), 8),
        (("children", 1), 13),
        (("children", 1, "id"), 14),
        (("children", 2), 14),
        (("children", "id"), 14),
        (("flags", "other"), 14),
        (("name", "x"), 14),
        ((), 1),
    ],
)
def test_what_is_said_is_found_at_its_statement_and_what_is_not_at_the_end(path: Path, line: int) -> None:
    assert line_of(TEXT, path) == line


def test_the_second_of_two_lines_is_not_the_first() -> None:
    assert [line_of("a = 1\nb = 2\n", (key,)) for key in "ab"] == [1, 2]


def test_a_path_is_spelled_as_a_person_writes_it() -> None:
    assert [spelled(path) for path in ((), ("a",), ("a", 1, "b"), (0, "a"))] == ["", "a", "a[1].b", "[0].a"]


def test_an_error_has_the_line_that_it_names_or_is_at_the_end() -> None:
    for text, line in (("a = 1\nb = ?\n", 2), ("a = 1\n\nb = [1,\n", 3)):
        with pytest.raises(tomllib.TOMLDecodeError) as error:
            tomllib.loads(text)
        assert line_of_error(text, error.value) == line
    assert (last_line(""), last_line("a"), last_line("a\nb\n")) == (1, 1, 2)
