"""Names in the process table: values, batches, and names that a supervisor keeps for its next child (B12)."""

from __future__ import annotations

import msgspec
import pytest

from actorcore import names
from actorcore.effects import Deliver, Effect, Publish, PublishMany, Retract
from actorcore.exit_reason import Reason
from actorcore.kernel import Kernel
from actorcore.names import decode_value, encode_value
from actorcore.registry_layout import BLOCK_BYTES, VALUE_BYTES
from actorcore.signals import (
    EVERYTHING,
    Answer,
    Ask,
    Asked,
    Booted,
    Born,
    ClientAttached,
    ClientDetached,
    Down,
    Event,
    Exit,
    Exited,
    ForkFailed,
    Lookup,
    Monitor,
    ProcessSpec,
    Refused,
    Register,
    RegisterMany,
    Release,
    Request,
    SendExit,
    Spawn,
    Ticked,
    TrapExit,
    Unregister,
    Whereis,
)
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import RemoveSession, SessionRequest, StartSession, StopSession
from supervisors.tree.sessions import Sessions
from tests.table_driver import Driver, bodies

# ---- values ----


def test_a_name_is_found_with_its_value_and_both_go_together() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    value = encode_value({"role": "db", "port": 5432})
    effects = node.ask(a, Register("db", a, value))
    assert Publish("db", a, value) in effects
    assert node.value(b, Lookup("db")) == [a, value]
    assert decode_value(value) == {"role": "db", "port": 5432}
    assert Retract("db") in node.kill(a)
    assert node.value(b, Lookup("db")) is None


def test_a_value_is_none_or_msgpack_of_at_most_2_KiB() -> None:
    node = Driver()
    a = node.start()
    assert node.error(a, Register("a", a, bytes(VALUE_BYTES + 1))) == ("value_too_long", VALUE_BYTES + 1)
    assert node.value(a, Register("a", a, bytes(VALUE_BYTES))) is True
    assert encode_value(None) == b"" and decode_value(b"") is None


def test_the_table_refuses_what_would_not_fit_into_the_shared_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_BLOCKS", 3)
    node = Driver(check=False)
    a, b = node.start(), node.start()
    assert node.value(a, Register("a", a, bytes(2 * BLOCK_BYTES))) is True
    assert node.error(b, Register("b", b, bytes(BLOCK_BYTES + 1))) == ("registry_full", None)
    assert node.value(b, Register("b", b, bytes(BLOCK_BYTES))) is True
    node.kill(a)
    node.kill(b)
    c = node.start()
    assert node.value(c, Register("c", c, bytes(3 * BLOCK_BYTES))) is True


# ---- batches ----


def test_acceptance_36_a_batch_is_published_at_one_instant() -> None:
    node = Driver()
    a, b, c = node.start(), node.start(), node.client()
    effects = node.ask(c, RegisterMany([Register("a", a, b"\x01"), Register("b", b), Register("me")]))
    published = PublishMany([Publish("a", a, b"\x01"), Publish("b", b), Publish("me", c)])
    assert [effect for effect in effects if isinstance(effect, (Publish, PublishMany))] == [published]
    assert [node.value(c, Whereis(name)) for name in ("a", "b", "me")] == [a, b, c]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (Register("Bad"), "invalid_key"),
        (Register("system:x"), "reserved_key"),
        (Register("taken"), "already_registered"),
        (Register("x", 4711), "process_not_alive"),
        (Register("x", 0, bytes(VALUE_BYTES + 1)), "value_too_long"),
        (Register("first"), "already_registered"),
    ],
)
def test_acceptance_32_36_a_batch_with_one_bad_member_registers_none(bad: Register, code: str) -> None:
    node = Driver()
    a, b, c = node.start(), node.start(), node.client()
    node.value(b, Register("taken"))
    before = node.table.published()
    effects = node.ask(c, RegisterMany([Register("first", a), bad, Register("last")]))
    [answer] = [effect.body for effect in effects if isinstance(effect, Deliver)]
    assert isinstance(answer, Answer) and answer.error is not None
    assert (answer.error[0], list(answer.error[1])) == (code, [bad.name])  # type: ignore[arg-type]
    assert [effect for effect in effects if isinstance(effect, (Publish, PublishMany))] == []
    assert node.table.published() == before
    assert node.value(a, Register("mine")) is True  # it has no name from the batch


def test_acceptance_38_the_names_of_a_batch_go_with_each_holder() -> None:
    node = Driver()
    a, b, c = node.start(), node.start(), node.client()
    node.ask(c, RegisterMany([Register("a", a), Register("b", b)]))
    node.ask(c, RegisterMany([Register("a", a), Register("Bad")]))
    assert Retract("a") in node.kill(a)
    assert [node.value(c, Whereis(name)) for name in ("a", "b")] == [None, b]


