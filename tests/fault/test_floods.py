"""RELIABILITY B5, C21, C22: half messages, readers that do not read, floods; nobody else notices and memory is bounded."""

from __future__ import annotations

import itertools
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from actorcore.frames import Numbered, encoder
from actorcore.pids import Pid
from actorcore.runtime.actor.channel import MAX_QUEUE_MESSAGES
from actorcore.runtime.sockets import SEND_BUFFER_BYTES
from actorcore.signals import Lookup, Monitor, ProcessSpec
from actorcore.table.backlog import MAX_OWED_TOGETHER_BYTES, MAX_UNACKNOWLEDGED
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Daemon, Desk, desk_of, send_signal
from tests.fault.weighed import SCALE, SCALE_BYTES, weights
from tests.fault.wire import dialled, framed, greeted, send

TALKER = "tests.fault.floods:Talker"
MIB = 1 << 20
NOBODY_EVER = 1 << 40
MOST = MAX_QUEUE_MESSAGES + 2 * SEND_BUFFER_BYTES // 256
"""Messages that a queue and a socket hold; the kernel doubles what it is asked for and charges 256 bytes at least."""


def talker(desk: Desk, name: str) -> int:
    """A session of Talker; its OS pid."""
    desk.started.append(name)
    desk.client.start_session(ChildSpec(id=name, process=ProcessSpec(TALKER, [desk.name], name=name), restart="temporary"))
    return desk.await_up(name)


def said(desk: Desk) -> object:
    """What a talker has told the desk."""
    return desk.client.receive(WAIT_S).body  # type: ignore[union-attr]


def await_count(desk: Desk, name: str, count: int) -> None:
    """Until so many messages have been heard."""
    while desk.client.call(name, ["count", None], WAIT_S) < count:  # type: ignore[operator]
        pass


def resident_kib(os_pid: int) -> int:
    """RssAnon of proc(5): the ledger and the registry, which are shared, have their own bounds."""
    return int(Path(f"/proc/{os_pid}/status").read_text().partition("RssAnon:")[2].split()[0])


def pids_of_daemon(desk: Desk) -> tuple[int, int]:
    return desk.daemon.guardian_pid, desk.node_os_pid()


def test_B5_half_a_message_of_a_killed_sender_is_dropped_and_its_down_comes(desk: Desk) -> None:
    hearer, sender = talker(desk, "hearer"), talker(desk, "sender")
    desk.client.call("hearer", ["watch", "sender"])
    desk.client.cast("sender", ["pour", ["hearer", 10]])
    desk.client.call("sender", ["state", None])
    desk.client.call("hearer", ["heard", None])
    before = resident_kib(hearer)
    send_signal(hearer, signal.SIGSTOP)
    desk.client.cast("sender", ["pour", ["hearer", 32 * MIB]])
    desk.client.call("sender", ["state", None], WAIT_S)  # the socket is full with the first parts
    assert desk.signal("sender", sender, signal.SIGKILL).reason == "killed"
    send_signal(hearer, signal.SIGCONT)
    assert said(desk) == ["down", "killed"]
    assert desk.client.call("hearer", ["heard", None]) == [10, ["down", "killed"]]
    assert resident_kib(hearer) - before < 2048


def test_B5_a_call_ends_with_the_reason_of_a_callee_killed_in_the_middle_of_its_answer(desk: Desk, tmp_path) -> None:
    caller, callee = talker(desk, "caller"), talker(desk, "callee")
    desk.client.cast("caller", ["ask", ["callee", ["give", 10]]])
    assert said(desk) == ["answered", 10]
    os.mkfifo(tmp_path / "gate")
    desk.client.cast("caller", ["ask", ["callee", ["give_when", [str(tmp_path / "gate"), 32 * MIB]]]])
    with open(tmp_path / "gate", "wb"):  # waits for its reader, who has the call by then
        send_signal(caller, signal.SIGSTOP)
    desk.client.call("callee", ["state", None], WAIT_S)
    assert desk.signal("callee", callee, signal.SIGKILL).reason == "killed"
    send_signal(caller, signal.SIGCONT)
    assert said(desk) == ["failed", "killed"]


def test_C22_a_flood_to_who_does_not_read_is_refused_after_five_seconds_and_takes_no_memory(desk: Desk) -> None:
    reader, sender = talker(desk, "reader"), talker(desk, "sender")
    guardian, node = pids_of_daemon(desk)
    before = [resident_kib(os_pid) for os_pid in (sender, guardian, node)]
    send_signal(reader, signal.SIGSTOP)
    taken, refusal, waited_s = desk.client.call("sender", ["flood", ["reader", 1_000_000, 0]], WAIT_S)  # type: ignore[misc]
    grown = [resident_kib(os_pid) - kib for os_pid, kib in zip((sender, guardian, node), before, strict=True)]
    assert refusal == "mailbox_full"
    assert 5.0 <= waited_s < 10.0
    assert MAX_QUEUE_MESSAGES <= taken < MOST
    assert [kib for kib in grown if kib > 8192] == [], grown
    send_signal(reader, signal.SIGCONT)
    assert desk.client.call("sender", ["state", None], WAIT_S) == [sender, 0]
    await_count(desk, "reader", taken)
    assert desk.client.call("reader", ["in_order", taken], WAIT_S) is True


