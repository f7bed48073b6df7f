"""The lean flavour: what a process of the template ``lean`` does from its Begin to its last ``_exit``.

Blocking callbacks, one epoll, and none of asyncio, threading, logging, random, subprocess: importing them would cost
every fork (LIMITS.md §1). Uncaught exceptions and ``SystemExit`` become exit reasons here and nowhere else.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from types import ModuleType, TracebackType
from typing import NoReturn

from actorcore.behaviour import BadReturnValue, Behaviour, Machine, is_async
from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import NORMAL, Reason, Term, bounded_text, reason_of_exception
from actorcore.faults import point
from actorcore.frames import DECODE_ERRORS, encoder, term_decoder
from actorcore.mailbox import From, Item, Raw, Timeout
from actorcore.pids import Pid
from actorcore.registry_reader import RegistryReader
from actorcore.runtime.actor.code import Start, load
from actorcore.runtime.actor.intake import ExitSelf, Intake, enter
from actorcore.runtime.actor.process import Process
from actorcore.runtime.clock import monotonic_ns, monotonic_s
from actorcore.runtime.complain import complain
from actorcore.runtime.status_page import BUSY, HANDLED, WAITING, StatusPage, fitting
from actorcore.signals import ASYNCIO, Begin, Booted, Refused
from actorcore.task import ORDER_WAIT_S, TIMEOUT, order_of
from actorcore.words import TaskSpec

ASYNC_FLAVOUR = "actorcore.runtime.actor.async_loop"
"""Loaded by name, and only by a process that needs it: its imports are what this template is without."""


def run(
    control: socket.socket, begin: Begin, page: memoryview, registry: RegistryReader | None = None,
    refusal: Reason | None = None,
) -> NoReturn:  # fmt: skip
    """Become what ``begin`` says and end with ``_exit``: 0 when the reason is ``normal``, else 1.

    ``control`` is the socket to the node, ``page`` the writable status page, ``registry`` reads the names.
    ``refusal``: it cannot be that, which is what its starter is told.
    """
    status = StatusPage(page)
    reason: Reason = NORMAL
    try:
        better = "" if "asyncio" in sys.modules else ASYNCIO
        start = refusal or _load_or_reason(begin.spec.start)
        reason = become(control, begin, status, registry, start, better)
    except BaseException as error:  # the last line of defence: a death always has a reason
        reason = reason_of_end(error)
    end(status, reason)


def async_flavour() -> ModuleType:
    """The module that runs processes in a loop."""
    return importlib.import_module(ASYNC_FLAVOUR)


def become(
    control: socket.socket, begin: Begin, status: StatusPage, registry: RegistryReader | None, start: Start | Reason,
    better: str = "",
) -> Reason:  # fmt: skip
    """Run ``start`` to its end, in a loop or not; the reason. ``better``: the template that one in a loop had better have.

    Its descriptors stay open: to the node, a control socket that ends before its process is a breach of protocol.
    """
    if is_async(start):
        reason: Reason = async_flavour().run(control, begin, status, registry, start, better)
        return reason
    process = Process(control, begin, status, registry)
    enter(process)
    reason = live(process, start)
    process.finish()
    return reason


def end(status: StatusPage, reason: Reason) -> NoReturn:
    """Declare ``reason`` and leave without running anybody's exit handlers."""
    try:
        written = status.declare(reason)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:
        os._exit(1)
    os._exit(0 if written == NORMAL else 1)


def live(process: Process, start: Start | Reason) -> Reason:
    """Run ``start`` to the end; the reason of the end. A reason in its place refuses the start."""
    if isinstance(start, (str, dict)):
        return refuse(process, start)
    try:
        is_task = process.begin.spec.task is not None
        server = start() if not is_task and isinstance(start, type) and issubclass(start, Behaviour) else None
        if process.begin.spec.via:
            registry, request = key_request(process.begin.spec.via)
            process.call(registry, request)
    except BaseException as error:
        return refuse(process, reason_of_key(error) or crash(error))
    if server is not None:
        return serve(process, server)
    if process.begin.spec.task is not None:
        return run_task(process, start, process.begin.spec.task)
    process._control.say(Booted(process.begin.serial))
    process.status.busy(monotonic_ns(), 0)
    point("birth.booted")
    try:
        start(process, *process.begin.spec.args)
    except BaseException as error:
        return crash(error)
    return NORMAL


def run_task(process: Process, start: Start, task: TaskSpec) -> Reason:
    """Run a task to its end: its value is told before its death."""
    owner = Pid(process.begin.instance, task.callers[0]) if task.is_awaited else None
    ref = 0 if owner is None else process.monitor(owner)
    process._control.say(Booted(process.begin.serial))
    point("birth.booted")
    try:
        number = 0 if owner is None else _await_order(process, owner.serial, ref)
        process.status.busy(monotonic_ns(), len(process.mailbox.items))
        value = start(*process.begin.spec.args)
        if owner is not None:
            process.reply(From(owner, number), value)
    except BaseException as error:
        return crash(error)
    return NORMAL


