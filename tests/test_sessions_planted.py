"""The random histories of ``sessions`` are worth something: each wrong rule planted here is noticed by one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from actorcore.exit_reason import Reason
from supervisors.tree import restart_budget, session_lives
from supervisors.tree.session_lives import SessionLives
from supervisors.tree.session_words import Memory, Session
from tests.test_sessions_random import SEEDS, simulate

_memory, _remove, _spawn, _crash = SessionLives.memory, SessionLives._remove, SessionLives._spawn, SessionLives._on_crash
_stop, _on_exit = SessionLives.stop, SessionLives.on_exit


def late_exits_count(self: SessionLives, serial: int, reason: Reason) -> None:
    for session in self.sessions.values():
        if session.last_serial == serial and session.serial:
            serial = session.serial
    _on_exit(self, serial, reason)


def names_are_free_during_restart(self: SessionLives, session: Session, serial: int) -> None:
    self.names.pop(session.spec.process.name or "", None)
    _crash(self, session, serial)


def back_off_survives_a_stop(self: SessionLives, session: Session) -> None:
    self._spawn(session, "restarting") if session.alarm and not session.serial else _stop(self, session)


def stop_answers_before_death(self: SessionLives, session: Session) -> None:
    _stop(self, session)
    self._answer(session.stoppers, session.row(self.now))


def stop_forgets_the_second_asker(self: SessionLives, session: Session) -> None:
    del session.stoppers[1:]
    _remove(self, session)


def restarts_join_nothing(self: SessionLives, asker: tuple[int, int], session: Session) -> None:
    session.starters.append(asker)
    self._spawn(session, "restarting")


def one_budget_for_all(self: SessionLives, session: Session, serial: int) -> None:
    session.times = sorted(then for other in self.sessions.values() for then in other.times)
    _crash(self, session, serial)


def memory_without(field: str, empty: Any) -> Callable[[SessionLives], Memory]:
    def forgetful(self: SessionLives) -> Memory:
        memory = _memory(self)
        kept = [msgspec.structs.replace(session, **{field: empty}) for session in memory.sessions]
        return Memory(memory.orders, memory.starts, memory.alarms, kept, memory.closing)

    return forgetful


def memory_without_closing(self: SessionLives) -> Memory:
    memory = _memory(self)
    memory.closing = None
    return memory


def one_restart_too_many(times: list[float], now: float, intensity: int, period_s: float) -> tuple[list[float], bool]:
    kept = [*(then for then in times if now <= then + period_s), now]
    return kept, len(kept) <= intensity + 1


def the_period_excludes_its_end(times: list[float], now: float, intensity: int, period_s: float) -> tuple[list[float], bool]:
    kept = [*(then for then in times if now + 1.0 < then + period_s), now]
    return kept, len(kept) <= intensity


PLANTED: dict[str, tuple[object, str, object]] = {
    "a late exit kills its successor": (SessionLives, "on_exit", late_exits_count),
    "names are free during a restart": (SessionLives, "_on_crash", names_are_free_during_restart),
    "a stop does not end the back-off": (SessionLives, "stop", back_off_survives_a_stop),
    "a stop is answered too early": (SessionLives, "stop", stop_answers_before_death),
    "the second stop is never answered": (SessionLives, "_remove", stop_forgets_the_second_asker),
    "a restart starts a second process": (SessionLives, "restart", restarts_join_nothing),
    "one budget for all sessions": (SessionLives, "_on_crash", one_budget_for_all),
    "one restart too many": (restart_budget, "add_restart", one_restart_too_many),
    "a period too short": (restart_budget, "add_restart", the_period_excludes_its_end),
    "every reason restarts": (session_lives, "is_restarted", lambda restart, reason: True),
    "the snapshot forgets Shutdown": (SessionLives, "memory", memory_without_closing),
    **{
        f"the snapshot forgets {field}": (SessionLives, "memory", memory_without(field, empty))
        for field, empty in [
            ("times", []), ("streak", 0), ("alarm", ""), ("spawn", 0), ("serial", 0), ("starters", []), ("stoppers", []),
            ("comes_back", False), ("was_ready", False), ("was_killed", False), ("ready_at", None), ("last_serial", 0),
            ("restarts", 0), ("reason", None), ("state", "active"),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_planted_wrong_rule_is_noticed(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    owner, name, rule = PLANTED[wrong]
    monkeypatch.setattr(owner, name, rule)
    for seed in SEEDS:
        try:
            simulate(seed)
        except (AssertionError, KeyError, ValueError):  # an invariant, or the bookkeeping of the wrong rule itself
            return
    pytest.fail(f"{len(SEEDS)} histories did not notice that {wrong}")
