"""The status page: what is committed is read whole, what is not is not read, and junk never raises."""

from __future__ import annotations

import random

import msgspec
import pytest

from actorcore.runtime.status_page import (
    MAX_REASON_BYTES,
    PAGE_BYTES,
    Status,
    StatusPage,
    declared_reason,
    fitting,
    read_status,
)


def page() -> memoryview:
    return memoryview(bytearray(PAGE_BYTES))


@pytest.mark.parametrize("reason", ["normal", {"exit": 3}, {"shutdown": [1, None, {"a": b"x"}]}, {"killed": "oom"}])
def test_a_declared_reason_is_read_back(reason: object) -> None:
    shared = page()
    assert declared_reason(shared) is None
    assert StatusPage(shared).declare(reason) == reason
    assert declared_reason(shared) == reason


def test_the_first_declaration_stays() -> None:
    shared = page()
    status = StatusPage(shared)
    status.declare("first")
    status.declare("second")
    assert declared_reason(shared) == "first"


def test_a_writer_killed_before_the_commit_declared_nothing() -> None:
    shared = page()
    StatusPage(shared).declare("shutdown")
    shared[:8] = bytes(8)
    assert declared_reason(shared) is None


def test_counters() -> None:
    shared = page()
    status = StatusPage(shared)
    status.busy(123, 4)
    assert read_status(shared) == Status(123, 0, 4)
    status.handled += 1
    status.busy(124, 3)
    assert read_status(shared) == Status(124, 1, 3)
    status.handled += 1
    status.idle()
    assert read_status(shared) == Status(0, 2, 3)


def test_any_bytes_are_read_without_raising() -> None:
    chance = random.Random(5)
    for _ in range(2000):
        shared = page()
        shared[1024:1064] = chance.randbytes(40)
        shared[:8] = chance.choice([chance.randrange(60), chance.randrange(1 << 64)]).to_bytes(8, "little")
        reason = declared_reason(shared)
        assert isinstance(reason, str | dict | None)
        read_status(shared)


def cyclic() -> object:
    loop: list[object] = []
    loop.extend([loop] * 64)
    return {"shutdown": loop}


@pytest.mark.parametrize("reason", [
    "x" * 10**6, {"a": "ü" * 10**6}, {str(n): "y" * 500 for n in range(1000)}, [[[[[[[[[1]]]]]]]]], 42, None, object(),
    b"z" * 9999,
    {"k": 1 << 200}, "\ud800", {"error": {"type": "T" * 9000, "text": "t" * 9000}}, {1: {2.5: object()}}, cyclic(),
    {"k" * 5000: "v"},
])  # fmt: skip
def test_whatever_the_reason_it_fits(reason: object) -> None:
    cut = fitting(reason)
    assert isinstance(cut, (str, dict))
    assert len(msgspec.msgpack.encode(cut)) <= MAX_REASON_BYTES
    shared = page()
    assert StatusPage(shared).declare(reason) == cut == declared_reason(shared)


def test_the_key_of_a_reason_survives_the_cut() -> None:
    cut = fitting(cyclic())
    assert isinstance(cut, dict)
    assert set(cut) == {"shutdown"}
