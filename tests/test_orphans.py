"""Orphans: what dead sessions leave is killed and reaped, whoever is somebody's is left, who does not die delays nobody."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from actorcore.runtime import children, syscalls
from actorcore.runtime.children import NEWBORN_COMM, Orphans
from tests.test_adoption import World, daemonise, end, in_a_session


def orphans(ours: set[int], refresh: Callable[[], object] = lambda: None, are_births: bool = True) -> Orphans:
    def heard() -> bool:
        refresh()
        return are_births

    return Orphans(lambda some: some - ours, heard)


def sweep(sweeper: Orphans) -> None:
    """As the guardian does: again in its next turn, until it is done."""
    while not sweeper.sweep():
        pass


def all_generations_are_gone(world: World) -> None:
    for _ in range(3):
        daemonise()
    first = children.spawn_program(["/bin/sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & sleep 1000 & wait"], [])
    while len(children_below(first)) < 3:
        os.sched_yield()
    sweep(orphans(set()))
    assert children.children_of_self() == []


def children_below(os_pid: int) -> list[int]:
    with open(f"/proc/{os_pid}/task/{os_pid}/children") as file:
        return [int(word) for word in file.read().split()]


def who_is_somebodys_is_left(world: World) -> None:
    known, unknown, newborn = daemonise(), daemonise(), os.fork()
    if newborn == 0:
        syscalls.set_process_name(NEWBORN_COMM)
        signal.pause()
    while children._name(newborn) != NEWBORN_COMM:
        os.sched_yield()
    sweep(orphans({known}))
    assert set(children.children_of_self()) == {known, newborn}
    assert unknown not in children.children_of_self()
    sweep(orphans({known}, are_births=False))
    assert children.children_of_self() == [known], "nobody is being born: that is a name which anybody can take"


def who_is_claimed_after_all_is_left(world: World) -> None:
    claimed, ours = daemonise(), set[int]()
    sweep(orphans(ours, lambda: ours.add(claimed)))
    assert children.children_of_self() == [claimed]


def who_does_not_die_is_waited_for_once(world: World) -> None:
    kill = children.kill
    children.kill = lambda os_pid: None  # as if the kernel held it
    undying = daemonise()
    sweeper = orphans(set())
    assert not sweeper.sweep()
    assert not sweeper.sweep(), "nobody has given up yet"
    sweeper.give_up()
    sweep(sweeper)
    assert (children.children_of_self(), sweeper.undying) == ([undying], {undying})
    children.kill = kill
    another = daemonise()
    sweep(sweeper)
    assert another not in children.children_of_self()
    end(undying)
    os.waitpid(undying, 0)
    sweep(sweeper)
    assert sweeper.undying == set(), "its number may be another's some day"


def what_is_left_by_one_that_was_given_up_is_found_when_it_dies(world: World) -> None:
    """Which its watcher is told by SIGCHLD; it asks for as long as somebody is ``undying``."""
    kill = children.kill
    children.kill = lambda os_pid: None
    first = children.spawn_program(["/bin/sh", "-c", "setsid sleep 1000 & sleep 1000 & wait"], [])
    while len(children_below(first)) < 2:
        os.sched_yield()
    below = set(children_below(first))
    sweeper = orphans(set())
    assert not sweeper.sweep()
    sweeper.give_up()
    children.kill = kill
    end(first)
    os.waitpid(first, 0)
    assert (set(children.children_of_self()), sweeper.undying) == (below, {first})
    sweep(sweeper)
    assert (children.children_of_self(), sweeper.undying) == ([], set())


@pytest.mark.parametrize("promise", [
    all_generations_are_gone, who_is_somebodys_is_left, who_is_claimed_after_all_is_left, who_does_not_die_is_waited_for_once,
    what_is_left_by_one_that_was_given_up_is_found_when_it_dies,
])  # fmt: skip
def test_orphans(promise: Callable[[World], None]) -> None:
    in_a_session(promise)
