"""How commands speak: text for people, JSON with --json, one line per error, an exit code that tells its kind."""

from __future__ import annotations

import base64
import json
import sys

import click

from actorcore.errors import MEANINGS, ActorError, CallFailed, CallTimeout, ProtocolError, RequestError
from actorcore.exit_reason import NOCONNECTION
from actorcore.pids import Pid
from supervisors import exit_codes


def plain(value: object) -> object:
    """``value`` as JSON can say it: a Pid as its text, bytes in base64."""
    if isinstance(value, Pid):
        return str(value)
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def to_json(value: object) -> str:
    """One line; control characters are escaped, so that no message of a session can move the cursor."""
    return json.dumps(plain(value))


def say(value: object, as_json: bool, text: str | list[str] | None = None) -> None:
    """Print ``value`` as JSON, or ``text`` for a person, each item one line."""
    if as_json or text is None:
        click.echo(to_json(value))
        return
    for line in [text] if isinstance(text, str) else text:
        click.echo(printable(line))


def say_rows(rows: list[dict[str, object]], columns: list[str], as_json: bool) -> None:
    """A table: JSON, or columns, with colours on a terminal only."""
    if as_json:
        click.echo(to_json(rows))
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    if sys.stdout is not None and sys.stdout.isatty():
        _say_rich(columns, cells)
        return
    widths = [max(len(line[at]) for line in [columns, *cells]) for at in range(len(columns))]
    for line in [[column.upper() for column in columns], *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _say_rich(columns: list[str], cells: list[list[str]]) -> None:
    from rich.console import Console  # 60 ms, for terminals only
    from rich.table import Column, Table
    from rich.text import Text

    # A Pid is cut last: it is a TARGET, and its end is what tells it from the others.
    heads = (Column(name.upper(), no_wrap=name == "pid") for name in columns)
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for line in cells:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in line))
    Console().print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return printable(value if isinstance(value, str) else to_json(value) if isinstance(value, (dict, list)) else str(value))


def printable(text: str) -> str:
    """``text`` in one line, with control and format characters escaped (S15)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def explain(error: ActorError) -> tuple[str, str, int]:
    """Code, detail and exit code of an error."""
    match error:
        case RequestError():
            return error.code, error.detail, exit_codes.REFUSED
        case CallFailed(reason=reason) if reason == NOCONNECTION:
            return "not_running", "the daemon is not running; `actorcore start` starts it", exit_codes.NOT_RUNNING
        case CallFailed(reason=reason):
            return "process_not_alive", reason if isinstance(reason, str) else to_json(reason), exit_codes.REFUSED
        case CallTimeout() | ProtocolError():
            return error.code, str(error), exit_codes.REFUSED
        case _:
            return "internal_error", type(error).__name__, exit_codes.REFUSED


def say_json_error(code: str, detail: str) -> None:
    """One line on stderr for a program."""
    click.echo(exit_codes.error_json(code, detail), err=True)


def say_error(error: ActorError, as_json: bool = False) -> int:
    """Print ``error: code: detail`` to stderr, the code's meaning where the detail is one word or none, or all as JSON; the
    exit code.
    """
    code, detail, exit_code = explain(error)
    if as_json:
        say_json_error(code, detail)
        return exit_code
    told, meaning = detail, MEANINGS.get(code, "")
    if meaning and " " not in told:
        told = f"{told} ({meaning})" if told else meaning
    # A session's own code may be any.
    click.echo(printable(f"error: {code}: {told}" if told else f"error: {code}"), err=True)
    return exit_code
