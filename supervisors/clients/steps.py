"""What a client can ask, written once for the sync and the async client.

Each function is a generator that yields the numbers of outcomes it needs. The shell waits for each, sends in the
outcome or throws in the error (CallTimeout when the time is over), and gets the result in the end.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TypeAlias, TypeVar

import msgspec

from actorcore import frames
from actorcore.errors import CallFailed, CallTimeout, NotAlive, RequestError
from actorcore.exit_reason import NOPROC, Reason, Term
from actorcore.frames import Call, Cast, Info, System
from actorcore.names import RESERVED_PREFIX, decode_value, encode_value
from actorcore.pids import Pid
from actorcore.runtime.actor.channel import Channel
from actorcore.signals import (
    NOBODY,
    Ask,
    Demonitor,
    Link,
    Lookup,
    Monitor,
    Processes,
    ProcessSpec,
    Register,
    RegisterMany,
    Request,
    SendExit,
    Spawn,
    Unlink,
    Unregister,
    Whereis,
)  # fmt: skip
from actorcore.system_words import SystemRequest, Terminate
from actorcore.targets import check_map, checked_name
from actorcore.words import RESIDENT
from supervisors.clients.core import SPOKEN_TO, ClientCore
from supervisors.clients.messages import DownMessage, Mail, Ref

T = TypeVar("T")
Steps: TypeAlias = Generator[int, Term, T]
Target: TypeAlias = Pid | str
"""A Pid, or a registered name."""


def request(core: ClientCore, body: Request) -> Steps[Term]:
    """One request to the node; its answer."""
    if core.connection.state == "closed":
        raise core.no_connection()
    number = core.submit(body)
    core.awaited[number] = 0
    return (yield number)


def ask(core: ClientCore, name: str, body: object) -> Steps[Term]:
    """A call to resident ``name`` in its own vocabulary."""
    raw = msgspec.Raw(frames.encode(body))
    if name in core.residents:  # it changes only if somebody kills the resident
        try:
            return (yield from request(core, Ask(core.residents[name], raw)))
        except RequestError as error:
            if (error.code, error.detail) != ("process_not_alive", NOPROC):
                raise
    core.residents[name] = yield from _serial(core, name)
    return (yield from request(core, Ask(core.residents[name], raw)))


def whereis(core: ClientCore, name: str) -> Steps[Pid | None]:
    """The Pid that has ``name`` now, by the node's word: a daemon that is gone has no names."""
    serial = yield from request(core, Whereis(name))
    return core.pid(serial) if isinstance(serial, int) else None


def lookup(core: ClientCore, name: str) -> Steps[tuple[Pid, Term] | None]:
    """Who has ``name`` now, and its value."""
    match (yield from request(core, Lookup(name))):
        case [int(serial), bytes(value)]:
            return core.pid(serial), decode_value(value)
    return None


def spawn(core: ClientCore, spec: ProcessSpec, link: bool, wait_init: bool, monitor: int = 0) -> Steps[Pid]:
    """Start a process; RequestError ``start_failed`` also when its init said ignore.

    Who has talked to the process that it spawned last will talk to this one too: it comes with its channel.
    """
    wanted = Spawn(spec, link, monitor, wait_init, introduce=core.latest_child == SPOKEN_TO)
    serial = yield from request(core, wanted)
    if not isinstance(serial, int):
        raise RequestError("start_failed", "ignore")
    core.latest_child = serial
    return core.pid(serial)


def spawn_monitor(core: ClientCore, spec: ProcessSpec, wait_init: bool) -> Steps[tuple[Pid, Ref]]:
    """As :func:`spawn`, with a monitor that is there before the process can end; who is not started has none."""
    ref = Ref(core.connection.next_number())
    core.monitors[ref] = NOBODY
    try:
        pid = yield from spawn(core, spec, False, wait_init, ref)
    except RequestError:
        _forget(core, ref)  # its DOWN may have come behind the refusal
        raise
    except BaseException:
        _end_monitor(core, ref)
        raise
    if ref in core.monitors:
        core.monitors[ref] = pid.serial
    return pid, ref


