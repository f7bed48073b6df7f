"""What the tasks of the tests do; importing this costs each of their processes little."""

from __future__ import annotations

import os
from typing import Any

from actorcore.runtime.actor import intake
from actorcore.runtime.actor.process import current
from actorcore.runtime.actor.tasks import Tasks


def square(number: int) -> int:
    return number * number


async def slow_square(number: int) -> int:
    """A coroutine runs in a loop, on whatever template."""
    return number * number


def boom(*_: object) -> None:
    raise ValueError("boom")


def strange(*_: object) -> object:
    """Returns what no message can carry."""
    return object()


def stand_still(*_: object) -> None:
    """Until it is killed."""
    current().receive()


def when_told(*_: object) -> object:
    """The body of the first message."""
    message = current().receive()
    return message.body  # type: ignore[union-attr]


def whose(*_: object) -> list[int]:
    """On whose behalf this runs."""
    task = intake.running().begin.spec.task
    assert task is not None
    return task.callers


def whose_inner(supervisor: int) -> Any:
    """The callers of a task of this task."""
    process = current()
    tasks = Tasks(process, type(process.self_pid)(process.self_pid.instance, supervisor))
    return tasks.await_(tasks.async_("tests.fault.task_functions:whose"))


def as_item_says(item: Any, log: str) -> Any:
    """``item`` is ``[verb, …]``; the beginning and the end of each are lines of ``log``."""
    with open(log, "ab", buffering=0) as lines:
        lines.write(b"+\n")
        match item:
            case ["square", int(number)]:
                result = number * number
            case ["meet", str(gate), int(number)]:
                current().call(gate, number, None)
                result = number * number
            case ["open", str(gate)]:
                current().cast(gate, "open")
                result = "opened"
            case ["when_told"]:
                result = when_told()
            case ["boom"]:
                boom()
            case ["die"]:
                os.kill(os.getpid(), 9)
            case ["hang"]:
                lines.close()
                stand_still()
        lines.write(b"-\n")
    return result
