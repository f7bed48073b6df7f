"""Logs as they are shown: the daemon's records, the lines of a process."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from actorcore.errors import RequestError
from actorcore.pids import Pid
from supervisors.cli.output import say, to_json
from supervisors.cli.tail import Tail, follow

Shown: TypeAlias = Callable[[str], tuple[object, str]]
"""A line as JSON, and as a person reads it."""


def say_log(
    path: Path, of: str, count: int | None, goes_on: bool, writer: int | None, shown: Shown, as_json: bool
) -> None:  # fmt: skip
    """Print the last ``count`` lines (None: all) and, when it ``goes_on``, what comes until ``writer`` (a pidfd) is dead.

    :raises RequestError: ``not_found``, there is no such log.
    """
    batches = follow(path, writer) if goes_on else _all(path)
    try:
        for number, lines in enumerate(batches):
            first = 0 if count is None or number else max(0, len(lines) - count)
            for line in lines[first:]:
                value, text = shown(line)
                say(value, as_json, text)
    except FileNotFoundError:
        raise RequestError("not_found", f"no log of {of} is kept: nothing was written, or it is too long ago") from None
    finally:
        if writer is not None:
            os.close(writer)


def _all(path: Path) -> Iterator[list[str]]:
    with io.FileIO(path) as file:
        yield Tail(file).lines(is_last=True)


def of_process(pid: Pid) -> Shown:
    """How the lines of that process are shown."""
    return lambda line: ({"pid": str(pid), "line": line}, line.expandtabs())


def daemon_line(line: str) -> tuple[object, str]:
    """A record of the daemon's log: when, what, of whom, how. What is no record (the last words of a program) is itself."""
    try:
        record = json.loads(line)
        text = f"{record['time']}  {record['kind']}  {record['serial'] or '-'}  {to_json(record['detail'])}"
    except (ValueError, TypeError, KeyError):
        return {"line": line}, line
    return record, text