def call(core: ClientCore, to: Target, body: object) -> Steps[Term]:
    """A call over the direct channel; a resident has none and is asked through the node."""
    if isinstance(to, str) and to.startswith(RESERVED_PREFIX):
        try:
            return (yield from ask(core, to, body))
        except NotAlive as dead:
            raise CallFailed(dead.reason) from None
        except RequestError as error:  # a service has such a name too, and is a process, which takes more
            if error.code not in ("unsupported", "value_too_long") or core.residents.pop(to, None) is None:
                raise
    raw = msgspec.Raw(frames.encode(body))
    return (yield from _exchange(core, to, Call, raw, raw))


def system(core: ClientCore, to: Target, body: SystemRequest) -> Steps[Term]:
    """OTP's sys: as :func:`call`, to the behaviour of ``to``."""
    raw = msgspec.Raw(frames.encode(body))
    return (yield from _exchange(core, to, System, raw, msgspec.Raw(frames.encode(System(0, raw)))))


def _exchange(core: ClientCore, to: Target, kind: type[Call | System], body: msgspec.Raw, ask_of_it: msgspec.Raw) -> Steps[Term]:
    channel = yield from channel_to(core, to)
    number = core.await_next(channel.peer)
    channel.post(kind(number, body))
    core.flush(channel)
    try:
        return (yield number)
    except RequestError as error:
        if error.code != RESIDENT:
            raise
    try:
        return (yield from request(core, Ask(channel.peer, ask_of_it)))
    except NotAlive as dead:
        raise CallFailed(dead.reason) from None


def cast(core: ClientCore, to: Target, body: object) -> Steps[None]:
    """As OTP's cast: who is not there does not get it, and that is no error."""
    raw = msgspec.Raw(frames.encode(body))
    try:
        yield from _post(core, to, Cast(raw))
    except CallFailed as error:
        _pass_if_dead(core, error)


def send(core: ClientCore, to: Target, body: object) -> Steps[None]:
    """As OTP's ``!``: to a dead Pid it vanishes, a name that nobody has is an error."""
    raw = msgspec.Raw(frames.encode(body))
    try:
        yield from _post(core, to, Info(raw))
    except CallFailed as error:
        if isinstance(to, str):
            raise
        _pass_if_dead(core, error)


def send_exit(core: ClientCore, to: Target, reason: Reason) -> Steps[None]:
    """``exit(Pid, Reason)``; messages sent before arrive before it."""
    if isinstance(to, Pid) and to.instance != core.connection.instance:
        return
    serial = yield from _serial(core, to)
    channel = core.find(serial)
    sent = 0 if channel is None else channel.sent
    yield from request(core, SendExit(serial, reason, sent, core.frame_of(serial)))


def link(core: ClientCore, to: Target) -> Steps[None]:
    serial = yield from _serial(core, to)
    yield from request(core, Link(serial))


def unlink(core: ClientCore, to: Target) -> Steps[None]:
    serial = yield from _serial(core, to)
    yield from request(core, Unlink(serial))


def monitor(core: ClientCore, to: Target) -> Steps[Ref]:
    """A monitor; the DOWN of what is not there comes at once."""
    to = to if isinstance(to, Pid) else checked_name(to)
    ref = Ref(core.connection.next_number())
    if isinstance(to, Pid) and to.instance != core.connection.instance:
        core.mail(DownMessage(ref, to, NOPROC))
        return ref
    core.monitors[ref] = to.serial if isinstance(to, Pid) else 0
    body = Monitor(ref, name=to) if isinstance(to, str) else Monitor(ref, to.serial)
    try:
        yield from request(core, body)
    except RequestError:
        del core.monitors[ref]
        raise
    except BaseException:  # of a node that is slow to answer: it may be there
        _end_monitor(core, ref)
        raise
    return ref


def _end_monitor(core: ClientCore, ref: Ref) -> None:
    """Nobody waits for its DOWN any more."""
    if core.monitors.pop(ref, None) is not None and core.connection.state != "closed":
        core.submit(Demonitor(ref))


def demonitor(core: ClientCore, ref: Ref) -> Steps[bool]:
    """Remove the monitor and its DOWN if that waits in the mailbox; whether there was still one to be expected."""
    existed = yield from request(core, Demonitor(ref))
    _forget(core, ref)
    return existed is True


def _forget(core: ClientCore, ref: Ref) -> None:
    core.monitors.pop(ref, None)
    for mail in list(core.mailbox):
        if isinstance(mail, DownMessage) and mail.ref == ref:
            core.mailbox.remove(mail)


