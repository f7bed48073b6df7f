"""The guardian against a node that the test plays: what it hears, what it keeps, what it never does. Real processes."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actorcore import guardian_words as words
from actorcore.frames import decode_up
from actorcore.runtime import children, clock, sockets, syscalls
from actorcore.runtime.guardian.guardian import WATCH_PERIOD_S
from actorcore.signals import Born
from tests.daemon_fixture import await_deaths, await_taken, descendants, send_signal, starttime, still_there, watched
from tests.guardian_world import Puppet, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def end_by_signal(os_pid: int, number: int = signal.SIGKILL) -> None:
    """It is dead when this returns."""
    with watched([os_pid]) as handles:
        send_signal(os_pid, number)
        assert await_deaths(handles)


# ---- what a node says -----------------------------------------------------------------------------------------------

TRUNCATED = [word[:cut] for word in (words.encoder.encode(words.Adopt(7, 8)), words.encoder.encode(words.Ready(1, 1, 1)))
             for cut in range(1, len(word))]  # fmt: skip
JUNK = [b"\xc1", b"\x00", b"\xff" * 40, b"\x93\xa5adopt\xa1x\xa1y", b"\x91\xa4take", b"\x91\xa7unknown", b"\xdd\xff\xff\xff\xff",
        msgspec.msgpack.encode(["adopt", 2**63, 1, 1]), msgspec.msgpack.encode({"t": "halt"}), b"\x91" * 2000]  # fmt: skip


@pytest.mark.parametrize("data", [*JUNK, *random.Random(1).sample(TRUNCATED, 3)])
def test_a_node_that_says_no_word_is_killed_and_its_spare_takes_over(world: World, data: bytes) -> None:
    node = world.puppet().take_over()
    spare = world.puppet()
    spare.say(words.Ready(1, 1, words.VERSION))
    with watched([node.os_pid]) as handles:
        node.say(data)
        assert await_deaths(handles)
    assert spare.hear(words.Take).generation == 2
    assert "said what is no word" in world.log()


def test_junk_with_descriptors_leaves_none_of_them_in_the_guardian(world: World) -> None:
    node = world.puppet().take_over()
    spare = world.puppet()
    spare.say(words.Ready(1, 1, words.VERSION))
    reader, writer = os.pipe()
    node.say(words.Drop(99), (writer, writer))
    node.say(b"\xc1", (writer,))
    os.close(writer)
    assert spare.hear(words.Take).generation == 2
    assert os.read(reader, 1) == b"", "everybody has closed the writing end"
    os.close(reader)


def test_words_about_unknown_serials_change_nothing(world: World) -> None:
    node = world.puppet().take_over()
    node.say(words.Adopt(77, os.getpid()))
    node.say(words.Drop(77))
    node.say(words.ReplaceZygote("nonsense"))
    os_pid, control = node.fork(1)
    world.keep(control)
    node.adopt(1, os_pid)
    about_processes = (words.Held, words.Adopted, words.Unheld, words.Died, words.Halted)
    assert [word for word in node.heard if isinstance(word, about_processes)] == []


def fork_alone(node: Puppet, order: bytes) -> socket.socket:
    """Have a zygote started for process 7 with this as its only order; the node's end of the process's control socket."""
    ours, theirs = sockets.pair()
    zygote, control = sockets.pair()
    with theirs, zygote, control:
        node.say(words.Hold(7), (ours.fileno(),))
        assert sockets.send(zygote, order, (theirs.fileno(),))
        node.say(words.ForkAlone("lean", 7), (control.fileno(),))
    return ours


def test_F12_a_zygote_for_one_process_forks_it_and_ends(world: World) -> None:
    node = world.puppet().take_over()
    spare = world.puppet()
    control = world.keep(fork_alone(node, words.encoder.encode(words.ForkOrder(7, 7))))
    [born] = decode_up(sockets.await_datagram(control).data)
    assert isinstance(born, Born)
    node.adopt(7, born.os_pid)
    while len(world.children()) != 4:  # node, spare, the zygote of the template, and the process
        pass
    assert {node.os_pid, spare.os_pid, born.os_pid} < set(world.children())


def test_F12_a_zygote_for_one_process_that_cannot_be_had_or_cannot_fork_is_told(world: World) -> None:
    node = world.puppet().take_over()
    node.say(words.ForkAlone("lean", 6))  # the descriptor was lost on the way
    assert node.hear(words.Unheld) == words.Unheld(6, "emfile")
    world.keep(fork_alone(node, b"no order"))
    assert node.hear(words.Unheld) == words.Unheld(7, "eperm")  # Python's exit status of an exception


@pytest.mark.parametrize("stranger", [1, 2**22 + 5])
def test_a_pid_that_is_no_child_is_never_adopted_but_told_dead(world: World, stranger: int) -> None:
    """Nor is one that the system does not know: no pidfd of a stranger is ever opened."""
    node = world.puppet().take_over()
    ours, theirs = sockets.pair()
    world.keep(ours)
    world.keep(theirs)
    node.say(words.Hold(5), (ours.fileno(),))
    node.say(words.Adopt(5, stranger))
    assert node.hear(words.Died) == words.Died(5, os.CLD_KILLED, signal.SIGKILL)


# ---- what it keeps --------------------------------------------------------------------------------------------------


def test_a_death_is_told_to_each_node_until_it_is_dropped(world: World) -> None:
    node = world.puppet().take_over()
    os_pid, control = node.fork(1)
    world.keep(control)
    node.adopt(1, os_pid)
    send_signal(os_pid, signal.SIGSEGV)
    told = words.Died(1, os.CLD_KILLED, signal.SIGSEGV)
    assert node.hear(words.Died) == told
    second = world.puppet()
    send_signal(node.os_pid, signal.SIGKILL)
    second.take_over()
    assert second.heard[-1] == words.Held([words.HeldProcess(1, os_pid, False)])
    assert second.hear(words.Died) == told
    second.say(words.Drop(1))
    third = world.puppet()
    end_by_signal(second.os_pid)
    third.take_over()
    assert [word for word in third.heard if isinstance(word, (words.Held, words.Died))] == []


def test_a_process_that_died_before_it_was_adopted_is_told_with_its_true_status(world: World) -> None:
    node = world.puppet().take_over()
    os_pid, control = node.fork(1)
    world.keep(control)
    end_by_signal(os_pid, signal.SIGSEGV)
    while starttime(os_pid):  # until it is reaped
        os.sched_yield()
    told = words.Died(1, os.CLD_KILLED, signal.SIGSEGV)
    node.say(words.Adopt(1, os_pid))
    assert node.hear(words.Died) == told
    node.say(words.Adopt(1, os_pid))  # as a successor does that has heard nothing
    assert node.hear(words.Died) == told


def test_a_dropped_process_that_lives_is_killed(world: World) -> None:
    node = world.puppet().take_over()
    os_pid, control = node.fork(1)
    world.keep(control)
    node.adopt(1, os_pid)
    with watched([os_pid]) as handles:
        node.say(words.Drop(1))
        assert await_deaths(handles)


# ---- job control ----------------------------------------------------------------------------------------------------


def test_stops_and_continues_are_told_and_a_successor_hears_who_is_stopped(world: World) -> None:
    node = world.puppet().take_over()
    os_pid, control = node.fork(1)
    world.keep(control)
    node.adopt(1, os_pid)
    send_signal(os_pid, signal.SIGSTOP)
    assert node.hear(words.Halted) == words.Halted(1, True)
    send_signal(os_pid, signal.SIGCONT)
    assert node.hear(words.Halted) == words.Halted(1, False)
    send_signal(os_pid, signal.SIGSTOP)
    assert node.hear(words.Halted) == words.Halted(1, True)
    spare = world.puppet()
    send_signal(node.os_pid, signal.SIGKILL)
    spare.take_over()
    assert words.Held([words.HeldProcess(1, os_pid, True)]) in spare.heard


def test_a_node_that_does_not_listen_is_told_the_last_of_thousands_of_changes_only(world: World) -> None:
    node = world.puppet().take_over()
    os_pid, control = node.fork(1)
    world.keep(control)
    node.adopt(1, os_pid)
    with watched([os_pid]) as handles:  # beyond what its socket takes
        for number in [signal.SIGSTOP, signal.SIGCONT] * 5000:
            signal.pidfd_send_signal(handles[0], number)
        send_signal(os_pid, signal.SIGKILL)
        assert await_deaths(handles)
    assert node.hear(words.Died) == words.Died(1, os.CLD_KILLED, signal.SIGKILL)
    told = [word.stopped for word in node.heard if isinstance(word, words.Halted)]
    assert len(told) < 10_000


def test_a_stop_that_turns_into_a_death_is_told_as_the_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death comes between the look at the stop and its acknowledgement: found as a session lost for ever."""
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    waitid = os.waitid

    def waitid_and_kill(kind: int, id: int, options: int) -> object:
        seen = waitid(kind, id, options)
        if seen is not None and seen.si_code == os.CLD_STOPPED and options & os.WNOWAIT:
            send_signal(child, signal.SIGKILL)
            waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        return seen

    handle = os.pidfd_open(child)
    send_signal(child, signal.SIGSTOP)
    waitid(os.P_PID, child, os.WSTOPPED | os.WNOWAIT)
    monkeypatch.setattr(os, "waitid", waitid_and_kill)
    found = list(children.changes({child}.__contains__, lambda os_pid: False))
    os.close(handle)
    assert [change for change in found if isinstance(change, children.Death)] == [
        children.Death(child, os.CLD_KILLED, signal.SIGKILL)
    ]


