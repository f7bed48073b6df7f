"""The commands for processes and the sessions that keep them alive: spawn, up, ls, whereis, call, send, kill, stop, …"""

from __future__ import annotations

import signal
import uuid
from pathlib import Path

import click

from supervisors.cli.base import FOLDER, command, daemon, directory, find, json_term, running_daemon, say, signal_number, timeout
from supervisors.cli.completion import TARGET

RESTARTS = ["permanent", "transient", "temporary", "none"]
PROCESS_COLUMNS = ["pid", "name", "kind", "state", "os_pid", "start"]
LONG_COLUMNS = [*PROCESS_COLUMNS[:-1], "cpu", "memory", "start"]
SESSION_COLUMNS = ["id", "name", "pid", "state", "uptime", "restarts", "restart", "reason"]
SECONDS = click.FloatRange(min=0, min_open=True)


@command
@click.argument("start", metavar="MODULE:NAME")
@click.argument("args", nargs=-1, type=json_term, metavar="[JSON]...")
@click.option("--name", help="Register this name.")
@click.option("--id", "session_id", help="Session id instead of the name or a new UUID.")
@click.option("--restart", type=click.Choice(RESTARTS), default="transient", show_default=True, help="none: a bare process.")
@click.option("--template", default="auto", show_default=True, help="What it begins with; resident: a machine of the node.")
@click.option("--path", default="", help="Import MODULE from this folder first.", type=FOLDER)
@click.option("--busy-timeout", "busy_timeout_s", type=SECONDS, help="It hangs when one message takes so many seconds.")
@click.option("--when-hung", type=click.Choice(["report", "kill"]), default="report", show_default=True)
@click.option(
    "--isolation", type=click.Choice(["fork", "exec"]), default="fork", show_default=True, help="exec: a program of its own."
)
def spawn(
    start: str, args: tuple[object, ...], name: str | None, session_id: str | None, restart: str, as_json: bool, **fields: object
) -> None:
    """Start MODULE:NAME as a supervised session.

    The arguments are JSON. It is ready when this returns; --restart none starts a bare process without a supervisor. With
    --template resident NAME is that of a machine: supervisor, dynamic_supervisor, registry and more.

    \b
    Examples:
      actorcore spawn mypackage.counter:Counter 0 --name counter
      actorcore spawn mypackage.jobs:run '"nightly"' '{"retries": 3}' --restart none
      actorcore spawn mypackage.model:Model --busy-timeout 60 --when-hung kill
      actorcore spawn registry --template resident --name keys
    """
    import msgspec

    from actorcore.signals import ProcessSpec
    from supervisors.cli import targets
    from supervisors.tree.child_spec import ChildSpec

    spec = msgspec.convert({"start": start, "args": list(args), "name": name, **fields}, ProcessSpec)
    with daemon() as client:
        if restart == "none":
            pid = client.spawn_spec(spec)
            say({"pid": str(pid), "name": name}, as_json, str(pid))
            return
        identity = session_id or name or str(uuid.uuid4())
        child = msgspec.convert({"id": identity, "process": spec, "restart": restart}, ChildSpec)
        say(targets.with_pid(client, client.start_session(child)), as_json, identity)


@command
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Say what is wrong with FILE, and start nothing.")
def up(file: Path, only_check: bool, as_json: bool) -> None:
    """Start the application that FILE (TOML) describes.

    All of it runs when this returns; its session has the name in the file. What is wrong with FILE is told with its line.

    \b
    Examples:
      actorcore up examples/shop/app.toml
      actorcore stop shop
    """
    from supervisors.cli import targets
    from supervisors.tree.application import InvalidApplication, read_application

    try:
        wanted = read_application(file).child_spec()
    except InvalidApplication as error:
        from actorcore.errors import RequestError

        raise RequestError("invalid_spec", str(error)) from None
    if only_check:
        say({"id": wanted.id, "ok": True}, as_json, "ok")
        return
    with daemon() as client:
        say(targets.with_pid(client, client.start_session(wanted)), as_json, wanted.id)


@command
@click.option("--sessions", "only_sessions", is_flag=True, help="Sessions with their restarts instead of processes.")
@click.option("-a", "--all", "blanks", is_flag=True, help="Also the warm processes that wait for their turn.")
@click.option("-l", "--long", "is_long", is_flag=True, help="With the CPU time and the memory of each process.")
def ls(only_sessions: bool, blanks: bool, is_long: bool, as_json: bool) -> None:
    """List processes, or supervised sessions.

    \b
    Examples:
      actorcore ls --sessions
      watch actorcore ls -l
    """
    from supervisors.cli import output, targets, usage

    if only_sessions and is_long:
        raise click.UsageError("--long is of processes: without --sessions")
    with daemon() as client:
        if only_sessions:
            rows = [targets.with_pid(client, row) for row in client.sessions()]
            rows = rows if as_json else [{**row, "uptime": _length(row.get("uptime_s"))} for row in rows]
        else:
            rows = [targets.process_row(client, row) for row in client.processes()]
            rows = [row for row in rows if blanks or row["kind"] != "process" or row.get("start")]
    if only_sessions:
        output.say_rows(rows, SESSION_COLUMNS, as_json)
        return
    if is_long:
        used = [usage.usage(row["os_pid"]) for row in rows]
        rows = [row | (use if as_json else usage.as_columns(use)) for row, use in zip(rows, used, strict=True)]
    if not as_json:
        rows = [{**row, "os_pid": row["os_pid"] or None} for row in rows]
    output.say_rows(rows, LONG_COLUMNS if is_long else PROCESS_COLUMNS, as_json)


