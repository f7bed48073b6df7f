"""Names: one per process, reserved first, found when published."""

from __future__ import annotations

import pytest

from actorcore import names
from actorcore.names import Names, key_error


@pytest.mark.parametrize(
    ("name", "resident", "code"),
    [
        ("a", False, None),
        ("0.a_b-c", False, None),
        ("a" * 64, False, None),
        ("a" * 65, False, "invalid_key"),
        ("", False, "invalid_key"),
        (".a", False, "invalid_key"),
        ("A", False, "invalid_key"),
        ("a\n", False, "invalid_key"),
        ("٣", False, "invalid_key"),
        ("system:a", False, "reserved_key"),
        ("system:", False, "reserved_key"),
        ("system:a", True, None),
        ("system:", True, "invalid_key"),
        ("system:system:a", True, "invalid_key"),
    ],
)
def test_acceptance_30_a_bad_key_is_told_from_a_reserved_one(name: str, resident: bool, code: str | None) -> None:
    assert key_error(name, resident) == code


def test_a_reserved_name_is_taken_but_not_found() -> None:
    table = Names()
    table.add("db", 1, 9, published=False)
    assert (table.whereis("db"), table.holder_of("db")) == (None, 1)
    assert table.error_of("db", 2) == "already_registered"
    assert table.error_of("other", 1) == "already_registered"
    assert table.unregister_error("db", 1) == "not_found"
    assert table.publish(1) == ("db", b"")
    assert table.publish(1) is None
    assert table.whereis("db") == 1


def test_release_tells_only_names_that_were_published() -> None:
    table = Names()
    table.add("a", 1, 1, published=False)
    table.add("b", 2, 2, published=True)
    table.release_unpublished(2)
    assert (table.release(1), table.release(2), table.release(2)) == (None, "b", None)
    assert table == Names()


def test_who_gives_up_the_last_name_that_he_kept_leaves_nothing() -> None:
    table = Names()
    table.add("a", 1, 9, published=True, parent=9)
    assert (table.give_up(9, "b"), table.give_up(8, "a")) == (False, False)
    table.release(1)
    assert table == Names()


def test_owner_and_registrar_may_unregister() -> None:
    table = Names()
    table.add("a", 1, 2, published=True)
    assert [table.unregister_error("a", who) for who in (1, 2, 3)] == [None, None, "not_permitted"]


def test_a_full_table_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_NAMES", 1)
    table = Names()
    table.add("a", 1, 1, published=True)
    assert table.error_of("b", 2) == "registry_full"
    with pytest.raises(ValueError, match="registry_full"):
        table.add("b", 2, 2, published=True)