def test_a_storm_of_signals_does_not_keep_it_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each read there is another signal, as under a storm."""
    read, reads = os.read, 0

    def read_and_be_signalled(descriptor: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        data = read(descriptor, size)
        if reads < 1000:
            signal_me()
        return data

    def signal_me() -> None:  # this thread: others do not block it
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    descriptor = syscalls.signal_descriptor({signal.SIGUSR1})
    try:
        signal_me()
        with monkeypatch.context() as patched:
            patched.setattr(os, "read", read_and_be_signalled)
            assert syscalls.read_signals(descriptor) == [signal.SIGUSR1]
        assert syscalls.read_signals(descriptor) == [signal.SIGUSR1]
    finally:
        os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize("who", ["spare", "zygote", "newborn"])
def test_a_stopped_helper_is_replaced_at_once(world: World, who: str) -> None:
    node = world.puppet().take_over()
    spare = world.puppet()
    newborn, control = node.fork(1)
    world.keep(control)
    (zygote,) = set(world.children()) - {node.os_pid, spare.os_pid, newborn}
    stopped = {"spare": spare.os_pid, "zygote": zygote, "newborn": newborn}[who]
    with watched([stopped]) as handles:
        send_signal(stopped, signal.SIGSTOP)
        assert await_deaths(handles)
    if who == "spare":
        assert world.puppet().os_pid != spare.os_pid
    elif who == "zygote":
        node.hear(words.Zygote)


# ---- successors -----------------------------------------------------------------------------------------------------


def test_a_killed_node_is_followed_by_its_spare_and_the_spare_by_another(world: World) -> None:
    node = world.puppet().take_over()
    for generation in range(2, 6):
        spare = world.puppet()
        spare.say(words.Ready(1, 1, words.VERSION))
        send_signal(node.os_pid, signal.SIGKILL)
        assert spare.hear(words.Take).generation == generation
        node = spare


@pytest.mark.parametrize(("serves", "number", "pauses"), [
    (True, signal.SIGKILL, ["0", "0", "0", "0", "0"]), (False, signal.SIGKILL, ["0", "0", "0.01", "0.02", "0.05"]),
    (False, signal.SIGSEGV, ["0", "0", "0.01", "0.02", "0.05"]),
])  # fmt: skip
def test_no_spare_waits_because_nodes_that_served_are_killed_and_it_does_because_they_cannot_serve(
    world: World, serves: bool, number: signal.Signals, pauses: list[str]
) -> None:
    for _ in pauses:
        node = world.puppet()
        node.say(words.Ready(1, 1, words.VERSION))
        node.hear(words.Take)
        if serves:
            node.say(words.Serving())
        end_by_signal(node.os_pid, number)
    last = world.puppet()
    last.say(words.Ready(1, 1, words.VERSION))
    last.hear(words.Take)
    assert re.findall(r"the next spare waits (\S+) s", world.log()) == pauses


def test_spares_that_die_before_they_are_ready_are_followed_by_others_until_one_is(world: World) -> None:
    for _ in range(4):
        end_by_signal(world.puppet().os_pid)
    assert world.puppet().take_over().os_pid in world.children()


@pytest.mark.parametrize("who", ["node", "spare"])
def test_who_has_closed_its_socket_and_lives_on_costs_no_turns(world: World, who: str) -> None:
    """Between its end and its death, which may be far: a socket at its end is readable all the time."""
    node, spare = world.puppet().take_over(), world.puppet()
    {"node": node, "spare": spare}[who].control.close()
    since_s = clock.monotonic_s()
    turns = itertools.dropwhile(lambda at_s: at_s < since_s, iter(world.turn_s, None))
    rests = (later - earlier for earlier, later in itertools.pairwise(turns))
    assert any(rest_s > WATCH_PERIOD_S / 2 for rest_s in itertools.islice(rests, 1000)), "it never rests"


# ---- the end --------------------------------------------------------------------------------------------------------


def test_A20_A21_one_term_is_passed_on_once_and_a_second_changes_nothing(world: World) -> None:
    node = world.puppet().take_over()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        send_signal(world.process.pid, number)
        await_taken(world.process.pid, number)
    assert node.hear(words.Signalled) == words.Signalled(signal.SIGTERM)
    os_pid, control = node.fork(1)  # it serves the node as before
    world.keep(control)
    node.adopt(1, os_pid)
    assert [word for word in node.heard if isinstance(word, words.Signalled)] == []
    node.say(words.Halt())
    assert world.process.wait(20) == 0


@pytest.mark.parametrize("numbers", [[signal.SIGTERM, signal.SIGINT, signal.SIGTERM], [signal.SIGQUIT]])
def test_A21_a_third_term_or_quit_ends_everything_at_once(world: World, numbers: list[signal.Signals]) -> None:
    node = world.puppet().take_over()
    world.puppet()
    os_pid, control = node.fork(1)
    world.keep(control)
    node.adopt(1, os_pid)
    left = descendants(world.process.pid)
    for number in numbers:
        send_signal(world.process.pid, number)
        if number is not numbers[-1]:
            await_taken(world.process.pid, number)
    assert (world.process.wait(20), still_there(left)) == (0, [])


def test_A20_a_node_that_dies_in_the_end_is_followed_by_one_that_is_told_to_end(world: World) -> None:
    node = world.puppet().take_over()
    spare = world.puppet()
    send_signal(world.process.pid, signal.SIGTERM)
    assert node.hear(words.Signalled).signum == signal.SIGTERM
    send_signal(node.os_pid, signal.SIGKILL)
    spare.take_over()
    assert spare.hear(words.Signalled).signum == signal.SIGTERM


HARMLESS = sorted(signal.valid_signals() - {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGSEGV, signal.SIGBUS,
    signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS,
})  # fmt: skip


def test_no_other_signal_ends_or_stops_the_guardian_or_its_node(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        node = world.puppet().take_over()
        spare = world.puppet()
        for number in HARMLESS:
            send_signal(node.os_pid, number)
            if number != signal.SIGHUP:  # reloads
                send_signal(world.process.pid, number)
        os_pid, control = node.fork(1)
        world.keep(control)
        node.adopt(1, os_pid)
        states = world.children()
        assert {states[who] for who in (node.os_pid, spare.os_pid)} <= {"S", "R", "D"}, "none has ended or stands still"


def test_what_the_guardian_ignores_no_session_ignores(world: World) -> None:
    node = world.puppet().take_over()
    os_pid, control = node.fork(1)
    world.keep(control)
    status = dict(line.split(":\t") for line in Path(f"/proc/{os_pid}/status").read_text().splitlines())
    ignored = {number for number in signal.valid_signals() if int(status["SigIgn"], 16) & 1 << (number - 1)}
    assert (int(status["SigBlk"], 16), ignored) == (0, {signal.SIGPIPE})  # that one is Python's
