"""What a head says against a database, and who may be saved and must go: rules, without a disk."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from actorcore.errors import RequestError
from supervisors.persistence.notes import note_in, saved_note
from supervisors.persistence.proof import (
    Content,
    Head,
    Untrue,
    check_head,
    decode_head,
    encode_frame,
    encode_head,
    follow,
    prove,
)  # fmt: skip
from supervisors.persistence.retention import DAY_S, Admission, Limits, admit, outdated
from supervisors.persistence.saved import SavedSession
from supervisors.persistence.signing import Keys, Ring, chain, sign_head, sign_snapshot
from supervisors.persistence.snapshot import Snapshot, encode, signature_of
from supervisors.persistence.store_words import SavedNote

MACS = [bytes([number]) * 32 for number in range(10)]


def content(generation: int, first: int, last: int) -> Content:
    """A snapshot that stands for the records up to ``first``, and those after it up to ``last``."""
    snapshot = Snapshot("id", generation, first, 0.0, {}, b"", [])
    return Content(snapshot, b"text", [(b"", MACS[number]) for number in range(first + 1, last + 1)], last, MACS[last], 1)


@pytest.mark.parametrize(
    ("generation", "number", "mac"),
    [(2, 7, 7), (2, 6, 6), (1, 5, 5), (1, 5, 9), (1, 3, 3)],
    ids=["all", "one record behind", "of the snapshot before", "whose number it is, is not asked", "far behind"],
)
def test_a_head_that_is_behind_is_no_lie(generation: int, number: int, mac: int) -> None:
    check_head(Head(1, generation, number, MACS[mac], False), content(2, 5, 7))


@pytest.mark.parametrize(
    ("generation", "number", "mac", "text"),
    [
        (2, 8, 8, "records: some are missing"),
        (3, 7, 7, "records: some are missing"),
        (1, 6, 6, "records: some are missing"),
        (2, 4, 4, "head: of another snapshot"),
        (2, 7, 6, "records: not those that were there"),
        (2, 6, 7, "records: not those that were there"),
    ],
)
def test_a_head_that_is_ahead_or_of_something_else_is_seen(generation: int, number: int, mac: int, text: str) -> None:
    with pytest.raises(Untrue) as untrue:
        check_head(Head(1, generation, number, MACS[mac], False), content(2, 5, 7))
    assert untrue.value.detail == text


# ---- retention ------------------------------------------------------------------------------------------------------


def saved(*ages_days: float) -> list[SavedSession]:
    """Sessions ``s0``, ``s1``, … that were saved so long before day 100."""
    return [SavedSession(f"s{at}", "", "", 1, (100 - age) * DAY_S, 0.0) for at, age in enumerate(ages_days)]


def test_only_those_go_that_are_older_than_so_many_days_and_do_not_run_oldest_first() -> None:
    lines = saved(1, 9, 5, 5.001, 7)
    assert outdated(lines, 5, (), 100 * DAY_S) == ["s1", "s4", "s3"]
    assert outdated(lines, 5, ("s4",), 100 * DAY_S) == ["s1", "s3"]
    assert [outdated(lines, days, (), 100 * DAY_S) for days in (9, 10)] == [[], []]


@pytest.mark.parametrize(
    ("count", "live", "auto_clean", "admission"),
    [
        (0, (), False, Admission()),
        (6, (), False, Admission()),
        (7, (), False, Admission(is_warning=True)),
        (9, (), False, Admission(is_warning=True)),
        (10, (), True, Admission("s1", True)),
        (12, ("s1",), True, Admission("s2", True)),
    ],
)
def test_who_is_saved_is_admitted_with_a_warning_or_for_another(
    count: int, live: Sequence[str], auto_clean: bool, admission: Admission
) -> None:
    assert admit(saved(1, 9, 5), count, live, Limits(max_saved=10, auto_clean=auto_clean)) == admission


@pytest.mark.parametrize(("live", "auto_clean"), [((), False), (("s0", "s1", "s2"), True)])
def test_where_nobody_may_go_nobody_is_admitted(live: Sequence[str], auto_clean: bool) -> None:
    with pytest.raises(RequestError, match=r"^session_limit_reached: 10/10 saved sessions"):
        admit(saved(1, 9, 5), 10, live, Limits(max_saved=10, auto_clean=auto_clean))


def test_what_was_signed_by_earlier_code_is_signed_so_by_this() -> None:
    """What was saved stays what can be read: a change here needs a new version of the files."""
    key = bytes(32)
    assert [signature.hex() for signature in (chain(key, key, 5, b"record"), sign_snapshot(key, b"x"), sign_head(key, b"x"))] == [
        "9366d97a586acba2435056486b94f5eb5c4efcd2f2e88c05b13a45e0c66784d6",
        "1daecd9bb3053c7a37a2bfa19d366088d33f0edac59e0ae34b01cd913f4fdb96",
        "5fbcc04fb8874a909aabdb047d1d2997570a8f109cef82fbe58a3c3a6c5672f3",
    ]


def test_a_note_is_believed_from_who_has_the_session_s_keys_alone() -> None:
    mine, other = Keys({1: b"a" * 32, 2: b"b" * 32}), Keys({1: b"c" * 32, 2: b"d" * 32, 3: b"e" * 32})
    told = saved_note("id", mine, 7, {"name": "s"})
    assert (told.id, told.key, note_in(told, mine)) == ("id", 2, SavedNote(7, {"name": "s"}))
    assert [note_in(told, other), note_in(saved_note("id", other, 7, {}), mine)] == [None, None]
    assert note_in(msgspec.structs.replace(told, note=msgspec.msgpack.encode([8, {}])), mine) is None


# ---- proving --------------------------------------------------------------------------------------------------------

ID = "00000000-0000-4000-8000-000000000001"
KEYS = Ring({1: b"s" * 32}).keys_of(ID)
SNAPSHOT = Snapshot(ID, 3, 7, 12.5, {"name": "one"}, b"state", [])
TEXT = encode(SNAPSHOT, KEYS)


def chained(*bodies: bytes) -> list[tuple[int, bytes, bytes]]:
    """Records behind the snapshot: number, body, signature."""
    mac, rows = signature_of(TEXT), []
    for number, body in enumerate(bodies, SNAPSHOT.number + 1):
        mac = chain(KEYS.by_number[1], mac, number, body)
        rows.append((number, body, mac))
    return rows


ONE, TWO, THREE = ROWS = chained(b"one", b"two", b"three")
PAIRS = [(body, mac) for _, body, mac in ROWS]


def test_what_is_signed_and_chained_is_proved() -> None:
    assert prove(ID, KEYS, [(3, TEXT)], ROWS) == Content(SNAPSHOT, TEXT, PAIRS, 10, THREE[2], 1)
    assert prove(ID, KEYS, [(3, TEXT)], []) == Content(SNAPSHOT, TEXT, [], 7, signature_of(TEXT), 1)


@pytest.mark.parametrize(("texts", "rows", "what"), [
    ([], ROWS, "snapshot: none"), ([(3, TEXT), (3, TEXT)], ROWS, "snapshot: several"),
    ([(4, TEXT)], ROWS, "snapshot: generation"),
    ([(3, TEXT)], [ONE, THREE], "records"), ([(3, TEXT)], [TWO, ONE], "records"), ([(3, TEXT)], [(9, *ONE[1:])], "records"),
    ([(3, TEXT)], [(8, b"One", ONE[2])], "records"), ([(3, TEXT)], [(8, b"one", TWO[2])], "records"),
])  # fmt: skip
def test_what_is_not_is_untrue_and_named(texts: list[tuple[int, bytes]], rows: list[tuple[int, bytes, bytes]], what: str) -> None:
    with pytest.raises(Untrue) as untrue:
        prove(ID, KEYS, texts, rows)
    assert untrue.value.detail == what


def test_a_head_is_whole_or_there_is_none_yet() -> None:
    head = Head(1, 3, 7, MACS[1], True)
    data = encode_head(head, KEYS)
    assert (decode_head(data, KEYS), decode_head(b"", KEYS), decode_head(bytes(len(data)), KEYS)) == (head, None, None)
    cut, other = (data[:-1], data + b"x"), (b"x" + data[1:], data[:-1] + b"x")
    for wrong, what in [(wrong, "head: cut") for wrong in cut] + [(wrong, "head") for wrong in other]:
        with pytest.raises(Untrue) as untrue:
            decode_head(wrong, KEYS)
        assert untrue.value.detail == what


def test_of_a_log_that_ends_anywhere_the_whole_frames_count() -> None:
    frames = [encode_frame(PAIRS[:2]), encode_frame(PAIRS[2:])]
    log, base = b"".join(frames), prove(ID, KEYS, [(3, TEXT)], [])
    for size in range(len(log) + 1):
        whole = 3 if size == len(log) else 2 if size >= len(frames[0]) else 0
        found = follow(base, KEYS, log[:size])
        assert (found.records, found.number) == (PAIRS[:whole], 7 + whole), size
        assert found.log_bytes == len(b"".join(frames[: (0, 0, 1, 2)[whole]])), size
    assert follow(base, KEYS, log + bytes(100)).number == 10
    assert follow(base, KEYS, frames[1] + frames[0]).number == 7
    assert follow(prove(ID, KEYS, [(3, TEXT)], [ONE, TWO]), KEYS, frames[1]).records == PAIRS
