"""Acts of processes: lives and deaths, links, monitors, names, calls; of clients that break off or die."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

from actorcore.errors import StartFailed
from actorcore.exit_reason import Reason
from actorcore.pids import Pid
from actorcore.words import ProcessSpec
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.clients.messages import ExitMessage
from tests.daemon_fixture import ROOT
from tests.torture.chaos.book import GONE, check
from tests.torture.chaos.worker import COUNT, ECHO, IDLE, WAIT_S, Worker, refusal

MINE: Reason = {"error": "mine"}
ENDS: dict[str, tuple[Reason, Callable[[Any, Pid], object]]] = {
    "cast": ("normal", lambda c, pid: c.cast(pid, "end")),
    "exit kill": ("killed", lambda c, pid: c.exit(pid, "kill")),
    "exit shutdown": ("shutdown", lambda c, pid: c.exit(pid, "shutdown")),
    "exit mine": (MINE, lambda c, pid: c.exit(pid, MINE)),
    "SIGKILL": ("killed", lambda c, pid: c.kill(pid, 9)),
    "SIGTERM": ("shutdown", lambda c, pid: c.kill(pid, 15)),
    "SIGSEGV": ({"signal": "SIGSEGV"}, lambda c, pid: c.kill(pid, 11)),
    "stop": ("shutdown", lambda c, pid: c.stop(pid, "shutdown", WAIT_S)),
}
"""How one ends a process, and the reason that all must hear."""


def life(w: Worker, chance: Random) -> None:
    """A process starts, answers and ends; every monitor and the link hear why, once, and nobody finds it any more."""
    link, name = chance.random() < 0.5, w.fresh("n") if chance.random() < 0.5 else None
    pid = w.spawn(ECHO, link=link, name=name)
    if pid is None:
        check(name is None or w.c.whereis(name) is None, "a start that failed has left its name", name)
        return
    refs = [w.c.monitor(pid) for _ in range(chance.randrange(1, 4))]
    dropped = w.c.monitor(pid)
    if name is not None:
        found = w.c.whereis(name)
        check(found == pid or (found is None and w.book.reasons(pid.serial) != []), "whereis", name, found, pid)
    for number in range(chance.randrange(4)):
        answer = w.call(pid, [number, "x"])
        check(answer in (None, ([number, "x"],)), "echo", answer)
    w.c.demonitor(dropped)
    end(w, pid, chance.choice(list(ENDS)))
    heard = [w.down_of(ref, pid) for ref in refs]
    true = [reason for reason in heard if reason != GONE]
    check(true == [true[0]] * len(true) if true else True, "monitors heard different reasons", heard)
    check(heard == [*true, *[GONE] * (len(heard) - len(true))], "a monitor knew less than a later one", heard)
    if link:
        w.expect_exit(pid, heard[0])
    is_dead(w, pid, name)


def end(w: Worker, pid: Pid, how: str) -> None:
    """Whoever was hit meanwhile may be gone."""
    reason, work = ENDS[how]
    w.book.hit(pid.serial, "", "test", reason)
    try:
        work(w.c, pid)
    except Exception as error:
        reason = getattr(error, "reason", None)
        if reason is None:
            raise
        w.book.check_end(pid.serial, reason, how)


def is_dead(w: Worker, pid: Pid, name: str | None) -> None:
    if name is not None:
        check(w.c.whereis(name) is None, "the name of a dead process", name)
    check(w.c.wait_down(w.c.monitor(pid), WAIT_S).reason == GONE, "a monitor of a dead process", pid)
    check(w.call(pid, 1) is None, "a dead process has answered", pid)


def counting(w: Worker, chance: Random) -> None:
    """No call is lost and none comes twice."""
    pid = w.spawn(COUNT)
    if pid is None:
        return
    for number in range(1, chance.randrange(2, 30)):
        if (answer := w.call(pid, None)) is None:
            return
        check(answer == (number,), "count", answer, number)
    w.kill(pid)


def links(w: Worker, chance: Random) -> None:
    """A link tells once; one that was cut tells nothing; one to a dead process says so."""
    pid, other = w.start(IDLE), w.start(IDLE)
    w.c.link(pid)
    w.c.link(pid)
    w.c.link(other)
    w.c.unlink(other)
    w.kill(other)
    w.kill(pid, link=True)
    w.c.link(pid)
    w.expect_exit(pid, GONE)


def names(w: Worker, chance: Random) -> None:
    """A name belongs to one living process or to nobody."""
    pid, other = w.start(IDLE), w.start(IDLE)
    first, second = w.fresh("a"), w.fresh("b")
    w.c.register(first, pid, {"v": 1})
    check(w.c.lookup(first) == (pid, {"v": 1}), "lookup", first)
    check(refusal(lambda: w.c.register(first, other)).code == "already_registered", "registered twice", first)
    check(refusal(lambda: w.c.register_many({second: other, first: other})).code == "already_registered", "twice", first)
    check(w.c.whereis(second) is None, "some of many names")
    if chance.random() < 0.5:
        w.c.unregister(first)
        check(w.c.whereis(first) is None, "unregistered", first)
        w.c.register_many({first: pid, second: other})
    else:
        w.c.register_many({second: other})
    check((w.c.whereis(first), w.c.whereis(second)) == (pid, other), "names", first, second)
    w.kill(pid)
    w.kill(other)
    check((w.c.whereis(first), w.c.whereis(second)) == (None, None), "names of the dead")


def contested(w: Worker, chance: Random) -> None:
    """A name that all want: one has it until it dies."""
    name = f"shared{chance.randrange(3)}"
    pid = w.start(IDLE)
    try:
        w.c.register(name, pid)
        mine = True
    except Exception as error:
        check(getattr(error, "code", "") == "already_registered", "register", error)
        mine = False
    check(not mine or w.c.whereis(name) == pid, "whereis", name, pid)
    w.kill(pid)
    check(w.c.whereis(name) != pid, "name of a dead process", name)


def table(w: Worker, chance: Random) -> None:
    """The process table has each once, in order."""
    serials = [row["serial"] for row in list(w.c.processes())]
    check(serials == sorted(set(serials)), "serials", serials)


def cut(w: Worker, chance: Random) -> None:
    """The connection breaks in mid request: nobody notices."""
    sock = w.raw._core.connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it was broken already
            pass
    names(w, chance)


def connections(w: Worker, chance: Random) -> None:
    with w.away():
        for _ in range(3):
            with Client.connect(w.directory, WAIT_S) as other:
                check(other.whereis("ada") is not None, "a new connection finds nobody")


def at_once(w: Worker, chance: Random) -> None:
    """An async client asks four processes five times each, all at once; kills them; hears of each."""

    refused = [0]

    async def start(c: AsyncClient) -> Pid:
        while True:
            try:
                return await c.spawn(IDLE, link=True, init_timeout_s=WAIT_S)
            except StartFailed as error:
                w.book.check_failed_start([IDLE], error.reason, "spawn at once")
                refused[0] += 1

    async def work() -> None:
        async with await AsyncClient.connect(w.directory, WAIT_S) as c:
            pids = await asyncio.gather(*[start(c) for _ in range(4)])
            refs = [await c.monitor(pid) for pid in pids]
            for pid in pids:
                w.book.hit(pid.serial, "", "test")
            await asyncio.gather(*[c.exit(pid, "kill") for pid in pids])
            downs = await asyncio.gather(*[c.wait_down(ref, WAIT_S) for ref in refs])
            for pid, down in zip(pids, downs, strict=True):
                check(down.pid == pid, "DOWN at once", down, pid)
                w.book.check_end(pid.serial, down.reason, "DOWN at once")
            exits = {mail.frm: mail.reason for mail in [await c.receive(WAIT_S) for _ in pids] if isinstance(mail, ExitMessage)}
            check(refused[0] > 0 or exits == dict.fromkeys(pids, "killed"), "EXITs", exits)

    w.book.step(w.name, "at once")
    with w.away():
        asyncio.run(work())


def boss(w: Worker, chance: Random) -> None:
    """A process that starts, monitors and kills others is told as true as a client."""
    start = chance.choice(["tests.torture.chaos.actors:boss", "tests.torture.chaos.actors:async_boss"])
    pid = w.start(start)
    count = chance.randrange(1, 8)
    w.c.send(pid, [w.raw.pid.serial, count])
    told: Any = w.expect_info(pid)
    w.book.note(w.name, f"boss: {told}")
    kids = told["kids"]
    check((told["answers"], told["other"], len(kids)) == ([], [], count), "boss", told)
    for reason in told["refused"]:
        w.book.check_failed_start([ECHO], reason, "boss")
    for serial, reason in told["ends"]:
        w.book.check_end(serial, reason, "call of a boss")
    for serial in kids:
        w.book.hit(serial, "", "boss")
    for serial, reason in told["downs"]:
        w.book.check_end(serial, reason, "DOWN of a boss")
    check(sorted(serial for serial, _ in told["downs"]) == sorted(kids), "DOWNs of a boss", told)
    exits = [serial for serial, _ in told["exits"] if serial in kids]
    check(sorted(exits) == sorted(kids), "EXITs of a boss", told)
    check({reason for _, reason in told["exits"]} <= {"killed"}, "EXIT of a boss", told)
    check(len(told["exits"]) - len(exits) <= len(told["refused"]), "EXITs of strangers", told)
    w.kill(pid)


DYING = """
import sys
from actorcore.errors import StartFailed
from supervisors.client import Client
client = Client.connect(sys.argv[1])
def start(link):
    while True:
        try:
            return client.spawn("tests.torture.actors:idle", link=link, init_timeout_s=60.0)
        except StartFailed:
            pass
