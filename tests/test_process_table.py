"""The process table's rules, one sentence each. Every event is also given to a twin restored from a snapshot."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from actorcore.effects import Connect, Deliver, Forget, Fork, Kill, Publish, Report, Retract
from actorcore.frames import MAX_DATAGRAM_BYTES, Downlink, encoder
from actorcore.process_table import ProcessTable
from actorcore.signals import (
    EVERYTHING,
    Answer,
    Ask,
    Asked,
    Asking,
    Begin,
    Booted,
    Born,
    Channel,
    Demonitor,
    Down,
    Exit,
    Exited,
    ForkFailed,
    Introduce,
    IsAlive,
    Link,
    Monitor,
    PeerDown,
    Processes,
    ProcessSpec,
    Refill,
    Refused,
    Register,
    SendExit,
    Spawn,
    Started,
    Ticked,
    TrapExit,
    Undelivered,
    Unregister,
    Whereis,
    Writable,
)
from actorcore.table.backlog import MAX_BACKLOG
from tests.table_driver import Driver, bodies, deliveries, without_reports

SPEC = ProcessSpec("m:f")
NAMED = ProcessSpec("m:f", name="db")


# ---- births ---------------------------------------------------------------------------------------------------------


def test_a_spawn_forks_then_begins_when_born_then_answers_when_booted() -> None:
    node = Driver()
    client = node.client()
    assert node.ask(client, Spawn(NAMED)) == [Fork(3, "lean", 0)]
    assert node.do(Born(3, 50)) == [Deliver(3, 1, Begin(3, 9, 0, NAMED, 3))]
    assert node.do(Booted(3)) == [
        Publish("db", 3), Report("process_started", 3, "m:f"), Deliver(client, 1, Answer(1, 3)),
    ]  # fmt: skip


def test_a_resident_is_told_started() -> None:
    node = Driver()
    serial = node.fork()
    node.do(Born(serial, 1))
    assert bodies(node.do(Booted(serial)), node.root) == [Started(1, serial)]


def test_a_spawn_without_waiting_is_answered_at_once() -> None:
    node = Driver()
    client = node.client()
    assert node.value(client, Spawn(SPEC, wait_init=False)) == 3
    assert without_reports(node.do(Born(3, 1)) + node.do(Booted(3))) == ["Begin"]


def test_a_refused_init_frees_the_name_before_the_starter_hears_of_it() -> None:
    node = Driver()
    client = node.client()
    node.ask(client, Spawn(NAMED))
    node.do(Born(3, 1))
    assert deliveries(node.do(Refused(3, "nope")), client, Answer) == [Answer(1, None, ("start_failed", "nope"))]
    assert node.start(NAMED) == 4
    assert deliveries(node.exit(3, "nope"), client, Answer) == []


def test_ignore_is_an_answer_of_none() -> None:
    node = Driver()
    client = node.client()
    node.ask(client, Spawn(SPEC))
    node.do(Born(3, 1))
    assert deliveries(node.do(Refused(3, None)), client, Answer) == [Answer(1, None)]
    serial = node.fork()
    node.do(Born(serial, 1))
    assert bodies(node.do(Refused(serial, None)), node.root) == [Started(1, serial, ignored=True)]


def test_a_refused_process_that_stays_is_killed() -> None:
    node = Driver()
    serial = node.fork()
    node.do(Born(serial, 1))
    node.do(Refused(serial, "nope"))
    assert node.table.next_deadline() == 105.0
    node.now = 105.0
    assert Kill(serial) in node.do(Ticked())


def test_B3_death_before_ready_answers_once_and_releases_the_name() -> None:
    node = Driver()
    client = node.client()
    node.ask(client, Spawn(NAMED, link=True, monitor=5))
    node.ask(client, TrapExit(True))
    node.do(Born(3, 1))
    effects = node.kill(3)
    assert bodies(effects, client) == [
        Down([5], 3, "killed"), Exit(3, "killed", EVERYTHING), Answer(1, None, ("start_failed", "killed")),
    ]  # fmt: skip
    assert Retract("db") not in effects
    assert effects[-1] == Forget(3, 0)
    assert node.start(NAMED) == 4


def test_init_over_its_time_is_killed_and_the_starter_is_told_once_and_not_by_its_link() -> None:
    node = Driver()
    client = node.client()
    node.ask(client, Spawn(ProcessSpec("m:f", init_timeout_s=2.0), link=True))
    node.do(Born(3, 1))
    assert node.table.next_deadline() == 102.0
    node.now = 101.9
    assert node.do(Ticked()) == []
    node.now = 102.0
    effects = node.do(Ticked())
    assert without_reports(effects) == ["Answer", "Kill"]
    assert bodies(effects, client) == [Answer(1, None, ("start_timeout", "timeout"))]
    assert without_reports(node.do(Booted(3))) == []
    assert without_reports(node.kill(3)) == ["Forget"]


def test_a_taken_name_forks_nothing() -> None:
    node = Driver()
    holder = node.start(NAMED)
    client = node.client()
    assert node.error(client, Spawn(NAMED)) == ("start_failed", {"already_registered": holder})
    assert bodies(node.ask(node.root, Spawn(NAMED)), node.root) == [Started(2, 0, {"already_registered": holder})]
    assert node.error(client, Spawn(ProcessSpec("m:f", name="Bad"))) == ("start_failed", {"invalid_key": "Bad"})
    assert node.error(client, Spawn(ProcessSpec("m:f", name="system:x"))) == (
        "start_failed", {"reserved_key": "system:x"},
    )  # fmt: skip


def test_C11_a_failed_fork_is_an_answer_and_frees_the_page() -> None:
    node = Driver()
    client = node.client()
    node.ask(client, Spawn(NAMED, link=True))
    effects = node.do(ForkFailed(3, "eagain"))
    assert bodies(effects, client) == [Answer(1, None, ("resource_exhausted", "eagain"))]
    assert effects[-1] == Forget(3, 0)
    assert node.table.statistics().pages_free == 64
    assert node.value(client, IsAlive(client)) is True


def test_a_failed_fork_of_what_was_to_die_anyway_tells_that_reason() -> None:
    node = Driver()
    client = node.client()
    node.ask(client, Spawn(SPEC))
    node.ask(node.root, SendExit(3, {"shutdown": "x"}))
    assert bodies(node.do(ForkFailed(3, "eagain")), client) == [Answer(1, None, ("start_failed", {"shutdown": "x"}))]


def test_a_failed_fork_of_a_spawn_already_answered_is_told_by_monitor() -> None:
    node = Driver()
    client = node.client()
    node.ask(client, Spawn(SPEC, monitor=1, wait_init=False))
    effects = node.do(ForkFailed(3, "enomem"))
    assert bodies(effects, client) == [Down([1], 3, {"resource_exhausted": "enomem"})]


def test_without_pages_a_start_is_refused_and_the_smallest_free_page_is_used_again() -> None:
    node = Driver(pages=2)
    client = node.client()
    a, b = node.start(), node.start()
    assert node.error(client, Spawn(SPEC)) == ("resource_exhausted", "pages")
    node.exit(b)
    node.exit(a)
    assert without_reports(node.ask(client, Spawn(SPEC)))[0] == "Fork"
    assert node.table.rows(b, 9)[-1].page == 0


def test_signals_to_the_unborn_wait_behind_begin() -> None:
    node = Driver()
    trapping = node.fork(ProcessSpec("m:f", trap_exit=True))
    assert without_reports(node.ask(node.root, SendExit(trapping, "x"))) == ["Answer"]
    assert without_reports(node.do(Writable(trapping))) == []
    assert without_reports(node.do(Born(trapping, 1))) == ["Begin", "Exit"]
    plain = node.fork()
    assert Kill(plain) in node.ask(node.root, SendExit(plain, "x"))
    assert node.do(Born(plain, 1)) == [Kill(plain)]


def test_who_may_not_spawn_is_refused() -> None:
    node = Driver()
    a = node.start(ProcessSpec("m:f", may_spawn=False))
    assert node.error(a, Spawn(SPEC)) == ("not_permitted", "may_spawn")


def test_B4_a_stale_booted_marks_no_later_incarnation_ready() -> None:
    node = Driver()
    first = node.fork(NAMED)
    node.do(Born(first, 1))
    node.kill(first)
    second = node.fork(NAMED)
    node.do(Born(second, 2))
    assert node.do(Booted(first)) == [Report("stale", first, "booted")]
    assert node.value(node.root, Whereis("db")) is None
    assert Publish("db", second) in node.do(Booted(second))
    assert node.do(Booted(second)) == [Report("stale", second, "booted")]


# ---- deaths ---------------------------------------------------------------------------------------------------------


def test_a_death_retracts_then_tells_then_is_forgotten() -> None:
    node = Driver()
    a, watcher, peer = node.start(NAMED), node.start(), node.start(ProcessSpec("m:f", trap_exit=True))
    node.ask(watcher, Monitor(1, a))
    node.ask(watcher, Monitor(2, name="db"))
    node.ask(peer, Link(a))
    node.ask(peer, Introduce(a))
    effects = node.exit(a, {"error": "x"})
    assert without_reports(effects) == ["Retract", "Down", "Exit", "PeerDown", "Forget"]
    assert bodies(effects, watcher) == [Down([1, 2], a, {"error": "x"})]
    assert bodies(effects, peer) == [Exit(a, {"error": "x"}, EVERYTHING), PeerDown(a, {"error": "x"})]
    assert effects[-1] == Forget(a, 0)


def test_D6_a_late_exit_of_an_earlier_incarnation_harms_neither_process_nor_page() -> None:
    node = Driver()
    first = node.start(NAMED)
    node.kill(first)
    second = node.start(NAMED)
    assert node.table.rows(first, 1)[0].page == 0
    assert node.kill(first) == [Forget(first, -1)]
    assert node.value(node.root, Whereis("db")) == second
    assert node.value(node.root, IsAlive(second)) is True


def test_acceptance_62_two_kills_lead_to_one_death() -> None:
    node = Driver()
    a = node.start()
    node.ask(node.root, Monitor(1, a))
    effects = node.ask(node.root, SendExit(a, "kill")) + node.ask(node.root, SendExit(a, "kill"))
    assert [effect for effect in effects if isinstance(effect, Kill)] == [Kill(a)]
    assert deliveries(node.kill(a) + node.kill(a), node.root, Down) == [Down([1], a, "killed")]


def test_B17_a_link_signal_and_an_own_exit_have_one_outcome() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    node.ask(b, Link(a))
    node.ask(node.root, Monitor(1, b))
    assert Kill(b) in node.exit(a, "boom")
    assert without_reports(node.ask(b, Register("late"))) == []
    assert without_reports(node.do(Booted(b))) == []
    effects = node.exit(b, "own")
    assert deliveries(effects, node.root, Down) == [Down([1], b, "own")]
    assert node.value(node.root, IsAlive(b)) is False


def test_B17_the_first_decision_about_an_end_stands() -> None:
    node = Driver()
    a = node.start()
    node.ask(node.root, Monitor(1, a))
    node.ask(node.root, SendExit(a, "first"))
    node.ask(node.root, SendExit(a, "second"))
    assert deliveries(node.kill(a), node.root, Down) == [Down([1], a, "first")]


def test_another_signal_than_ours_is_told_truly() -> None:
    node = Driver()
    a = node.start()
    node.ask(node.root, Monitor(1, a))
    node.ask(node.root, SendExit(a, "ordered"))
    assert deliveries(node.do(Exited(a, 2, 11)), node.root, Down) == [Down([1], a, {"signal": "SIGSEGV"})]


@pytest.mark.parametrize("stage", ["never", "dead", "blank"])
def test_B18_a_monitor_of_what_is_not_alive_fires_at_once(stage: str) -> None:
    node = Driver()
    w, a = node.start(), node.start()
    if stage == "dead":
        node.kill(a)
    elif stage == "blank":
        a = node.do(Refill("lean", 1))[0].serial  # type: ignore[union-attr]
    else:
        a = 4711
    assert bodies(node.ask(w, Monitor(1, a)), w) == [Answer(1, True), Down([1], a, "noproc")]
    assert node.value(w, Demonitor(1)) is False


def test_a_monitor_of_what_is_dying_fires_when_it_is_dead() -> None:
    node = Driver()
    w, a = node.start(), node.start()
    node.ask(w, Monitor(1, a))
    node.ask(node.root, SendExit(a, "kill"))
    assert bodies(node.ask(w, Monitor(2, a)), w) == [Answer(2, True)]
    node.ask(w, Monitor(3, a))
    assert node.value(w, Demonitor(3)) is True
    assert deliveries(node.kill(a), w, Down) == [Down([1], a, "killed"), Down([2], a, "noproc")]
    assert bodies(node.ask(w, Monitor(4, a)), w)[1] == Down([4], a, "noproc")


def test_only_who_is_linked_has_a_parent() -> None:
    node = Driver()
    alone, linked = (node.fork(SPEC, link=link) for link in (False, True))
    begun = [effect.body for serial in (alone, linked) for effect in node.do(Born(serial, 7)) if isinstance(effect, Deliver)]
    assert [begin.parent for begin in begun if isinstance(begin, Begin)] == [alone, node.root]


def test_B18_a_monitor_of_the_name_of_who_is_not_ready_fires_at_once() -> None:
    node = Driver()
    w = node.start()
    node.fork(NAMED)
    assert bodies(node.ask(w, Monitor(1, name="db")), w)[1] == Down([1], 0, "noproc")


def test_a_dying_process_hears_and_says_nothing_more() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    node.ask(a, Monitor(1, b))
    node.ask(node.root, SendExit(a, "boom"))
    assert bodies(node.exit(b), a) == []
    assert node.ask(a, TrapExit(True)) == []


def test_acceptance_66_monitors_and_links_leave_nothing_behind() -> None:
    node = Driver(check=False)
    a, b = node.start(), node.start()
    for number in range(1, 100_001):
        node.table.handle(Asked(a, 2 * number, Monitor(number, b)), 0.0)
        node.table.handle(Asked(a, 2 * number + 1, Demonitor(number)), 0.0)
    assert node.table.statistics().monitors == 0
    node.numbers[a] = 1_000_000
    for ref in range(10):
        node.ask(a, Monitor(ref, b))
    node.ask(a, Link(b))
    node.exit(a)
    statistics = node.table.statistics()
    assert (statistics.monitors, statistics.links) == (0, 0)
    node.table.check_invariants()


def test_a_channel_is_counted_once_and_no_more_when_one_end_is_dead() -> None:
    node = Driver()
    a, b, c = node.start(), node.start(), node.start()
    node.ask(a, Introduce(b))
    node.ask(a, Introduce(c))
    assert node.table.statistics().channels == 2
    node.kill(b)
    assert node.table.statistics().channels == 1


def test_ten_thousand_monitors_of_one_watcher_are_one_down_and_more_are_as_many_as_fit() -> None:
    node = Driver(check=False)
    a, w = node.start(), node.start()
    refs = range(2**32 - 10_001, 2**32)
    for ref in refs:
        node.ask(w, Monitor(ref, a))
    down, last = deliveries(node.kill(a), w, Down)
    assert (down.refs, last.refs) == (list(refs[:-1]), [refs[-1]])
    assert len(encoder.encode([Downlink(2**63, down)])) < MAX_DATAGRAM_BYTES


def test_a_long_chain_of_linked_clients_ends_without_recursion() -> None:
    node = Driver(check=False)
    clients = [node.client() for _ in range(3000)]
    for a, b in pairwise(clients):
        node.ask(a, Link(b))
    effects = node.ask(node.root, SendExit(clients[0], "boom"))
    assert sum(isinstance(effect, Forget) for effect in effects) == 3000
    assert node.table.statistics().clients == 0
    node.table.check_invariants()


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_are_refused_by_their_rules() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    for bad in ("", "Upper", "-x", "a" * 65, "ä", "a b", "a\n"):
        assert node.error(a, Register(bad))[0] == "invalid_key"
    assert node.error(a, Register("system:x")) == ("reserved_key", "system:x")
    assert node.value(a, Register("a" * 64)) is True
    assert node.error(b, Register("a" * 64)) == ("already_registered", a)
    assert node.error(a, Register("second")) == ("already_registered", "a" * 64)
    assert node.error(a, Register("x", 4711)) == ("process_not_alive", "noproc")
    assert node.value(node.root, Whereis("system:root")) == node.root
    assert node.error(b, Unregister("a" * 64))[0] == "not_permitted"
    assert node.error(b, Unregister("nobody"))[0] == "not_found"
    assert node.value(b, Register("c", b)) is True


def test_who_registered_another_may_unregister_it() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    node.ask(a, Register("b", b))
    effects = node.ask(a, Unregister("b"))
    assert Retract("b") in effects
    assert node.value(a, Whereis("b")) is None


# ---- back-pressure and channels -------------------------------------------------------------------------------------


def test_what_a_full_socket_refused_comes_again_in_order() -> None:
    node = Driver()
    a = node.start()
    sent = [e for n in range(3) for e in node.ask(a, Whereis(f"n{n}")) if isinstance(e, Deliver)]
    node.do(Undelivered(a, sent[1].seq, sent[1].body))
    assert node.ask(a, Whereis("later")) == []
    node.do(Undelivered(a, sent[2].seq, sent[2].body))
    again = node.do(Writable(a))
    assert again == [*sent[1:], Deliver(a, sent[2].seq + 1, Answer(4, None))]
    assert node.do(Writable(a)) == []


def test_a_process_that_never_reads_is_killed_at_the_bound() -> None:
    node = Driver(check=False)
    a = node.start()
    node.ask(node.root, Monitor(1, a))
    node.do(Undelivered(a, 1, Answer(1)))
    effects = [e for _ in range(MAX_BACKLOG) for e in node.ask(a, IsAlive(a))]
    assert Kill(a) in effects
    assert deliveries(node.kill(a), node.root, Down) == [Down([1], a, {"killed": "mailbox_full"})]


def test_a_pair_is_connected_once() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    assert node.ask(a, Introduce(b)) == [Connect(a, 2, b, 2), Deliver(a, 3, Answer(1, True))]
    assert node.ask(b, Introduce(a)) == [Deliver(b, 3, Answer(1, True))]
    assert node.error(a, Introduce(a)) == ("calling_self", None)
    assert node.value(a, Introduce(node.root)) == "resident"
    assert node.error(a, Introduce(4711)) == ("process_not_alive", "noproc")


def test_an_introduction_waits_for_a_socket_that_is_full_and_ends_with_its_owner() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    node.do(Undelivered(b, 1, Answer(1)))
    assert node.ask(a, Introduce(b)) == []
    assert without_reports(node.do(Writable(b))) == ["Answer", "Connect", "Answer"]
    c = node.fork()
    assert node.ask(a, Introduce(c)) == []
    effects = node.do(ForkFailed(c, "eagain"))
    assert deliveries(effects, a, Answer)[0].error == ("process_not_alive", {"resource_exhausted": "eagain"})


def test_a_channel_frame_that_was_refused_is_connected_again() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    node.ask(a, Introduce(b))
    node.do(Undelivered(b, 2, Channel(a, False)))
    assert node.do(Writable(b)) == [Connect(a, 2, b, 2)]
    node.do(Undelivered(a, 2, Channel(b, True)))
    assert node.do(Writable(a)) == [Connect(a, 2, b, 2)]


def test_a_lost_channel_is_replaced_once_whoever_asks_first() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    node.ask(a, Introduce(b))
    assert node.ask(b, Introduce(a, lost=2)) == [Connect(b, 3, a, 4), Deliver(b, 4, Answer(1, True))]
    assert node.ask(a, Introduce(b, lost=2)) == [Deliver(a, 5, Answer(2, True))]
    node.do(Undelivered(b, 2, Channel(a, False)))  # the first one came back late
    assert node.do(Writable(b)) == []


def test_a_client_opens_its_channels() -> None:
    node = Driver()
    a, c = node.start(), node.client()
    assert node.ask(a, Introduce(c))[0] == Connect(c, 1, a, 2)


def test_an_exit_signal_waits_with_the_introduction_of_the_messages_before_it() -> None:
    node = Driver()
    a, b = node.start(), node.start(ProcessSpec("m:f", trap_exit=True))
    node.do(Undelivered(b, 1, Answer(1)))
    node.ask(a, Introduce(b))
    assert node.ask(a, SendExit(b, "late", after=3)) == [Deliver(a, 2, Answer(2, True))]
    assert without_reports(node.do(Writable(b))) == ["Answer", "Connect", "Answer", "Exit"]
    assert bodies(node.ask(a, SendExit(b, "later", after=5, channel=3)), b) == [Exit(a, "later", 5, 3)]
    assert bodies(node.ask(a, SendExit(b, "lost", after=5, channel=1)), b) == [Exit(a, "lost", 0, 4)]


def test_an_exit_signal_that_waits_comes_before_the_death_of_its_sender() -> None:
    node = Driver()
    a, b = node.start(), node.start(ProcessSpec("m:f", trap_exit=True))
    node.ask(b, Link(a))
    node.do(Undelivered(b, 2, Answer(1)))
    node.ask(a, Introduce(b))
    node.ask(a, SendExit(b, "late", after=3))
    node.kill(a)
    assert bodies(node.do(Writable(b)), b) == [Answer(1), Exit(a, "late", 0, 2), Exit(a, "killed", EVERYTHING)]


def test_a_channel_frame_to_the_dying_is_not_connected_again_and_peer_down_follows() -> None:
    node = Driver()
    a, b = node.start(), node.start()
    node.ask(a, Introduce(b))
    node.do(Undelivered(b, 2, Channel(a, False)))
    node.ask(node.root, SendExit(a, "kill"))
    assert node.do(Writable(b)) == []
    assert bodies(node.kill(a), b) == [PeerDown(a, "killed")]


# ---- residents ------------------------------------------------------------------------------------------------------


def test_a_resident_is_asked_and_answers_once() -> None:
    node = Driver()
    a = node.start()
    raw = msgspec.Raw(b"\xc3")
    assert node.ask(a, Ask(node.root, raw))[0].body == Asking(a, 1, raw)  # type: ignore[union-attr]
    assert bodies(node.resident_answers(a, 1, "yes"), a) == [Answer(1, "yes")]
    assert node.resident_answers(a, 1, "again") == []
    assert node.error(a, Ask(a, raw))[0] == "unsupported"
    assert node.error(a, Ask(4711, raw)) == ("process_not_alive", "noproc")


def test_a_resident_traps_always_and_its_end_is_told_and_answers_who_waits() -> None:
    node = Driver()
    service = node.table.add_resident("system:service")
    a, w = node.start(), node.start()
    assert bodies(node.ask(a, SendExit(service, "boom")), service) == [Exit(a, "boom", number=1)]
    node.ask(a, Ask(service, msgspec.Raw(b"\xc0")))
    node.ask(w, Monitor(1, service))
    effects = node.resident_exited(service, "shutdown")
    assert without_reports(effects) == ["Retract", "Down", "Answer", "Forget"]
    assert deliveries(effects, a, Answer) == [Answer(2, None, ("process_not_alive", "shutdown"))]
    assert node.resident_exited(service, "shutdown") == []


def test_kill_ends_a_resident_too() -> None:
    node = Driver()
    service = node.table.add_resident("system:service")
    a = node.start()
    node.ask(a, Link(service))
    effects = node.ask(a, SendExit(service, "kill"))
    assert without_reports(effects) == ["Answer", "Retract", "Kill", "Forget"]
    assert effects[-1] == Forget(service, -1)


def test_add_resident_refuses_bad_names() -> None:
    table = ProcessTable(1)
    assert table.add_resident(None) == 1
    assert table.add_resident("system:a") == 2
    with pytest.raises(ValueError, match="already_registered"):
        table.add_resident("system:a")
    with pytest.raises(ValueError, match="invalid_key"):
        table.add_resident("system:")


# ---- questions ------------------------------------------------------------------------------------------------------


def test_processes_come_in_pages() -> None:
    node = Driver()
    serials = [node.start() for _ in range(5)]
    page = node.value(node.root, Processes(after=serials[1], limit=2))
    assert isinstance(page, list)
    assert [row["serial"] for row in page] == serials[2:4]  # type: ignore[index,call-overload]


def test_what_is_not_in_the_vocabulary_raises() -> None:
    with pytest.raises(TypeError, match="not an event"):
        ProcessTable(1).handle("hello", 0.0)  # type: ignore[arg-type]
