"""The asyncio flavour: what a process with ``async def`` callbacks does from its start to its exit reason.

One callback at a time, as in OTP, while the loop goes on: what the user's own tasks do happens meanwhile. They end with
the process: cancelled after ``terminate``, with a second to finish.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from types import CoroutineType

from actorcore.behaviour import Behaviour, Machine
from actorcore.exit_reason import NORMAL, Reason, bounded_text
from actorcore.frames import DECODE_ERRORS, System
from actorcore.mailbox import From, Item, Raw, Timeout
from actorcore.pids import Pid
from actorcore.registry_reader import RegistryReader
from actorcore.runtime.actor.async_process import AsyncProcess
from actorcore.runtime.actor.intake import enter
from actorcore.runtime.actor.lean import crash, crash_of_terminate, key_request, reason_of_end, reason_of_key, refuse
from actorcore.runtime.actor.loops import loops
from actorcore.runtime.clock import monotonic_ns, monotonic_s
from actorcore.runtime.complain import complain
from actorcore.runtime.status_page import StatusPage
from actorcore.signals import Begin, Booted
from actorcore.task import ORDER_WAIT_S, TIMEOUT, order_of
from actorcore.words import TaskSpec


def prepare() -> None:
    """In a zygote, before its first fork."""
    loops.warm()


def run(
    control: socket.socket, begin: Begin, status: StatusPage, registry: RegistryReader | None,
    start: Callable[..., object], better: str = "",
) -> Reason:  # fmt: skip
    """Run ``start`` in a loop of its own to the end; the reason of the end. ``better``: see signals.Booted."""
    loop = loops.new()
    process = AsyncProcess(control, begin, status, registry)
    enter(process)
    main = loop.create_task(_live(process, start, Booted(begin.serial, better)))
    process.attach(main)
    try:
        while True:
            try:
                return loop.run_until_complete(main)
            except (SystemExit, KeyboardInterrupt) as end:  # asyncio lets these two out of any task
                if main.done():
                    raise
                process.doom(reason_of_end(end))
    finally:
        loops.close(loop)


async def _live(process: AsyncProcess, start: Callable[..., object], booted: Booted) -> Reason:
    try:
        is_task = process.begin.spec.task is not None
        server = start() if not is_task and isinstance(start, type) and issubclass(start, Behaviour) else None
        if process.begin.spec.via:
            registry, request = key_request(process.begin.spec.via)
            await process.call(registry, request)
    except BaseException as error:
        return refuse(process, reason_of_key(error) or crash(error))
    if server is not None:
        reason = await _serve(process, server, booted)
    elif process.begin.spec.task is not None:
        reason = await _run_task(process, start, process.begin.spec.task, booted)
    else:
        reason = await _call(process, start, booted)
    await process.finish()
    return reason


async def _call(process: AsyncProcess, start: Callable[..., object], booted: Booted) -> Reason:
    process._control.say(booted)
    process.status.busy(monotonic_ns(), 0)
    try:
        await _result(start(process, *process.begin.spec.args))
    except BaseException as error:
        return process.doomed() or crash(error)
    return process.doomed() or NORMAL


async def _run_task(process: AsyncProcess, start: Callable[..., object], task: TaskSpec, booted: Booted) -> Reason:
    """As lean.run_task."""
    owner = Pid(process.begin.instance, task.callers[0]) if task.is_awaited else None
    ref = 0 if owner is None else await process.monitor(owner)
    process._control.say(booted)
    try:
        number = 0 if owner is None else await _await_order(process, owner.serial, ref)
        process.status.busy(monotonic_ns(), len(process.mailbox.items))
        value = await _result(start(*process.begin.spec.args))
        if owner is not None:
            await process.reply(From(owner, number), value)
    except BaseException as error:
        return process.doomed() or crash(error)
    return process.doomed() or NORMAL


async def _await_order(process: AsyncProcess, owner: int, ref: int) -> int:
    deadline_s = monotonic_s() + ORDER_WAIT_S
    while (order := order_of(process.mailbox, owner, ref)) is None:
        if monotonic_s() >= deadline_s:
            order = TIMEOUT
            break
        await process.wait_item(deadline_s)
    if not isinstance(order, int):
        process.exit_self(order)
    await process.demonitor(ref)
    return order


async def _serve(process: AsyncProcess, server: Behaviour, booted: Booted) -> Reason:
    begin = process.begin
    server.process = process  # type: ignore[assignment]  # AsyncGenServer has its type
    machine = server.machine(process)
    try:
        ignored = machine.begun(await _result(server.init(*begin.spec.args)))
    except BaseException as error:
        return refuse(process, process.doomed() or crash(error))
    if ignored is not None or machine.stop is not None:
        return refuse(process, machine.stop)
    process._control.say(booted)
    try:
        await _loop(process, machine)
        reason = process.doomed() or machine.stop or NORMAL
    except BaseException as error:
        reason = process.doomed() or crash(error)
    process.status.busy(monotonic_ns(), len(process.mailbox.items))
    try:
        await _result(machine.server.terminate(reason))
    except BaseException as error:
        reason = crash_of_terminate(error, reason)
    machine.part()
    return reason


async def _loop(process: AsyncProcess, machine: Machine) -> None:
    """Until ``machine.stop``: what the machine has to do, else the next message, else its timeout."""
    status = process.status
    while machine.stop is None and not process.is_doomed():
        todo = machine.pending()
        if todo is None:
            item = await process.next_item(machine.deadline_s()) or Timeout()
            if type(item) is Raw and type(item.message) is System:
                await process.make_room(item.frm)
            status.busy(monotonic_ns(), len(process.mailbox.items))
            try:
                todo = machine.take(item)
            except DECODE_ERRORS as error:
                await _refuse(process, item, error)
        else:
            status.busy(monotonic_ns(), len(process.mailbox.items))
        if todo is not None:
            function, arguments, frm = todo
            returned = function(*arguments)
            result = await (returned if type(returned) is CoroutineType else _result(returned))
            if frm is not None and not process.has_room(frm.pid.serial):
                await process.make_room(frm.pid.serial)
            machine.conclude(result, frm)
        status.handled += 1
        status.idle()


async def _refuse(process: AsyncProcess, item: Item | Timeout, error: Exception) -> None:
    """A message of the wrong type harms nobody."""
    if isinstance(item, Raw):
        complain(f"message from {item.frm} refused: {bounded_text(str(error), 200)}")
        await process.refuse(item)


async def _result(returned: object) -> object:
    """What a callback came to, ``async def`` or not."""
    return await returned if isinstance(returned, Awaitable) else returned
