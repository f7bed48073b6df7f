"""An actor process reaps the orphans that it adopted, and leaves alone what its own code may yet wait for."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable

import pytest

from actorcore.runtime import children, syscalls
from actorcore.runtime.actor.adoption import PERIOD_S, Adoption

WAIT_S = 20.0


class World:
    """This process in the place of a session: a session leader, subreaper, with virtual time for its looks."""

    def __init__(self) -> None:
        self.adoption = Adoption()
        self.now = 100.0
        self.before = set(children.children_of_self())

    def look(self, begins: bool = True) -> None:
        self.now += PERIOD_S
        self.adoption.look(self.now, begins)

    def zombies(self) -> set[int]:
        return set(children.children_of_self()) - self.before


def in_a_session(test: Callable[[World], None]) -> None:
    """Run ``test`` in a process that is what a session is; pytest's own children and threads are not its affair."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.setsid()
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
            test(World())
        except BaseException as error:
            os.write(writer, repr(error).encode()[:4000] or b"?")
        finally:
            children.end_all()
            os._exit(0)
    os.close(writer)
    said = b""
    while piece := os.read(reader, 4096):
        said += piece
    os.close(reader)
    os.waitpid(child, 0)
    assert said.decode() == ""


def daemonise(setsid: str = "middle") -> int:
    """The pid of a grandchild whose parent is gone, so that it is our child; ``setsid`` calls setsid(2)."""
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        if setsid == "middle":
            os.setsid()
        if os.fork() == 0:
            if setsid == "grandchild":
                os.setsid()
            os.write(writer, str(os.getpid()).encode())
            os.close(writer)
            signal.pause()
        os._exit(0)
    os.close(writer)
    os.waitpid(middle, 0)
    found = int(os.read(reader, 32))
    os.close(reader)
    return found


def end(os_pid: int) -> None:
    """SIGKILL; it is a zombie when this returns."""
    handle = os.pidfd_open(os_pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    assert select.select([handle], [], [], WAIT_S)[0]
    os.close(handle)


def a_daemon_is_reaped(world: World) -> None:
    orphans = [daemonise() for _ in range(3)]
    for orphan in orphans:
        end(orphan)
    assert world.zombies() == set(orphans)
    world.look()
    assert world.zombies() == set()


def a_child_of_ours_is_left(world: World) -> None:
    own = [subprocess.Popen(["true"]), subprocess.Popen(["sh", "-c", "exit 3"], start_new_session=True),
           subprocess.Popen(["sh", "-c", "kill -9 $$"], process_group=0)]  # fmt: skip
    forked = os.fork()
    if forked == 0:
        os._exit(7)
    for os_pid in [*(process.pid for process in own), forked]:
        os.waitid(os.P_PID, os_pid, os.WEXITED | os.WNOWAIT)
    for _ in range(5):
        world.look()
        world.look(begins=False)
    assert [process.wait() for process in own] == [0, 3, -9]
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 7


def an_orphan_in_our_session_within_a_message_is_left(world: World) -> None:
    for orphan in (daemonise("nobody"), daemonise("grandchild")):
        end(orphan)
        world.look()
        assert orphan in world.zombies(), "it might as well be a child of ours"


class Family:
    """A child of ours that has a child, both in our kernel session, until it is told to go."""

    def __init__(self) -> None:
        self._said, writer = os.pipe()
        reader, self._go = os.pipe()
        self.parent = os.fork()
        if self.parent == 0:
            os.close(self._go)
            child = os.fork()
            if child == 0:
                os.close(reader)
                signal.pause()
            os.write(writer, str(child).encode())
            os.read(reader, 1)
            os._exit(4)
        os.close(writer)
        os.close(reader)
        self.child = int(os.read(self._said, 32))

    def orphan(self) -> int:
        """The parent ends and is a zombie; the child is ours."""
        os.close(self._go)
        os.waitid(os.P_PID, self.parent, os.WEXITED | os.WNOWAIT)
        return self.child


def who_was_seen_as_anothers_child_is_reaped(world: World) -> None:
    family = Family()
    world.look()
    orphan = family.orphan()
    end(orphan)
    world.look()
    assert world.zombies() == {family.parent}
    assert os.waitstatus_to_exitcode(os.waitpid(family.parent, 0)[1]) == 4


def who_came_while_we_only_waited_is_reaped(world: World) -> None:
    family = Family()
    world.look()
    world.adoption._below.clear()  # as if it had been born after the look
    orphan = family.orphan()
    world.look(begins=False)
    end(orphan)
    world.look(begins=False)
    assert world.zombies() == {family.parent}


def who_came_while_we_worked_is_left(world: World) -> None:
    family = Family()
    world.look()
    world.adoption._below.clear()
    orphan = family.orphan()
    end(orphan)
    world.look(begins=True)
    assert world.zombies() == {family.parent, orphan}


def with_a_signal_handler_waiting_proves_nothing(world: World) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    family = Family()
    world.look()
    world.adoption._below.clear()
    orphan = family.orphan()
    end(orphan)
    world.look(begins=False)
    assert world.zombies() == {family.parent, orphan}


def without_children_nothing_is_to_be_looked_at(world: World) -> None:
    assert world.adoption.look(200.0, True) is None
    orphan = daemonise()
    assert world.adoption.look(200.0 + PERIOD_S / 2, True) == 200.0 + PERIOD_S, "a child may have come since"
    assert world.adoption.look(200.0 + PERIOD_S, True) == 200.0 + 2 * PERIOD_S
    assert world.adoption.look(200.0 + PERIOD_S, True, 200.0) == 200.0, "the deadline is earlier"
    end(orphan)
    assert world.adoption.look(200.0 + 2 * PERIOD_S, False) is None
    assert world.adoption.look(200.0 + 3 * PERIOD_S, False) is None


def an_orphan_is_reaped_though_another_waits_for_anybody(world: World) -> None:
    orphan = daemonise()
    world.look()
    end(orphan)
    assert os.wait()[0] == orphan
    world.look()


@pytest.mark.parametrize("promise", [
    a_daemon_is_reaped, a_child_of_ours_is_left, an_orphan_in_our_session_within_a_message_is_left,
    who_was_seen_as_anothers_child_is_reaped, who_came_while_we_only_waited_is_reaped, who_came_while_we_worked_is_left,
    with_a_signal_handler_waiting_proves_nothing, without_children_nothing_is_to_be_looked_at,
    an_orphan_is_reaped_though_another_waits_for_anybody,
])  # fmt: skip
def test_adoption(promise: Callable[[World], None]) -> None:
    in_a_session(promise)