def _length(span_s: object) -> str | None:
    from supervisors.session import ages

    return ages.length(span_s) if isinstance(span_s, (int, float)) else None


@command
@click.argument("target", required=False, type=TARGET)
@click.option("-n", "count", type=click.IntRange(min=0), help="Only the last N lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the process is dead, or Ctrl-C.")
@click.option("-p", "--previous", is_flag=True, help="Of the process that the session had before: why did it die?")
def log(target: str | None, count: int | None, follow: bool, previous: bool, as_json: bool) -> None:
    """Print what TARGET writes to stdout and stderr.

    Without TARGET: the log of the daemon, also when none is running. A process that is dead is named by its pid; what it
    wrote is kept as long as there is room. With --json one line each.

    \b
    Examples:
      actorcore log counter -f
      actorcore log counter --previous
      actorcore log -n 20
    """
    from supervisors import paths
    from supervisors.cli import records, targets

    where = directory()
    if target is None:
        records.say_log(where / paths.LOG_NAME, "the daemon", count, follow, None, records.daemon_line, as_json)
        return
    with running_daemon() as client:
        pid = targets.writer(client, target, previous)
        writer = targets.handle(client, pid) if follow else None
    path = where / paths.PROCESS_LOGS_NAME / f"{pid.serial}.log"
    records.say_log(path, target, count, follow and writer is not None, writer, records.of_process(pid), as_json)


@command
@click.argument("name")
def whereis(name: str, as_json: bool) -> None:
    """Look NAME up.

    Prints its pid, and below it the value that it was registered with.

    Example: actorcore whereis counter"""
    from actorcore.errors import RequestError
    from supervisors.cli.output import to_json

    with daemon() as client:
        found = client.lookup(name)
        if found is None:
            raise RequestError("not_found", name)
        pid, value = found
        say({"pid": str(pid), "value": value}, as_json, [str(pid)] if value is None else [str(pid), to_json(value)])


@command
@click.argument("target", type=TARGET)
@click.argument("request", type=json_term, metavar="JSON")
@timeout(5.0)
def call(target: str, request: object, timeout_s: float, as_json: bool) -> None:
    """Ask TARGET and print its answer.

    Example: actorcore call counter '{"add": 1}'"""
    with daemon() as client:
        say(client.call(target if target.startswith("system:") else find(client, target).pid, request, timeout_s), as_json)


@command
@click.argument("target", type=TARGET)
@click.argument("message", type=json_term, metavar="JSON")
def send(target: str, message: object, as_json: bool) -> None:
    """Send TARGET a message, without an answer.

    Example: actorcore send counter '"hello"'"""
    with daemon() as client:
        client.send(find(client, target).pid, message)
        say({"sent": True}, as_json, "sent")


@command
@click.argument("target", type=TARGET)
@timeout(None)
def monitor(target: str, timeout_s: float | None, as_json: bool) -> None:
    """Wait until TARGET is dead and print why.

    Example: actorcore monitor counter"""
    from actorcore.errors import CallTimeout

    with daemon() as client:
        pid = find(client, target).pid
        try:
            down = client.wait_down(client.monitor(pid), timeout_s)
        except CallTimeout:
            raise CallTimeout(f"{target} is still alive") from None
        say({"pid": str(pid), "reason": down.reason}, as_json, down.reason if isinstance(down.reason, str) else None)


@command
@click.argument("target", type=TARGET)
@click.option(
    "-s",
    "--signal",
    "sent",
    type=signal_number,
    metavar="SIGNAL",
    help="A real signal to its OS process; default: exit reason kill.",
)
def kill(target: str, sent: signal.Signals | None, as_json: bool) -> None:
    """Kill TARGET, as an accident would.

    Its supervisor restarts it. Example: actorcore kill -s SEGV counter
    """
    with daemon() as client:
        pid = find(client, target).pid
        ref = client.monitor(pid)
        client.kill(pid, sent)
        if sent is None:
            client.wait_down(ref)
        say({"pid": str(pid), "signal": None if sent is None else sent.name}, as_json, str(pid))


@command
@click.argument("target", type=TARGET)
@timeout(30.0)
def stop(target: str, timeout_s: float, as_json: bool) -> None:
    """Stop TARGET in order.

    It is gone afterwards, a session is off the list. Example: actorcore stop counter
    """
    from supervisors.cli import targets

    with daemon() as client:
        answer = targets.stop(client, find(client, target), timeout_s)
        say(answer, as_json, f"stopped {_whom(answer)}")


@command
@click.argument("target", type=TARGET)
@timeout(30.0)
def restart(target: str, timeout_s: float, as_json: bool) -> None:
    """Restart session TARGET under the same id.

    Example: actorcore restart counter"""
    from supervisors.cli import targets

    with daemon() as client:
        answer = targets.restart(client, find(client, target), timeout_s)
        say(answer, as_json, f"restarted {_whom(answer)}")


def _whom(answer: dict[str, object]) -> str:
    """Who was meant: a TARGET may be the beginning of a name, or a number."""
    return str(answer.get("name") or answer.get("id") or answer["pid"])
