"""Snapshots of the schema before become today's; others are refused and change nothing. Reloads are answered once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from actorcore import migrations
from actorcore.effects import Deliver, Effect, Operate, Report
from actorcore.kernel import Kernel
from actorcore.signals import Answer, Ask, Asked, Booted, Born, Exited, ReloadEnded, Ticked, TookOver
from supervisors.tree.sessions import Sessions

RECORDED = Path(__file__).parent / "recorded"
NODE, SESSIONS, CLIENT, COUNTING, PLAIN, SLOW = 1, 2, 3, 4, 5, 9


def recorded(schema: int) -> bytes:
    """What a node of that schema left: a client with a link, two monitors and a spawn under way; two sessions, one of
    them waiting for its restart at 5 s; a named process; two blanks on their way."""
    return (RECORDED / f"kernel_schema_{schema}.msgpack").read_bytes()


def kernel() -> Kernel:
    return Kernel(0x7F3A, {"sessions": Sessions()})


def restored(data: bytes) -> Kernel:
    made = kernel()
    made.restore(data)
    return made


def ask(node: Kernel, number: int, to: int, body: object) -> list[Effect]:
    return node.handle(Asked(CLIENT, number, Ask(to, msgspec.Raw(msgspec.msgpack.encode(body)))), 4.0)


def answers(effects: list[Effect]) -> list[Answer]:
    """What the client is answered; its DOWNs come along when its process dies."""
    return [e.body for e in effects if isinstance(e, Deliver) and e.to == CLIENT and isinstance(e.body, Answer)]


def test_there_is_a_recorded_snapshot_and_a_migration_of_the_schema_before_and_of_no_other() -> None:
    before = migrations.SCHEMA - 1
    assert list(migrations.MIGRATIONS) == [before]
    assert [path.name for path in RECORDED.glob("kernel_schema_*")] == [f"kernel_schema_{before}.msgpack"]


def test_B16_a_snapshot_of_the_schema_before_keeps_everything() -> None:
    node = restored(recorded(migrations.SCHEMA - 1))
    assert [(row.serial, row.kind, row.phase, row.name, row.os_pid) for row in node.table.rows(0, 99)] == [
        (NODE, "resident", "running", "system:node", 0), (SESSIONS, "resident", "running", "system:sessions", 0),
        (CLIENT, "client", "running", None, 99), (COUNTING, "process", "running", "counter", 1001),
        (PLAIN, "process", "running", "plain", 1002), (7, "process", "forking", None, 0), (8, "process", "forking", None, 0),
        (SLOW, "process", "forking", None, 0),
    ]  # fmt: skip
    assert (node.table.statistics().links, node.table.statistics().monitors, node.next_deadline()) == (2, 2, 5.0)
    (status,) = answers(ask(node, 6, NODE, {"verb": "status"}))
    assert isinstance(status.value, dict)
    assert (status.value["node_os_pid"], status.value["generation"]) == (4321, 3)
    (listing,) = answers(ask(node, 7, SESSIONS, ["list_sessions"]))
    assert isinstance(listing.value, dict)
    sessions = listing.value["sessions"]
    assert isinstance(sessions, list)
    assert [(row["id"], row["state"], row["restarts"]) for row in sessions if isinstance(row, dict)] == [
        ("counting", "active", 0), ("failing", "restarting", 1),
    ]  # fmt: skip


def test_B16_what_was_under_way_in_the_schema_before_goes_on() -> None:
    node = restored(recorded(migrations.SCHEMA - 1))
    node.handle(Born(SLOW, 1009), 4.5)
    assert answers(node.handle(Booted(SLOW), 4.6)) == [Answer(5, SLOW)]
    before = node.table.blanks()
    node.handle(Ticked(), 5.0)  # the restart is due, and takes a blank that is on its way
    assert (before, node.table.blanks()) == ({"lean": 2}, {"lean": 1})
    downs = [e.body for e in node.handle(Exited(COUNTING, 2, 11), 6.0) if isinstance(e, Deliver) and e.to == CLIENT]
    assert msgspec.to_builtins(downs) == [["down", [6], COUNTING, {"signal": "SIGSEGV"}]]


def test_B16_a_migrated_snapshot_is_written_in_the_schema_of_today_and_stays_the_same() -> None:
    node = restored(recorded(migrations.SCHEMA - 1))
    again = restored(node.snapshot())
    assert migrations.read(again.snapshot()).schema == migrations.SCHEMA
    assert again.snapshot() == node.snapshot()


@pytest.mark.parametrize("schema", [0, migrations.SCHEMA + 1, migrations.SCHEMA - 2])
def test_B16_a_snapshot_of_another_schema_is_refused_in_clear_words_and_nothing_is_changed(schema: int) -> None:
    node = kernel()
    before = node.snapshot()
    other = msgspec.msgpack.encode([schema, *msgspec.msgpack.decode(before)[1:], "a new field"])
    known = f"{migrations.SCHEMA - 1} to {migrations.SCHEMA}"
    with pytest.raises(ValueError, match=f"^snapshot of schema {schema}; this code reads {known}$"):
        node.restore(other)
    assert node.snapshot() == before


# ---- who waits for a reload ---------------------------------------------------------------------------------------


def test_a_reload_is_answered_by_whatever_node_hears_of_its_end_and_once() -> None:
    node = restored(recorded(migrations.SCHEMA - 1))
    assert ask(node, 6, NODE, {"verb": "reload"}) == [Operate("reload", 1)]
    node = restored(node.snapshot())
    node.handle(TookOver(77, 4), 5.0)
    (answer,) = answers(node.handle(ReloadEnded(1), 5.0))
    assert isinstance(answer.value, dict)
    assert (answer.number, answer.value["node_os_pid"], answer.value["generation"]) == (6, 77, 4)
    assert answers(node.handle(ReloadEnded(1), 6.0)) == []


def test_a_refused_reload_is_an_error_for_everybody_who_waits() -> None:
    node = restored(recorded(migrations.SCHEMA - 1))
    assert ask(node, 6, NODE, {"verb": "reload"}) + ask(node, 7, NODE, {"verb": "reload"}) == [
        Operate("reload", 1), Operate("reload", 2),
    ]  # fmt: skip
    effects = node.handle(ReloadEnded(2, "it died"), 5.0)
    assert effects[0] == Report("reload_ended", 0, "it died")
    assert answers(effects) == [Answer(number, None, ("reload_failed", "it died")) for number in (6, 7)]


def test_the_end_of_an_earlier_reload_answers_nobody() -> None:
    node = restored(recorded(migrations.SCHEMA - 1))
    ask(node, 6, NODE, {"verb": "reload"})
    node.handle(ReloadEnded(1), 5.0)
    ask(node, 7, NODE, {"verb": "reload"})
    assert answers(node.handle(ReloadEnded(1, "old"), 6.0)) == []
    assert [answer.number for answer in answers(node.handle(ReloadEnded(2), 6.0))] == [7]