def test_C22_a_session_that_waits_for_another_takes_in_no_more_than_64_mib(desk: Desk, tmp_path) -> None:
    reader = talker(desk, "reader")
    talker(desk, "sender")
    talker(desk, "callee")
    desk.client.call("sender", ["flood", ["reader", 1, MIB]])
    await_count(desk, "reader", 1)
    before = resident_kib(reader)
    os.mkfifo(tmp_path / "gate")
    desk.client.cast("reader", ["ask", ["callee", ["give_when", [str(tmp_path / "gate"), 1]]]])
    with open(tmp_path / "gate", "wb"):  # waits for its reader, who has the call by then
        taken, refusal, _ = desk.client.call("sender", ["flood", ["reader", 1000, MIB]], WAIT_S)  # type: ignore[misc]
        grown = resident_kib(reader) - before
    assert refusal == "mailbox_full"
    assert 64 <= taken < 64 + 12  # what a socket and a queue hold comes on top
    assert grown < 72 * 1024
    assert said(desk) == ["answered", 1]
    await_count(desk, "reader", 1 + taken)
    assert desk.client.call("reader", ["heard", None], WAIT_S) == [MIB] * (1 + taken)


def test_C22_a_client_that_floods_is_refused_as_well(desk: Desk) -> None:
    reader = talker(desk, "reader")
    guardian, node = pids_of_daemon(desk)
    before = [resident_kib(os_pid) for os_pid in (guardian, node)]
    send_signal(reader, signal.SIGSTOP)
    pid = desk.client.whereis("reader")
    assert pid is not None
    sent = itertools.count()
    with pytest.raises(RequestError, match=r"^mailbox_full"):
        while True:
            desk.client.send(pid, next(sent))
    taken = next(sent) - 1
    grown = [resident_kib(os_pid) - kib for os_pid, kib in zip((guardian, node), before, strict=True)]
    assert MAX_QUEUE_MESSAGES <= taken < MOST
    assert [kib for kib in grown if kib > 8192] == [], grown
    send_signal(reader, signal.SIGCONT)
    assert desk.client.call("reader", ["in_order", taken], WAIT_S) is True


def test_C21_many_clients_that_read_nothing_are_owed_no_more_together_than_a_snapshot_can_hold(desk: Desk) -> None:
    """Each is owed less than it may be. With half as many the ledger would have no room for a snapshot."""
    node, begun = desk.node_os_pid(), len(desk.daemon.log.read_text())
    with desk.daemon.client() as owner, ExitStack() as stack:
        owner.register("big", value="x" * 2000)
        refs = []
        for _ in range(10):
            sock = stack.enter_context(dialled(desk))
            welcome = greeted(sock)
            refs.append(desk.client.monitor(Pid(welcome.instance, welcome.serial)))
            for first in range(1, 3500, 500):
                send(sock, framed(encoder.encode([Numbered(n, Lookup("big")) for n in range(first, first + 500)])))
            assert 0 < desk.client.node("status", WAIT_S)["owed_bytes"] <= MAX_OWED_TOGETHER_BYTES  # type: ignore[operator]
        assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs[:-1]] == [{"killed": "mailbox_full"}] * 9
        assert desk.client.demonitor(refs[-1])
    assert desk.node_os_pid() == node
    assert desk.daemon.log.read_text()[begun:].count('"kind":"mailbox_full"') == 9


def flood_and_read_nothing(desk: Desk) -> None:
    """Requests of two deliveries each, an answer and the DOWN of a monitor of nobody; none is ever acknowledged."""
    with dialled(desk) as sock:
        welcome = greeted(sock)
        ref = desk.client.monitor(Pid(welcome.instance, welcome.serial))
        for first in range(1, MAX_UNACKNOWLEDGED, 1000):
            send(sock, framed(encoder.encode([Numbered(n, Monitor(n, NOBODY_EVER)) for n in range(first, first + 1000)])))
        assert desk.client.wait_down(ref, WAIT_S).reason == {"killed": "mailbox_full"}
    desk.client.node("status", WAIT_S)


def test_C21_a_client_that_reads_nothing_is_ended_and_the_daemon_keeps_no_memory_of_it(tmp_path: Path) -> None:
    """The first flood fills the free lists of the interpreter, 2,000 tuples of each size; the second leaves nothing."""
    scale = tmp_path / "scale"
    scale.write_bytes(bytes(SCALE_BYTES))
    weighed = Daemon(tmp_path / "run", module="tests.fault.weighed")
    weighed.environment[SCALE] = str(scale)
    with weighed, desk_of(weighed) as desk:
        before, _ = weights(scale)
        flood_and_read_nothing(desk)
        first, _ = weights(scale)
        flood_and_read_nothing(desk)
        second, most = weights(scale)
        assert (first - before < MIB, second - first < MAX_UNACKNOWLEDGED // 4) == (True, True), (before, first, second)
        assert 4 * MIB < most - before < 32 * MIB, "what a client is owed was held, and no more"
