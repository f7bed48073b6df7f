"""The commands for what was saved of sessions: list, resume, delete, clean up, export, import.

Here a TARGET is a number in the list (0 is the tenth), a name, an id, or the beginning of one of them. A whole id needs no list:
what cannot be read is in none, and has an id.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from supervisors.cli.base import command, daemon, say, timeout, unwind_on_interrupt
from supervisors.cli.completion import SAVED
from supervisors.cli.sessions import short, shown

if TYPE_CHECKING:
    from supervisors.clients.manager_steps import Row
    from supervisors.persistence.saved import SavedSession


@command
@click.option("--all", "also_live", is_flag=True, help="Also those that live, or whose project another one works in.")
def saved(also_live: bool, as_json: bool) -> None:
    """List the saved sessions that can be resumed.

    Newest first.

    Example: actorcore saved"""
    import msgspec

    from actorcore.runtime import clock
    from supervisors.cli import output
    from supervisors.session import ages

    with daemon() as client:
        found = list(client.saved.list() if also_live else client.saved.resumable())
        bad = client.saved.bad()
    rows: list[dict[str, object]] = [msgspec.to_builtins(one) for one in found]
    now = clock.wall_s()
    table = rows if as_json else [
        {"#": number, "name": one.name, "path": short(one.project_path), "saved": ages.text(now - one.saved_at), "id": one.id}
        for number, one in enumerate(found, 1)
    ]  # fmt: skip
    output.say_rows(table, ["#", "name", "path", "saved", "id"], as_json)
    if bad:
        click.echo(f"{bad} more cannot be read or believed", err=True)


@command
@click.argument("target", type=SAVED)
@timeout(30.0)
def resume(target: str, timeout_s: float, as_json: bool) -> None:
    """Resume saved session TARGET as it was.

    A number in the list of `actorcore saved`, a name, an id, or a prefix.

    Example: actorcore resume 1"""
    from actorcore.errors import RequestError

    with daemon() as client:
        try:
            id = _target(client.saved.resumable(), target)
        except RequestError as error:
            if error.code != "not_found" or target.strip().isdigit():  # a number is one of the list that is shown
                raise
            id = _target(client.saved.list(), target)  # one that cannot be resumed: the daemon says why
        row = client.manager.resume(id, timeout_s)
        say(shown(client, row), as_json, [f"{row['name']!s}  {row['id']!s}"])


@command
@click.argument("targets", nargs=-1, metavar="[TARGET...]", type=SAVED)
@click.option("--all", "everything", is_flag=True, help="Whatever was saved, also what cannot be read.")
def delete(targets: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Delete what was saved of sessions that do not live.

    All TARGETs are looked up before the first one is deleted. Example: actorcore delete 1 web
    """
    if bool(targets) == everything:
        raise click.UsageError("TARGETs, or --all")
    with daemon() as client:
        if everything:
            _say_cleanup(client.saved.clear(), as_json)
            return
        ids = dict.fromkeys(_target(client.saved.list(), target) for target in targets)
        deleted = {id: client.saved.delete(id) for id in ids}
        say({"deleted": deleted}, as_json, "deleted")


@command
@click.argument("days", type=int)
def cleanup(days: int, as_json: bool) -> None:
    """Delete what was saved more than DAYS ago.

    Sessions that live keep what they have saved.

    Example: actorcore cleanup 30"""
    with daemon() as client:
        _say_cleanup(client.saved.clean_up(days), as_json)


@command
@click.argument("target", type=SAVED)
@click.argument("file", type=click.Path(dir_okay=False))
def export(target: str, file: str, as_json: bool) -> None:
    """Write saved session TARGET to FILE (- is stdout).

    It must not live. FILE is signed JSON, which `actorcore import` reads.

    Example: actorcore export web web.json"""
    from supervisors.persistence import files

    with daemon() as client:
        data = client.saved.export(_target(client.saved.list(), target))
    if file == "-":
        click.echo(data)
        return
    unwind_on_interrupt()  # the file that is not whole yet
    try:
        files.replace_private(str(Path(file).absolute()), data, "export")
    except OSError as error:
        raise files.FileTrouble.of(error) from None
    say({"bytes": len(data)}, as_json, f"{len(data)} bytes")


@command
@click.argument("file", type=click.File("rb"))
@click.option("--unsigned", is_flag=True, help="Believe it, whoever signed it: from another machine, or not signed at all.")
def import_command(file: BinaryIO, unsigned: bool, as_json: bool) -> None:
    """Save what `actorcore export` wrote to FILE (- is stdin).

    Prints the id to resume.

    Example: actorcore import web.json"""
    with daemon() as client:
        id = client.saved.import_(file.read().rstrip(b"\n"), unsigned)
        say({"id": id}, as_json, id)


@command
def rotate(as_json: bool) -> None:
    """Sign with a new secret from now on.

    What older ones have signed stays valid.

    Example: actorcore rotate"""
    with daemon() as client:
        row = client.saved.rotate()
        say(row, as_json, f"key {row['key']!s}")


def _say_cleanup(row: Row, as_json: bool) -> None:
    say(row, as_json, [f"{key}: {row.get(key)!s}" for key in ("deleted", "skipped", "failed")])


def _target(saved: Iterable[SavedSession], target: str) -> str:
    """The id of whom the person means."""
    from actorcore.errors import RequestError
    from supervisors.session.record import ID
    from supervisors.session.targets import Ambiguous, Named, resolve

    if ID.fullmatch(target):
        return target
    found = resolve(target, [Named(one.id, one.name) for one in saved])
    if isinstance(found, Ambiguous):
        raise RequestError("ambiguous_target", ", ".join(found.names))
    if found is None:
        raise RequestError("not_found", f"{target} is no saved session; see `actorcore saved --all`")
    return found
