"""The commands of OTP's sys: ``actorcore sys …``, ``actorcore trace``, ``actorcore code-change``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from supervisors.cli.base import command, daemon, find, json_term, say, timeout, unwind_on_interrupt
from supervisors.cli.completion import TARGET

if TYPE_CHECKING:
    from supervisors.client import Client

WORDS = ["get-state", "get-status", "suspend", "resume"]


@command
@click.argument("word", type=click.Choice([*WORDS, "statistics", "log", "replace-state"]))
@click.argument("target", type=TARGET)
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@timeout(5.0)
def sys_command(word: str, target: str, arguments: tuple[str, ...], timeout_s: float, as_json: bool) -> None:
    """Ask the behaviour of TARGET: OTP's sys.

    \b
    get-state, get-status    its state; how it runs
    suspend, resume          hold its messages; handle them
    statistics [on|off]      count its messages; without an argument what was counted
    log [N]                  keep its last N events (0: none); without an argument those that are kept
    replace-state MODULE:NAME [JSON]...
                             it runs NAME with its state and the arguments; what that returns is its state

    \b
    Examples:
      actorcore sys get-state counter
      actorcore sys replace-state counter mypackage.repair:without '"cache"'
    """
    with daemon() as client:
        say(_ask(client, word, target, arguments, timeout_s), as_json)


def _ask(client: Client, word: str, target: str, arguments: tuple[str, ...], timeout_s: float) -> object:
    sys, pid = client.sys, find(client, target).pid
    match word, arguments:
        case "replace-state", (function, *rest):
            return sys.replace_state(pid, function, *(json_term(text) for text in rest), timeout_s=timeout_s)
        case "statistics", ():
            return sys.statistics(pid, timeout_s=timeout_s)
        case "statistics", ("on" | "off" as state,):
            return sys.statistics(pid, state == "on", timeout_s)
        case "log", ():
            return sys.log(pid, timeout_s=timeout_s)
        case "log", (size,) if size.isdecimal():
            return sys.log(pid, int(size), timeout_s)
        case "get-state", ():
            return sys.get_state(pid, timeout_s)
        case "get-status", ():
            return sys.get_status(pid, timeout_s)
        case "suspend", ():
            return sys.suspend(pid, timeout_s)
        case "resume", ():
            return sys.resume(pid, timeout_s)
    raise click.UsageError(f"{word}: not these arguments: {' '.join(arguments) or 'none'}")


@command
@click.argument("target", type=TARGET)
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@timeout(None)
def trace(target: str, count: int | None, timeout_s: float | None, as_json: bool) -> None:
    """Print what TARGET handles and answers.

    Until it ends or Ctrl-C. With --json one event per line.

    Example: actorcore trace counter --count 10
    """
    from supervisors.cli.output import to_json
    from supervisors.clients.messages import DownMessage, InfoMessage

    with daemon() as client:
        pid = find(client, target).pid
        client.monitor(pid)
        client.sys.trace(pid)
        told = 0
        while count is None or told < count:
            match client.receive(timeout_s):
                case InfoMessage(frm, ["trace", _, [str(way), *what]]) if frm == pid:
                    told += 1
                    say({"pid": str(pid), "event": [way, *what]}, as_json, f"*DBG* {target} {_told(way, what, to_json)}")
                case DownMessage(_, _, reason):
                    say({"pid": str(pid), "down": reason}, as_json, f"*DBG* {target} is dead: {to_json(reason)}")
                    return
        client.sys.trace(pid, False)


def _told(way: str, what: Sequence[object], to_json: Callable[[object], str]) -> str:
    """An event as OTP prints it."""
    if way == "out":
        value, to = what
        return f"sent {to_json(value)} to {to}"
    kind, body, frm = what
    return f"got {kind}" + ("" if body is None else f" {to_json(body)}") + ("" if frm is None else f" from {frm}")


@command
@click.argument("module")
@click.option("--extra", type=json_term, default=None, metavar="JSON", help="What code_change gets as extra.")
@click.option("--old-version", type=json_term, default=None, metavar="JSON", help="Default: __version__ of the old module.")
@timeout(5.0)
def code_change(module: str, extra: object, old_version: object, timeout_s: float, as_json: bool) -> None:
    """Load MODULE anew into the processes that run it.

    All that were started from it get the code that is on disk. They keep pid, mailbox and links; code_change of their class
    makes the new state of the old one. Where that raises a process keeps its old code. Exit code 1 when one could not change.

    Example: actorcore code-change mypackage.counter
    """
    unwind_on_interrupt()  # those that it has suspended
    with daemon() as client:
        told = client.change_code(module, old_version, extra, timeout_s)
    failed = {str(pid): {"code": code, "detail": detail} for pid, (code, detail) in told.failed.items()}
    lines = [f"{len(told.changed)} changed", *(f"{pid}: {code}: {detail!s}" for pid, (code, detail) in told.failed.items())]
    say({"changed": [str(pid) for pid in told.changed], "failed": failed}, as_json, lines)
    click.get_current_context().exit(int(bool(failed)))
