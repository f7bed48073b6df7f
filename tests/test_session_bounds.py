"""Bounds of a session: settings, caps, config, what is kept, and what is plain; each at its edge."""

from __future__ import annotations

from typing import Any

import pytest

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.pids import Pid
from supervisors.session import caps, settings
from supervisors.session.caps import Caps
from supervisors.session.checks import MAX_PATH_BYTES, path_of, plain, size_bytes_of
from supervisors.session.config import MAX_TEXT, config_trouble, config_troubles, merged
from supervisors.session.kept import Kept, size_of
from supervisors.session.refusals import refusal_of
from supervisors.session.settings import SessionSettings

SLASHES = ("forbidden_directories", "must be absolute paths without a slash at the end")


@pytest.mark.parametrize(
    ("fields", "trouble"),
    [
        ({}, None),
        *(({name: 1}, None) for name in ("max_sessions", "max_saved", "max_age_days")),
        *(({name: 0}, (name, "must be 1 or more")) for name in ("max_sessions", "max_saved", "max_age_days")),
        *(({"warn_saved": share}, None) for share in (0.0, 1.0)),
        *(({"warn_saved": share}, ("warn_saved", "must be 0 to 1")) for share in (-0.1, 1.1)),
        ({"forbidden_directories": ()}, None),
        *(({"forbidden_directories": ("/a", path)}, SLASHES) for path in ("b", "/b/", "/", "b/")),
    ],
)
def test_settings_that_cannot_be_are_named(fields: dict[str, Any], trouble: tuple[str, str] | None) -> None:
    assert settings.trouble_with(SessionSettings(**fields)) == trouble


def test_no_session_works_in_a_forbidden_directory_nor_below_nor_above_it() -> None:
    chosen = SessionSettings(forbidden_directories=("/a/b",))
    paths = ["/", "/a", "/a/b", "/a/b/c", "/a/bc", "/c/a/b"]
    assert [path for path in paths if chosen.is_forbidden(path)] == ["/", "/a", "/a/b", "/a/b/c"]


@pytest.mark.parametrize("name", Caps.__struct_fields__)
def test_a_cap_is_one_or_more(name: str) -> None:
    assert [caps.trouble_with(Caps(**{name: count})) for count in (0, 1)] == [f"{name}: must be 1 or more", None]


@pytest.mark.parametrize(
    ("config", "codes"),
    [
        ({}, []),
        ({"provider": "p" * MAX_TEXT, "model": "m", "temperature": 0, "max_tokens": 1, "mine": None}, []),
        ({"temperature": 2}, []),
        *(({"temperature": value}, ["invalid_temperature"]) for value in (-0.1, 2.1, True, "1", None)),
        *(({"max_tokens": value}, ["invalid_max_tokens"]) for value in (0, -1, True, 1.0, "1")),
        *(({"model": value}, ["invalid_model"]) for value in ("", "m" * (MAX_TEXT + 1), 1)),
        ({"model": 1, "provider": ""}, ["invalid_provider", "invalid_model"]),
    ],
)
def test_all_that_is_wrong_with_a_config_has_a_code(config: dict[str, Term], codes: list[str]) -> None:
    assert config_troubles(config) == codes
    one = (codes[0], None) if codes else None
    assert config_trouble(config) == (one if len(codes) < 2 else ("invalid_config", codes))


def test_only_none_takes_a_key_out_of_a_config() -> None:
    assert merged({"a": 1, "b": 2, "c": 3}, {"a": 0, "b": None, "d": "", "e": False}) == {"a": 0, "c": 3, "d": "", "e": False}


# ---- kept -----------------------------------------------------------------------------------------------------------


def test_the_oldest_goes_by_count_and_by_size_and_the_size_is_that_of_what_is_left() -> None:
    kept: Kept[str] = Kept()
    for item in ("a" * 9, "b" * 9, "c" * 9):
        kept.add(item, 2, 100)
    assert (kept.items, kept.size_bytes) == (["b" * 9, "c" * 9], 20)
    kept.add("d" * 9, 5, 30)
    assert (kept.items, kept.size_bytes) == (["b" * 9, "c" * 9, "d" * 9], 30)
    kept.add("e" * 9, 5, 29)
    assert (kept.items, kept.size_bytes) == (["d" * 9, "e" * 9], 20)
    kept.add("f" * 99, 5, 29)
    assert (kept.items, kept.size_bytes) == (["f" * 99], size_of("f" * 99))
    kept.replace(0, "g")
    assert (kept.items, kept.size_bytes) == (["g"], 2)
    kept.clear()
    assert (kept.items, kept.size_bytes) == ([], 0)


@pytest.mark.parametrize(
    ("offset", "limit", "max_bytes", "chosen", "has_more"),
    [
        (0, None, 100, ["aa", "bb", "cc"], False),
        (1, None, 100, ["bb", "cc"], False),
        (0, 2, 100, ["aa", "bb"], True),
        (1, 2, 100, ["bb", "cc"], False),
        (0, None, 6, ["aa", "bb"], True),
        (0, None, 5, ["aa"], True),
        (0, None, 1, ["aa"], True),
        (3, None, 100, [], False),
        (0, 0, 100, [], True),
    ],
)
def test_a_page_ends_at_its_limit_or_size_and_says_whether_there_is_more(
    offset: int, limit: int | None, max_bytes: int, chosen: list[str], has_more: bool
) -> None:
    kept: Kept[str] = Kept()
    for item in ("aa", "bb", "cc"):
        kept.add(item, 9, 100)
    page = kept.page(offset, limit, max_bytes)
    assert page == {"items": chosen, "total": 3, "offset": offset, "returned": len(chosen), "has_more": has_more}


# ---- checks ---------------------------------------------------------------------------------------------------------


def test_a_path_is_a_text_without_nul_of_so_many_bytes() -> None:
    longest = "ä" * (MAX_PATH_BYTES // 2)
    assert [path_of("x"), path_of(longest)] == ["x", longest]
    for path, code in (("", "invalid_field"), ("a\0", "invalid_field"), (longest + "x", "path_too_long")):
        with pytest.raises(RequestError, match=code):
            path_of(path)


def test_plain_data_is_measured_and_bounded_and_no_pid_is_in_it() -> None:
    assert [size_bytes_of(["ab"]), plain(["ab"], 4)] == [4, ["ab"]]
    refused: list[tuple[Any, str]] = [
        (["ab"], "value_too_long: at most 3 bytes"), ({1: 2}, "invalid_message: a key that is no text"),
        ([Pid(1, 2)], "invalid_message: no plain data: a Pid"), (object(), "invalid_message: no plain data: object"),
    ]  # fmt: skip
    for value, text in refused:
        with pytest.raises(RequestError, match=text):
            plain(value, 3)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (("start_failed", {"invalid_field": "x"}), ("invalid_field", "x")),
        (("start_failed", {"invalid_field": "x", "more": 1}), None),
        (("start_failed", {"error": {"type": "E", "text": ""}}), None),
        (("start_failed", {}), None),
        (("start_failed", "timeout"), ("start_timeout", None)),
        (("start_failed", "not_permitted"), ("not_permitted", None)),
        (("start_failed", "killed"), None),
        (("already_exists", "id"), ("session_exists", "id")),
        (("restarting", {"not_found": 1}), None),
    ],
)
def test_what_a_session_itself_refused_with_is_the_code(error: tuple[str, Term], refusal: tuple[str, Term] | None) -> None:
    assert refusal_of(error) == (refusal or error)
