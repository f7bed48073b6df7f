"""Actors of the acts. A boss starts processes itself, kills them all, and tells what it heard of that; it judges nothing."""

from __future__ import annotations

import asyncio

from actorcore.errors import CallFailed, StartFailed
from actorcore.exit_reason import Reason, Term
from actorcore.gen_statem import Event, GenStatem, NextState, Ok, Postpone, Reply, Result
from actorcore.mailbox import DownMessage, ExitMessage, Message
from actorcore.pids import Pid
from actorcore.runtime.actor.async_process import AsyncProcess
from actorcore.runtime.actor.process import Process

ECHO = "tests.torture.actors:Echo"
WAIT_S = 60.0


class Door(GenStatem):
    """Counts who went through; who comes while it is closed waits."""

    callback_mode = "state_functions"

    def init(self) -> Ok:
        self.passed = 0
        return Ok("closed")

    def closed(self, event: Event) -> Result:
        if event.kind == "cast":
            return NextState("open")
        if event.content == "state":
            return NextState("closed", [Reply(["closed", self.passed])])
        return NextState("closed", [Postpone()])

    def open(self, event: Event) -> Result:
        if event.kind == "cast":
            return NextState("closed")
        if event.content == "state":
            return NextState("open", [Reply(["open", self.passed])])
        self.passed += 1
        return NextState("open", [Reply(self.passed)])


class Report:
    """``kids`` by serial; ``answers``: wrong answers; ``ends``: of calls that failed, ``[serial, reason]``."""

    def __init__(self) -> None:
        self.kids: list[Pid] = []
        self.refused: list[Reason] = []
        self.answers: list[Term] = []
        self.ends: list[Term] = []
        self.exits: list[Term] = []
        self.downs: list[Term] = []
        self.other: list[Term] = []
        self.refs: dict[int, Pid] = {}

    def is_complete(self) -> bool:
        exits = {serial for serial, _ in self.exits}  # type: ignore[misc, union-attr]
        return {kid.serial for kid in self.kids} <= exits and len(self.downs) >= len(self.kids)

    def take(self, mail: object) -> None:
        match mail:
            case DownMessage(ref, Pid() as pid, reason) if self.refs.get(ref) == pid:
                self.downs.append([pid.serial, reason])
            case ExitMessage(frm, reason):
                self.exits.append([frm.serial, reason])
            case _:
                self.other.append(repr(mail))

    def told(self) -> Term:
        return {
            "kids": [kid.serial for kid in self.kids], "refused": self.refused, "answers": self.answers, "ends": self.ends,
            "exits": self.exits, "downs": self.downs, "other": self.other,
        }  # type: ignore[dict-item]  # fmt: skip


def boss(process: Process) -> None:
    """Told ``[asker, how many]`` it sends a report."""
    process.trap_exit(True)
    while True:
        message = process.receive()
        if isinstance(message, Message) and isinstance(message.body, list):
            asker, count = message.body
            report = Report()
            try_all(process, int(str(count)), report)
            process.send(Pid(process.self_pid.instance, int(str(asker))), report.told())


def try_all(process: Process, count: int, report: Report) -> None:
    while len(report.kids) < count:
        try:
            report.kids.append(process.spawn_link(ECHO, init_timeout_s=WAIT_S))
        except StartFailed as error:
            report.refused.append(error.reason)
    report.refs = {process.monitor(kid): kid for kid in report.kids}
    for kid in report.kids:
        try:
            if (got := process.call(kid, [kid.serial], WAIT_S)) != [kid.serial]:
                report.answers.append(got)
        except CallFailed as error:
            report.ends.append([kid.serial, error.reason])
    for kid in report.kids:
        process.exit(kid, "kill")
    while not report.is_complete():
        report.take(process.receive(WAIT_S))


async def async_boss(process: AsyncProcess) -> None:
    """As :func:`boss`, with all of it at once."""
    await process.trap_exit(True)
    while True:
        message = await process.receive()
        if isinstance(message, Message) and isinstance(message.body, list):
            asker, count = message.body
            report = Report()
            await try_all_at_once(process, int(str(count)), report)
            await process.send(Pid(process.self_pid.instance, int(str(asker))), report.told())


async def try_all_at_once(process: AsyncProcess, count: int, report: Report) -> None:
    async def start() -> None:
        while True:
            try:
                report.kids.append(await process.spawn_link(ECHO, init_timeout_s=WAIT_S))
                return
            except StartFailed as error:
                report.refused.append(error.reason)

    async def ask(kid: Pid) -> None:
        try:
            if (got := await process.call(kid, [kid.serial], WAIT_S)) != [kid.serial]:
                report.answers.append(got)
        except CallFailed as error:
            report.ends.append([kid.serial, error.reason])

    await asyncio.gather(*[start() for _ in range(count)])
    report.refs = {await process.monitor(kid): kid for kid in report.kids}
    await asyncio.gather(*[ask(kid) for kid in report.kids for _ in range(2)])
    for kid in report.kids:
        await process.exit(kid, "kill")
    while not report.is_complete():
        report.take(await process.receive(WAIT_S))