def _await_order(process: Process, owner: int, ref: int) -> int:
    deadline_s = monotonic_s() + ORDER_WAIT_S
    while (order := order_of(process.mailbox, owner, ref)) is None:
        if not process.pump(deadline_s) and monotonic_s() >= deadline_s:
            order = TIMEOUT
            break
    if not isinstance(order, int):
        raise ExitSelf(order)
    process.demonitor(ref)
    return order


def key_request(via: list[Term]) -> tuple[str, list[Term]]:
    """The registry of a spec's ``via``, and what it is asked."""
    registry, key, *value = via
    return str(registry), ["register", key, value[0] if value else None]


def reason_of_key(error: BaseException) -> Reason | None:
    """Why a key could not be taken, if that is what ``error`` says."""
    if isinstance(error, RequestError) and error.code == "already_registered":
        return {"already_registered": int(error.detail)}
    return None


def _load_or_reason(start: str) -> Start | Reason:
    try:
        return load(start)
    except BaseException as error:
        return crash(error)


def refuse(process: Intake, reason: Reason | None) -> Reason:
    """Tell the starter that there will be no process."""
    process._control.say(Refused(process.begin.serial, None if reason is None else fitting(reason)))
    return NORMAL if reason is None else reason


def serve(process: Process, server: Behaviour) -> Reason:
    """Run what has callbacks to its end."""
    begin = process.begin
    server.process = process
    machine = server.machine(process)
    try:
        ignored = machine.begun(server.init(*begin.spec.args))
    except BaseException as error:
        return refuse(process, crash(error))
    if ignored is not None or machine.stop is not None:
        return refuse(process, machine.stop)
    process._control.say(Booted(begin.serial))
    point("birth.booted")
    try:
        loop(process, machine)
        reason: Reason = NORMAL if machine.stop is None else machine.stop
    except BaseException as error:
        reason = crash(error)
    process.status.busy(monotonic_ns(), len(process.mailbox.items))
    try:
        machine.server.terminate(reason)
    except BaseException as error:
        reason = crash_of_terminate(error, reason)
    machine.part()
    return reason


def loop(process: Process, machine: Machine) -> None:
    """Until ``machine.stop``: what the machine has to do, else the next message, else its timeout."""
    status, items = process.status, process.mailbox.items
    words = status.words
    may_pend = True
    while True:  # CPython 3.11 specialises what it enters once only at an unconditional jump back
        if machine.stop is not None:
            return
        todo = machine.pending() if may_pend else None
        may_pend = True
        if todo is None:
            if items:
                item: Item | Timeout = items.popleft()
            else:
                status.idle()
                item = process.next_item(machine.deadline_s()) or Timeout()
            words[BUSY] = monotonic_ns()
            words[WAITING] = len(items)
            words[HANDLED] = status.handled
            try:
                todo = machine.take(item)
            except DECODE_ERRORS as error:
                refuse_message(process, item, error)
            del item  # it may be large
        else:
            status.busy(monotonic_ns(), len(items))
        if todo is not None:
            may_pend = machine.conclude(todo[0](*todo[1]), todo[2])
        status.handled += 1


def refuse_message(process: Process, item: Item | Timeout, error: Exception) -> None:
    """A message of the wrong type harms nobody."""
    if isinstance(item, Raw):
        complain(f"message from {item.frm} refused: {bounded_text(str(error), 200)}")
        process.refuse(item)


def reason_of_end(error: BaseException) -> Reason:
    """The exit reason of whatever unwound a process."""
    match error:
        case ExitSelf():
            return error.reason
        case CallFailed():
            return {"call": error.reason}
        case CallTimeout():
            return {"call": "timeout"}
        case BadReturnValue():
            return {"bad_return_value": plain(error.value)}
    if isinstance(error, SystemExit):
        if error.code is None or error.code == 0:
            return NORMAL
        return {"exit": error.code & 0xFF if isinstance(error.code, int) else 1}
    return reason_of_exception(error)


def crash_of_terminate(error: BaseException, first: Reason) -> Reason:
    """As in OTP what ``terminate`` raises is the reason; the first one is not lost, it is in the log."""
    complain(f"terminate fails after {first}")
    return crash(error)


def plain(value: object) -> Term:
    """``value`` if it is plain data, else the name of its type."""
    try:
        term: Term = term_decoder.decode(encoder.encode(value))
    except Exception:  # whatever its parts may raise
        return type(value).__name__
    return term


def crash(error: BaseException) -> Reason:
    """The reason of ``error``; the unexpected goes to stderr with its frames."""
    reason = fitting(reason_of_end(error))
    if not isinstance(error, (ExitSelf, SystemExit)):
        complain(f"process dies: {reason}{_frames(error.__traceback__)}")
    return reason


def _frames(traceback: TracebackType | None) -> str:
    lines: list[str] = []
    while traceback is not None and len(lines) < 50:
        code = traceback.tb_frame.f_code
        lines.append(f"\n  {code.co_filename}:{traceback.tb_lineno} in {code.co_name}")
        traceback = traceback.tb_next
    return "".join(lines)
