"""Which zygote the guardian takes to be stuck when a node asks for another one, as it does every two seconds of silence."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from actorcore.runtime import children, clock
from actorcore.runtime.guardian.keep import Mappings
from actorcore.runtime.guardian.zygotes import PRELOAD_S, YOUNG_S, Zygotes

ZYGOTE = 4711


class Played(Zygotes):
    """Its programs are numbers; time stands still unless told, and ``comm`` is the name that a zygote bears."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nothing = memoryview(b"")
        super().__init__(Mappings(nothing, nothing, nothing, -1, -1, lambda: 0), (), "", lambda word, fds: None)
        self.now_s, self.comm = 1000.0, "python"
        self.killed: list[int] = []
        self.ours, self._theirs = socket.socketpair()
        monkeypatch.setattr(clock, "monotonic_s", lambda: self.now_s)
        monkeypatch.setattr(children, "comm", lambda os_pid: self.comm)
        monkeypatch.setattr(children, "kill", self.killed.append)
        self._start("lean")

    def _spawn(self, name: str) -> tuple[int, socket.socket]:
        return ZYGOTE, self.ours

    def asked(self, after_s: float, comm: str) -> list[int]:
        """Whom it has killed when it is asked so much later, and the zygote bears that name."""
        self.now_s += after_s
        self.comm = comm
        self.replace("lean")
        return self.killed

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()


@pytest.fixture
def zygotes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    made = Played(monkeypatch)
    yield made
    made.close()


def test_one_that_has_served_for_long_and_is_silent_is_killed_at_once(zygotes: Played) -> None:
    assert zygotes.asked(3600.0, children.NEWBORN_COMM) == [ZYGOTE]


def test_one_that_began_to_serve_since_the_last_request_has_until_the_next(zygotes: Played) -> None:
    assert zygotes.asked(3.0, "python") == []
    assert zygotes.asked(2.0, children.NEWBORN_COMM) == []
    assert zygotes.asked(2.0, children.NEWBORN_COMM) == [ZYGOTE]


def test_one_that_is_younger_than_the_time_of_a_birth_has_until_the_next_request(zygotes: Played) -> None:
    assert zygotes.asked(YOUNG_S - 0.1, children.NEWBORN_COMM) == []
    assert zygotes.asked(2.0, children.NEWBORN_COMM) == [ZYGOTE]


def test_one_that_imports_for_ever_is_killed(zygotes: Played) -> None:
    assert zygotes.asked(PRELOAD_S, "python") == []
    assert zygotes.asked(0.1, "python") == [ZYGOTE]
