"""What a TARGET on the command line means, and the commands on it that take more than one request."""

from __future__ import annotations

import os
import select
from pathlib import Path

import msgspec

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import NOCONNECTION, SHUTDOWN, Term
from actorcore.pids import Pid
from actorcore.runtime import clock
from supervisors import place
from supervisors.client import Client

PID_FIELDS = ("pid", "old_pid", "new_pid")
"""Of events."""


class Found(msgspec.Struct, frozen=True):
    """A process, and the session whose process it is now."""

    text: str
    pid: Pid
    session: str | None


def find(client: Client, target: str) -> Found:
    """``target`` as a pid of this daemon, else a registered name, else a session id, else what a person says of a session
    that works in a folder: its number, its name, a prefix.

    A session that is between two lives has the Pid of nobody (serial 0).

    :raises RequestError: ``not_found``, ``ambiguous_target``.
    """
    pid = _parse(client, target) or client.whereis(target)
    for row in client.sessions():
        if row["id"] == target if pid is None else row["serial"] == pid.serial:
            serial = row["serial"]
            return Found(target, Pid(client.pid.instance, serial if isinstance(serial, int) else 0), str(row["id"]))
    if pid is not None:
        return Found(target, pid, None)
    try:
        row = client.manager.resolve(target)
    except RequestError as error:
        if error.code != "not_found":
            raise
        raise RequestError("not_found", f"{target} is no pid, name or session; see `actorcore ls`") from None
    serial = row["serial"]
    return Found(target, Pid(client.pid.instance, serial if isinstance(serial, int) else 0), str(row["id"]))


def _parse(client: Client, target: str) -> Pid | None:
    try:
        pid = Pid.parse(target)
    except ValueError:
        return None
    return pid if pid.instance == client.pid.instance else None  # `cafe.1` may well be a name


def session_id(found: Found) -> str:
    """The session's id; RequestError ``not_found`` for a bare process."""
    if found.session is None:
        raise RequestError("not_found", f"{found.text} is a process, not a session")
    return found.session


def with_pid(client: Client, row: dict[str, Term]) -> dict[str, object]:
    """The row with the texts of Pids instead of serials, and its folder's path instead of all that is known of that."""
    texts = {key: _text(client, row[serial]) for key, serial in (("pid", "serial"), ("previous", "previous")) if serial in row}
    path = {"path": project.get("path")} if isinstance(project := row.get("project"), dict) else {}
    return {**texts, **{key: value for key, value in row.items() if key not in ("serial", "project", *texts)}, **path}


def with_pids(instance: int, data: dict[str, Term]) -> dict[str, object]:
    """What an event of the daemon ``instance`` says, with the texts of Pids instead of serials."""
    serials = ((key, data.get(key)) for key in PID_FIELDS)
    return {**data, **{key: str(Pid(instance, serial)) for key, serial in serials if isinstance(serial, int)}}


def _text(client: Client, serial: Term) -> str | None:
    return str(Pid(client.pid.instance, serial)) if isinstance(serial, int) and serial else None


def process_row(client: Client, row: dict[str, Term]) -> dict[str, object]:
    """As :func:`with_pid`, with ``state``: the phase of its life, or ``stopped`` by job control, as long as that is no hang."""
    state = row.get("phase", row.get("state"))
    if row.get("stopped") and state != "unresponsive":
        state = "stopped"
    return {**with_pid(client, row), "state": state}


def writer(client: Client, target: str, previous: bool) -> Pid:
    """The process whose log is meant by ``target``: its own, or with ``previous`` that of the session's process before.

    :raises RequestError: ``not_found``, there is none.
    """
    found = find(client, target)
    if previous:
        serial = client.session(session_id(found))["previous"]
        if not isinstance(serial, int) or not serial:
            raise RequestError("not_found", f"{target} has had no process before this one")
        return Pid(client.pid.instance, serial)
    if not found.pid.serial:
        raise RequestError("not_found", f"{target} has no process now; --previous shows what the one before wrote")
    return found.pid


def handle(client: Client, pid: Pid) -> int | None:
    """A pidfd of the process; None when it is dead, or lives inside the node."""
    os_pid = _os_pid(client, pid)
    if not os_pid:
        return None
    try:
        opened = os.pidfd_open(os_pid)
    except ProcessLookupError:
        return None
    if _os_pid(client, pid) == os_pid:  # it lived after the number was looked up: so the number was still its own
        return opened
    os.close(opened)
    return None


def _os_pid(client: Client, pid: Pid) -> int:
    numbers = (row["os_pid"] for row in client.processes() if row["serial"] == pid.serial)
    return next((number for number in numbers if isinstance(number, int)), 0)


def stop(client: Client, found: Found, timeout_s: float) -> dict[str, object]:
    """Stop the session, or shut the process down; it is gone when this returns."""
    if found.session is not None:
        try:
            return with_pid(client, client.manager.stop(found.session, timeout_s))
        except RequestError as error:
            if error.code != "not_found":  # a supervised process that works in no folder
                raise
        return with_pid(client, client.stop_session(found.session, timeout_s))
    if any(row["serial"] == found.pid.serial and row["kind"] == "resident" for row in client.processes()):
        client.stop(found.pid, SHUTDOWN, timeout_s)  # a supervisor heeds no exit signal of a stranger
        return {"pid": str(found.pid), "reason": SHUTDOWN}
    ref = client.monitor(found.pid)
    client.exit(found.pid, SHUTDOWN)
    return {"pid": str(found.pid), "reason": client.wait_down(ref, timeout_s).reason}


def restart(client: Client, found: Found, timeout_s: float) -> dict[str, object]:
    """Another process for the session, under the same id; RequestError ``not_found`` for a bare process."""
    id = session_id(found)
    try:
        return with_pid(client, client.manager.restart(id, timeout_s))
    except RequestError as error:
        if error.code != "not_found":
            raise
    return with_pid(client, client.restart_session(id, timeout_s))


def take_down(client: Client, directory: Path, timeout_s: float) -> None:
    """Ask for the end and wait for it: nobody listens any more, and the guardian, who is the last, is dead.

    :raises CallTimeout: it goes on ending.
    """
    guardian = place.guardian(directory)
    try:
        client.node("down", timeout_s)
        while True:
            client.receive(timeout_s)
    except CallFailed as error:
        if error.reason != NOCONNECTION:
            raise
    if guardian is not None and not _has_ended(guardian, timeout_s):
        raise CallTimeout("the guardian has not ended in time")


def _has_ended(handle: int, timeout_s: float) -> bool:
    """Whether the process of this pidfd, which is closed, is dead within that time."""
    try:
        end = select.poll()
        end.register(handle, select.POLLIN)
        return bool(end.poll(min(timeout_s, clock.LONGEST_POLL_S) * 1000))
    finally:
        os.close(handle)