linked, free = start(True), start(False)
client.register(sys.argv[2])
client.send(sys.argv[3], [client.pid.serial, linked.serial, free.serial])
while True:
    client.call(start(True), 1, 60)
"""


def dying_client(w: Worker, chance: Random) -> None:
    """A client that is killed takes along what it was linked to, with a reason that says so, and nothing else."""
    mine, name = w.fresh("me"), w.fresh("dying")
    w.c.register(mine)
    argv = [sys.executable, "-c", DYING, str(w.directory), name, mine]
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL) as client:
        mail = w.c.receive(WAIT_S)
        serial, linked, free = mail.body
        pids = {who: w.pid(who) for who in (serial, linked, free)}
        check(mail.frm == pids[serial], "message of", mail.frm, serial)
        for who in (serial, linked):
            w.book.hit(who, "", "test", "noconnection")
        refs = {who: w.c.monitor(pid) for who, pid in pids.items()}
        for _ in range(chance.randrange(20)):
            w.c.node("status", WAIT_S)
        client.kill()
    heard = {who: w.down_of(refs[who], pids[who]) for who in (serial, linked)}
    spoiled = w.book.blanks_of([linked, free])
    check(heard == {serial: "noconnection", linked: "noconnection"} or spoiled, "ends with a client", heard)
    check(w.c.whereis(name) is None, "the name of a dead client")
    check(w.c.demonitor(refs[free]) is True or spoiled, "what was free has ended")
    w.kill(pids[free])
    w.c.unregister(mine)


def via(w: Worker, chance: Random) -> None:
    """A registry of keys: a process has its key before it is ready, and until it ends."""
    name = w.fresh("reg")
    registry = w.resident("registry", {"keys": "unique"}, name=name)
    w.c.call(registry, ["register", "me", 5], WAIT_S)
    pid = w.spawn_spec(ProcessSpec(ECHO, via=[name, "it", 7], init_timeout_s=WAIT_S))
    check(w.c.call(registry, ["lookup", "me"], WAIT_S) == [[w.raw.pid.serial, 5]], "my key")
    found = w.c.call(registry, ["lookup", "it"], WAIT_S)
    if pid is not None:
        check(found == [[pid.serial, 7]] or (found == [] and w.book.reasons(pid.serial) != []), "key", found, pid)
        w.kill(pid, link=False)
        found = w.c.call(registry, ["lookup", "it"], WAIT_S)
    check(found == [], "the key of a dead process", found)
    w.book.hit(registry.serial, "", "test", "normal")
    w.c.stop(registry, timeout_s=WAIT_S)
    w.expect_exit(registry, "normal")  # who holds a key is linked
    check(w.c.whereis(name) is None, "a stopped registry", name)


LIFE_ACTS: dict[str, Callable[[Worker, Random], None]] = {
    "life": life, "counting": counting, "links": links, "names": names, "contested": contested, "table": table, "cut": cut,
    "connections": connections, "at once": at_once, "boss": boss, "dying client": dying_client, "via": via,
}  # fmt: skip