def test_who_is_dying_keeps_its_name_from_nobody_and_loses_it_before_it_is_another_s() -> None:
    node = Driver()
    dying, other, client = node.start(ProcessSpec("m:f", name="wanted")), node.start(), node.client()
    node.ask(client, SendExit(dying, "kill"))
    effects = node.ask(other, Register("wanted"))
    assert [effect for effect in effects if isinstance(effect, (Publish, Retract))] == [
        Retract("wanted"), Publish("wanted", other),
    ]  # fmt: skip
    assert Retract("wanted") not in node.kill(dying)
    assert node.value(client, Whereis("wanted")) == other
    node.ask(client, SendExit(other, "kill"))
    successor = node.start(ProcessSpec("m:f", name="wanted"))
    node.kill(other)
    assert node.value(client, Whereis("wanted")) == successor


def test_a_dying_holder_s_name_is_kept_for_whom_it_is_kept() -> None:
    node = Driver()
    dying, stranger = node.start(SPEC, reserve=True), node.start()
    node.ask(stranger, SendExit(dying, "kill"))
    assert node.error(stranger, Register("kept")) == ("already_registered", 0)
    successor = node.start(SPEC, reserve=True)
    assert node.value(stranger, Whereis("kept")) == successor


# ---- names that are kept ----

SPEC = ProcessSpec("m:f", name="kept")


TAKEN = {"already_registered": 9}


@pytest.mark.parametrize(("reason", "waits", "told"), [
    (TAKEN, True, []), (TAKEN, False, [Exit(3, TAKEN, EVERYTHING)]),
    ("no", True, [Exit(3, "no", EVERYTHING)]), ({"why": "no"}, True, [Exit(3, {"why": "no"}, EVERYTHING)]),
])  # fmt: skip
def test_a_key_that_is_taken_is_told_to_who_waits_for_the_start_and_not_by_the_link_as_well(
    reason: Reason, waits: bool, told: list[Exit]
) -> None:
    node = Driver()
    client = node.client()
    node.ask(client, TrapExit(True))
    node.ask(client, Spawn(ProcessSpec("m:f"), link=True, wait_init=waits))
    node.do(Born(3, 1))
    refused = bodies(node.do(Refused(3, reason)), client)
    assert refused == ([Answer(2, None, ("start_failed", reason))] if waits else [])
    assert bodies(node.exit(3, reason), client) == told


def test_B12_a_name_in_a_spec_stays_taken_for_the_next_child_and_is_not_found() -> None:
    node = Driver()
    first, stranger = node.start(SPEC, reserve=True), node.start()
    node.kill(first)
    assert node.value(stranger, Whereis("kept")) is None
    assert node.error(stranger, Register("kept")) == ("already_registered", 0)
    assert node.error(stranger, Spawn(SPEC)) == ("start_failed", {"already_registered": 0})
    second = node.start(SPEC, reserve=True)
    assert node.value(stranger, Whereis("kept")) == second


def test_B12_a_name_that_the_process_registered_itself_is_free_when_it_dies() -> None:
    node = Driver()
    first, stranger = node.start(reserve=True), node.start()
    node.value(first, Register("own"))
    node.kill(first)
    assert node.value(stranger, Register("own")) is True


def test_a_kept_name_that_its_process_unregistered_is_only_for_its_owner_s_children() -> None:
    node = Driver()
    first, stranger = node.start(SPEC, reserve=True), node.start()
    assert node.value(first, Unregister("kept")) is True
    other_child = node.start(reserve=True)
    for other in (other_child, stranger, node.client()):
        assert node.error(other, Register("kept")) == ("already_registered", 0)
    assert node.value(first, Register("kept")) is True
    assert node.error(other_child, Register("kept")) == ("already_registered", first)
    assert node.value(stranger, Whereis("kept")) == first


@pytest.mark.parametrize("ending", ["release", "owner dies"])
def test_a_kept_name_is_free_when_its_owner_gives_it_up_or_dies(ending: str) -> None:
    node = Driver()
    owner, stranger = node.client(), node.start()
    [serial] = [e.serial for e in node.ask(owner, Spawn(SPEC, reserve=True)) if type(e).__name__ == "Fork"]
    node.do(Born(serial, 1))
    node.do(Booted(serial))
    node.kill(serial)
    assert node.error(stranger, Register("kept")) == ("already_registered", 0)
    if ending == "release":
        assert node.value(owner, Release("kept")) is True
        assert node.value(owner, Release("kept")) is False
    else:
        node.do(ClientDetached(owner, dead=True))
    assert node.value(stranger, Register("kept")) is True




def test_who_holds_a_name_keeps_it_when_the_owner_gives_it_up() -> None:
    node = Driver()
    first = node.start(SPEC, reserve=True)
    assert node.value(node.root, Release("kept")) is True
    assert node.value(node.root, Whereis("kept")) == first
    node.kill(first)
    assert node.value(node.root, Register("kept", node.start())) is True


