"""A client's tasks: one function in a process of its own, and its value (:mod:`actorcore.task`)."""

from __future__ import annotations

import msgspec

from actorcore.errors import ActorError
from actorcore.exit_reason import KILL, Term
from actorcore.signals import Link, ProcessSpec, SendExit
from actorcore.words import TaskSpec
from supervisors.clients.core import ClientCore
from supervisors.clients.steps import Steps, Target, call, request


def run_task(core: ClientCore, supervisor: Target, spec: ProcessSpec) -> Steps[Term]:
    """Start a task under ``supervisor``, linked to the client, and wait for its value; it is killed if nobody waits any more."""
    process = msgspec.structs.replace(spec, task=TaskSpec([core.connection.serial], is_awaited=True))
    child = {"id": "task", "process": process, "restart": "temporary"}
    serial = yield from call(core, supervisor, ["start_child", child])
    assert isinstance(serial, int)  # a task has no init that could say ignore
    pid = core.pid(serial)
    try:
        yield from request(core, Link(serial))
        return (yield from call(core, pid, None))  # it begins with this call, and its value is the answer
    except (ActorError, GeneratorExit):
        if core.connection.state != "closed":
            core.submit(SendExit(serial, KILL))
        raise
    finally:
        if core.connection.state != "closed":
            core.end_link(serial)
