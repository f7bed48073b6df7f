"""The commands for sessions that work in folders: create, sessions, info, say, history, events, rename, suspend, rm, …

Here a TARGET is what people say: the number in the list (0 is the tenth), a name, an id, or the beginning of one of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from supervisors.cli.base import FOLDER, command, daemon, json_object, say, timeout
from supervisors.cli.completion import FOLDER_SESSION

if TYPE_CHECKING:
    from actorcore.exit_reason import Term
    from supervisors.client import Client
    from supervisors.clients.manager_steps import SessionEvent

COLUMNS = ["#", "name", "status", "pid", "restarts", "path", "created", "id"]
MAX_SHOWN_PATH = 40
F = TypeVar("F", bound=Callable[..., None])


def _row(client: Client, target: str) -> dict[str, Term]:
    """The row of whom the person means.

    :raises RequestError: ``not_found``, ``ambiguous_target``.
    """
    from actorcore.errors import RequestError

    try:
        return client.manager.resolve(target)
    except RequestError as error:
        if error.code != "not_found":
            raise
        raise RequestError("not_found", f"{target} is no session that works in a folder; see `actorcore sessions`") from None


def _target(client: Client, target: str) -> str:
    """The id of whom the person means; raises as :func:`_row`."""
    return str(_row(client, target)["id"])


def _awake(client: Client, target: str) -> str:
    """The id of whom the person means, who has a process that can be asked.

    :raises RequestError: ``process_not_alive``, it sleeps; and as :func:`_row`.
    """
    from actorcore.errors import RequestError

    row = _row(client, target)
    if row["status"] == "suspended":
        raise RequestError("process_not_alive", f"{target} is suspended; `actorcore wake {target}` starts its process")
    return str(row["id"])


def _options_of_policy(function: F) -> F:
    function = click.option("--may-spawn/--no-spawn", default=True, show_default=True,
                            help="Whether it may start, stop or change other processes.")(function)  # fmt: skip
    function = click.option("--restart", type=click.Choice(["permanent", "transient", "temporary"]), default="transient",
                            show_default=True, help="When its process is started again after a death.")(function)  # fmt: skip
    return click.option("--idle-timeout", "idle_timeout_s", type=click.FloatRange(min=0), default=1800.0, show_default=True,
                        help="Seconds without anything to do after which it is stopped; 0: never.")(function)  # fmt: skip


@command
@click.argument("path", default=".", type=click.Path(path_type=str))
@click.option("--name", "-n", help="Instead of the folder's.")
@click.option("--module", default="", metavar="MODULE:NAME", help="What is run instead of a plain conversation.")
@click.option("--module-path", default="", help="Import MODULE from this folder first.", type=FOLDER)
@click.option("--config", type=json_object, default="{}", metavar="JSON", help="provider, model, temperature, max_tokens, …")
@click.option("--metadata", type=json_object, default="{}", metavar="JSON", help="Kept and told as it is.")
@_options_of_policy
def create(
    path: str, name: str | None, module: str, module_path: str, config: dict[str, Term], metadata: dict[str, Term],
    restart: str, idle_timeout_s: float, may_spawn: bool, as_json: bool,
) -> None:  # fmt: skip
    """Create a session in the folder PATH, by default this one.

    \b
    Examples:
      actorcore create
      actorcore create ~/src/web --name web --config '{"temperature": 0.2}'
      actorcore create --module echo:Echo --module-path ~/agents
    """
    import msgspec

    from supervisors.session.record import Policy

    chosen = {"restart": restart, "idle_timeout_s": idle_timeout_s, "path": module_path, "may_spawn": may_spawn}
    policy = msgspec.convert(chosen, Policy)
    where = os.path.abspath(os.path.expanduser(path))
    with daemon() as client:
        row = client.manager.create(where, name, module=module, config=config, metadata=metadata, policy=policy)
        say(shown(client, row), as_json, [f"{row['name']!s}  {row['id']!s}"])


@command
def sessions(as_json: bool) -> None:
    """List the sessions that work in folders.

    Oldest first; the default one is marked.

    Example: actorcore sessions"""
    from actorcore.runtime import clock
    from supervisors.cli import output
    from supervisors.session import ages

    with daemon() as client:
        rows = [shown(client, row) for row in client.manager.list()]
        default = client.manager.default()["id"] if rows else None
    if as_json:
        output.say_rows(rows, COLUMNS, True)
        return
    now = clock.wall_s()
    table = [
        {
            **row, "#": f"{number}*" if row["id"] == default else str(number), "path": short(str(row["path"])),
            "created": ages.text(now - float(str(row["created_at"]))),
        }
        for number, row in enumerate(rows, 1)
    ]  # fmt: skip
    output.say_rows(table, COLUMNS, False)


@command
@click.argument("target", type=FOLDER_SESSION)
def info(target: str, as_json: bool) -> None:
    """Everything that is known of session TARGET.

    Example: actorcore info web --json"""
    from supervisors.cli.output import to_json
    from supervisors.session import ages

    with daemon() as client:
        row = shown(client, _row(client, target))
    told = row | {key: ages.moment(float(str(row[key]))) for key in ("created_at", "updated_at")}
    say(row, as_json, [f"{key}: {value if isinstance(value, (str, int)) else to_json(value)}" for key, value in told.items()])


@command
@click.argument("target", type=FOLDER_SESSION)
@click.argument("name")
def rename(target: str, name: str, as_json: bool) -> None:
    """Give session TARGET another NAME.

    Example: actorcore rename 1 backend"""
    with daemon() as client:
        row = client.manager.rename(_target(client, target), name)
        say(shown(client, row), as_json, str(row["name"]))


@command
@click.argument("target", type=FOLDER_SESSION)
@click.option("--config", type=json_object, default="{}", metavar="JSON", help="temperature, model, …; null takes a key out.")
@click.option("--metadata", type=json_object, default="{}", metavar="JSON", help="As with --config.")
def update(target: str, config: dict[str, Term], metadata: dict[str, Term], as_json: bool) -> None:
    """Merge keys into config and metadata of session TARGET.

    All that is wrong is told at once, and changes nothing.

    Example: actorcore update web --config '{"temperature": 0}'"""
    with daemon() as client:
        row = client.manager.update(_target(client, target), config, metadata)
        say(shown(client, row), as_json, str(row["name"]))


@command
@click.argument("target", required=False, type=FOLDER_SESSION)
def default_command(target: str | None, as_json: bool) -> None:
    """Say which session is the default one, or make TARGET it.

    It is the one that is meant where none is named.

    \b
    Examples:
      actorcore default
      actorcore default web
    """
    with daemon() as client:
        if target is not None:
            client.manager.set_default(_target(client, target))
        row = client.manager.default()
        say(shown(client, row), as_json, f"{row['name']!s}  {row['id']!s}")


@command
@click.argument("target", type=FOLDER_SESSION)
@timeout(30.0)
def suspend(target: str, timeout_s: float, as_json: bool) -> None:
    """End the process of session TARGET, and keep the session.

    Example: actorcore suspend web"""
    with daemon() as client:
        say(shown(client, client.manager.suspend(_target(client, target), timeout_s)), as_json, "suspended")


@command
@click.argument("target", type=FOLDER_SESSION)
@timeout(30.0)
def wake(target: str, timeout_s: float, as_json: bool) -> None:
    """Start a process for the suspended session TARGET.

    Example: actorcore wake web"""
    with daemon() as client:
        say(shown(client, client.manager.wake(_target(client, target), timeout_s)), as_json, "awake")


@command
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...", type=FOLDER_SESSION)
@timeout(30.0)
def rm(targets: tuple[str, ...], timeout_s: float, as_json: bool) -> None:
    """Stop sessions and take them off the list.

    Each saves itself before. All TARGETs are looked up before the first one is stopped. Example: actorcore rm web 3
    """
    with daemon() as client:
        ids = dict.fromkeys(_target(client, target) for target in targets)
        rows = [client.manager.stop(id, timeout_s) for id in ids]
        say([shown(client, row) for row in rows], as_json, [str(row["name"]) for row in rows])


@command
@click.argument("target", required=False, type=FOLDER_SESSION)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--type", "types", multiple=True, help="Of this type only; may be repeated.")
@click.option("--after", type=int, help="After the event of that number; default: all that are remembered, with -f none.")
def events(target: str | None, follow: bool, types: tuple[str, ...], after: int | None, as_json: bool) -> None:
    """What happened in session TARGET, or in the lives of all.

    \b
    Examples:
      actorcore events -f
      actorcore events web --type session_crashed --json
    """
    with daemon() as client:
        session = "" if target is None else _target(client, target)
        since = 0 if after is None and not follow else after
        with client.manager.subscribe(session, types, since) as subscription:
            while not follow:
                client.node("status")  # what was due before this answer has come
                told = list(subscription)
                for event in told:
                    _say_event(event, as_json)
                if not told:
                    return
            while True:
                _say_event(subscription.next(None), as_json)


@command
@click.argument("target", type=FOLDER_SESSION)
@click.argument("text")
def say_command(target: str, text: str, as_json: bool) -> None:
    """Say TEXT to session TARGET, as its user.

    Example: actorcore say web 'what does main.py do?'"""
    from supervisors.session.requests import SendMessage

    with daemon() as client:
        say(client.call(_awake(client, target), SendMessage("user", text)), as_json, "said")


@command
@click.argument("target", type=FOLDER_SESSION)
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="The last N messages.")
def history(target: str, count: int, as_json: bool) -> None:
    """The conversation of session TARGET, oldest first.

    The lines of a message after its first one are indented.

    Example: actorcore history web -n 5"""
    from supervisors.session.requests import GetMessages

    rows: list[dict[str, Term]] = []
    with daemon() as client:
        id = _awake(client, target)
        page = client.call(id, GetMessages(0, 1))
        offset = max(0, int(str(page["total"])) - count) if isinstance(page, dict) else 0
        while isinstance(page, dict) and (page["has_more"] or not rows):
            page = client.call(id, GetMessages(offset, count))
            items = page["items"] if isinstance(page, dict) else None
            if not isinstance(items, list) or not items:
                break
            rows += [item for item in items if isinstance(item, dict)]
            offset += len(items)
    say(rows, as_json, [line for row in rows for line in _lines_of(str(row["role"]), str(row["content"]))])


def _lines_of(role: str, content: str) -> list[str]:
    first, *others = content.expandtabs(4).split("\n")
    return [f"{role}: {first}", *(f"    {line}" for line in others)]


@command
@click.argument("target", type=FOLDER_SESSION)
def save(target: str, as_json: bool) -> None:
    """Save session TARGET now, and say where.

    Example: actorcore save web"""
    from supervisors.session.requests import Save

    with daemon() as client:
        id = _awake(client, target)
        saved, path = client.call(id, Save()), client.saved.locate(id)
        say({"saved": saved, "path": path}, as_json, f"saved {path}")


def shown(client: Client, row: dict[str, Term]) -> dict[str, object]:
    """As :func:`supervisors.cli.targets.with_pid`."""
    from supervisors.cli import targets

    return targets.with_pid(client, row)


def short(path: str) -> str:
    home = os.path.expanduser("~")
    text = f"~{path[len(home) :]}" if path == home or path.startswith(f"{home}/") else path
    return text if len(text) <= MAX_SHOWN_PATH else f"…{text[-MAX_SHOWN_PATH + 1 :]}"


def _say_event(event: SessionEvent, as_json: bool) -> None:
    import msgspec

    from supervisors.cli import targets
    from supervisors.cli.output import to_json
    from supervisors.session import ages

    data = targets.with_pids(event.instance, event.data)
    text = f"{event.number}  {ages.time_of_day(event.at)}  {event.session[:8]}  {event.type}  {to_json(data)}"
    say({**msgspec.to_builtins(event), "data": data}, as_json, text)