@pytest.mark.parametrize("end", ["refused", "fork failed", "timeout"])
def test_a_start_that_fails_leaves_the_name_kept(end: str) -> None:
    node = Driver()
    node.kill(node.start(SPEC, reserve=True))
    serial = node.fork(SPEC, reserve=True)
    if end == "fork failed":
        node.do(ForkFailed(serial, "eagain"))
    else:
        node.do(Born(serial, 1))
        if end == "refused":
            node.do(Refused(serial, "no"))
        else:
            node.now += 11
            node.do(Ticked())
        node.exit(serial)
    stranger = node.start()
    assert node.error(stranger, Register("kept")) == ("already_registered", 0)
    assert node.value(stranger, Whereis("kept")) is None


# ---- sessions ----


class Daemon:
    """A kernel with sessions, a client, and a process of the client's."""

    def __init__(self) -> None:
        self.kernel = Kernel(1, {"sessions": Sessions()})
        self.now, self.number, self.answer = 100.0, 0, Answer(0)
        self.sessions = self.kernel.table.published()["system:sessions"]
        self.do(ClientAttached(0, b"", 1))
        self.me = self.kernel.table.last_client

    def do(self, event: Event) -> list[Effect]:
        twin = Kernel(1, {"sessions": Sessions()})
        twin.restore(self.kernel.snapshot())
        effects = self.kernel.handle(event, self.now)
        assert twin.handle(event, self.now) == effects
        self.kernel.table.check_invariants()
        for effect in effects:
            if isinstance(effect, Deliver) and isinstance(effect.body, Answer):
                self.answer = effect.body
        return effects

    def ask(self, body: Request | SessionRequest) -> Answer:
        self.number += 1
        if not isinstance(body, (Register, Whereis)):
            body = Ask(self.sessions, msgspec.Raw(msgspec.msgpack.encode(body)))
        self.do(Asked(self.me, self.number, body))
        return self.answer

    def live(self) -> int:
        """Bring the process that was forked last to life."""
        serial = max(row.serial for row in self.kernel.table.rows(0, 99))
        self.do(Born(serial, serial))
        self.do(Booted(serial))
        return serial


NAMED = ChildSpec("s", ProcessSpec("m:f", name="kept"), restart="permanent", backoff_initial_s=1.0)


def test_B12_a_session_s_name_is_kept_while_it_waits_for_its_restart_and_until_it_is_off_the_list() -> None:
    it = Daemon()
    it.ask(StartSession(NAMED))
    first = it.live()
    it.do(Exited(first, 2, 9))
    assert it.ask(Whereis("kept")).value is None
    assert it.ask(Register("kept")).error == ("already_registered", 0)
    it.now += 2
    it.do(Ticked())
    assert it.ask(Register("kept")).error is not None  # its next process is on its way
    second = it.live()
    assert it.ask(Whereis("kept")).value == second
    it.ask(StopSession("s"))
    it.do(Exited(second, 2, 9))
    assert it.ask(Register("kept")).value is True


def test_B18_a_monitor_of_a_session_that_waits_for_its_restart_fires_at_once_and_never_again() -> None:
    it = Daemon()
    it.ask(StartSession(NAMED))
    first = it.live()
    it.do(Exited(first, 2, 9))
    downs: list[Down] = []
    for number, monitor in enumerate([Monitor(1, name="kept"), Monitor(2, first), Monitor(3, first + 1)], 10):
        effects = it.do(Asked(it.me, number, monitor))
        downs += [effect.body for effect in effects if isinstance(effect, Deliver) and isinstance(effect.body, Down)]
    assert downs == [Down([1], 0, "noproc"), Down([2], first, "noproc"), Down([3], first + 1, "noproc")]
    it.now += 2
    it.do(Ticked())
    effects = it.do(Exited(it.live(), 2, 9))
    assert [effect for effect in effects if isinstance(effect, Deliver) and effect.to == it.me] == []


def test_B12_a_session_that_was_given_up_keeps_its_name_until_it_is_removed() -> None:
    it = Daemon()
    it.ask(StartSession(msgspec.structs.replace(NAMED, intensity=0, backoff_initial_s=0.0)))
    it.do(Exited(it.live(), 2, 9))
    assert it.ask(Register("kept")).error == ("already_registered", 0)
    it.ask(RemoveSession("s"))
    assert it.ask(Register("kept")).value is True


def test_acceptance_46_a_temporary_session_that_dies_leaves_its_name_free() -> None:
    it = Daemon()
    it.ask(StartSession(ChildSpec("s", ProcessSpec("m:f", name="kept"), restart="temporary")))
    it.do(Exited(it.live(), 2, 9))
    assert it.ask(Register("kept")).value is True


def test_a_name_of_the_daemon_s_is_for_residents_by_residents_alone() -> None:
    node = Driver()
    client = node.client()
    assert node.error(client, Register("system:x", node.root)) == ("reserved_key", "system:x")
    assert node.error(client, Register("system:x")) == ("reserved_key", "system:x")
    assert node.error(node.root, Register("system:x", client)) == ("reserved_key", "system:x")