def wait_down(core: ClientCore, ref: Ref) -> Steps[DownMessage]:
    """Take the DOWN of ``ref`` out of the mailbox, wherever it is in it."""
    while True:
        for mail in core.mailbox:
            if isinstance(mail, DownMessage) and mail.ref == ref:
                core.mailbox.remove(mail)
                return mail
        yield await_mail(core)


def stop(core: ClientCore, to: Target, reason: Reason) -> Steps[None]:
    """OTP's ``gen_server:stop``: until ``to`` has ended with ``reason``; CallFailed with another reason, or ``noproc``."""
    frames.check_reason(reason)
    ref = yield from monitor(core, to)
    try:
        yield from ask_to_stop(core, to, reason)
        down = yield from wait_down(core, ref)
    finally:
        _end_monitor(core, ref)
    if down.reason != reason:
        raise CallFailed(down.reason)


def ask_to_stop(core: ClientCore, to: Target, reason: Reason) -> Steps[None]:
    """A resident is asked, a process gets a system message; the dead need neither."""
    try:
        serial = yield from _serial(core, to)
        yield from request(core, Ask(serial, msgspec.Raw(frames.encoder.encode(["stop", reason]))))
    except RequestError as error:
        if error.code == "unsupported":
            yield from _post(core, to, System(0, msgspec.Raw(frames.encoder.encode(Terminate(reason)))))
        elif error.code != "process_not_alive":  # the node's own residents do not end for anybody
            raise
    except CallFailed as error:
        _pass_if_dead(core, error)


def receive(core: ClientCore) -> Steps[Mail]:
    """The next message."""
    while not core.mailbox:
        yield await_mail(core)
    return core.mailbox.popleft()


def register(core: ClientCore, name: str, who: Pid | None, value: Term) -> Steps[None]:
    serial = NOBODY if who is None else (yield from _serial(core, who))
    yield from request(core, Register(name, serial, encode_value(value)))


def register_many(core: ClientCore, names: Mapping[str, Pid], values: Mapping[str, Term]) -> Steps[None]:
    check_map(names)
    check_map(values)
    entries = []
    for name, pid in names.items():
        serial = yield from _serial(core, pid)
        entries.append(Register(name, serial, encode_value(values.get(name))))
    yield from request(core, RegisterMany(entries))


def unregister(core: ClientCore, name: str) -> Steps[None]:
    yield from request(core, Unregister(name))


def processes(core: ClientCore, after: int, limit: int) -> Steps[list[dict[str, Term]]]:
    """One page of the process table."""
    rows = yield from request(core, Processes(after, limit))
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _serial(core: ClientCore, to: Target) -> Steps[int]:
    pid = to if isinstance(to, Pid) else (yield from _resolve(core, checked_name(to)))
    if pid is None or pid.instance != core.connection.instance:
        raise CallFailed(NOPROC)
    return pid.serial


def _resolve(core: ClientCore, name: str) -> Steps[Pid | None]:
    """As :func:`whereis` without a round trip: whoever is found here and dead meanwhile shows when it is spoken to."""
    serial = core.connection.resolve(name)
    return (yield from whereis(core, name)) if serial is None else core.pid(serial)


def channel_to(core: ClientCore, to: Target) -> Steps[Channel]:
    """The channel to ``to``, with room for a message."""
    serial = yield from _serial(core, to)
    if core.connection.state == "closed":
        raise core.no_connection()
    if serial == core.latest_child:
        core.latest_child = SPOKEN_TO
    try:
        while (channel := core.channel_to(serial)).is_full:
            yield core.await_writable(serial)
    except CallTimeout:
        raise RequestError("mailbox_full", "the receiver does not read") from None
    return channel


def _post(core: ClientCore, to: Target, message: Cast | Info | System) -> Steps[None]:
    channel = yield from channel_to(core, to)
    channel.post(message)
    core.flush(channel)
    while channel.sock is None and not channel.ended:  # nobody drives a client that waits for nothing
        yield core.await_writable(channel.peer)


def await_mail(core: ClientCore) -> int:
    """The number of the next mail."""
    if core.connection.state == "closed":
        raise core.no_connection()
    return core.await_mail()


def _pass_if_dead(core: ClientCore, error: CallFailed) -> None:
    if core.connection.state == "closed":
        raise error
