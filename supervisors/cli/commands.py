"""The command line: ``actorcore COMMAND``. Commands are thin; what they do is in the client.

What went wrong is one line on stderr: ``error: code: detail``, or with --json ``{"error": {"code", "detail", "meaning"}}``;
the exit codes are in :mod:`supervisors.exit_codes`.
"""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import click

import supervisors.cli.saved  # their commands
import supervisors.cli.sessions
import supervisors.cli.sys  # noqa: F401
from supervisors import exit_codes
from supervisors.cli.base import cli, command, daemon, directory, find, json_term, running_daemon, say, signal_number, timeout

RESTARTS = ["permanent", "transient", "temporary", "none"]
PROCESS_COLUMNS = ["pid", "name", "kind", "state", "os_pid", "start"]
SESSION_COLUMNS = ["id", "name", "pid", "state", "restarts", "restart", "reason"]


@command
@click.option("--foreground/--detach", default=False, help="Stay in this terminal and log to it, or go to the background.")
def start(foreground: bool, as_json: bool) -> None:
    """Start the daemon; says so when it runs already.

    In the foreground it ends with Ctrl-C.

    \b
    Examples:
      actorcore start
      actorcore --dir /tmp/mine start --foreground
    """
    from supervisors import launch
    from supervisors.cli.output import to_json

    where = directory()
    if foreground:
        line = to_json({"started": True, "dir": str(where)}) if as_json else f"serving {where}"
        launch.become_daemon(where, line)
    client, started = launch.connect_or_start(where)
    client.close()
    say({"started": started, "dir": str(where)}, as_json, "started" if started else "already running")


@command
def status(as_json: bool) -> None:
    """Ask how the daemon is.

    Example: actorcore status --json
    """
    from supervisors.cli.output import to_json

    with running_daemon() as client:
        answer = client.node("status")
    lines = [f"{key}: {value if isinstance(value, (str, int)) else to_json(value)}" for key, value in answer.items()]
    say(answer, as_json, lines)


SECONDS = click.FloatRange(min=0, min_open=True)
FOLDER = click.Path(exists=True, file_okay=False, resolve_path=True)


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
    """Start MODULE:NAME as a session.

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
    from supervisors.tree.child_spec import ChildSpec

    spec = msgspec.convert({"start": start, "args": list(args), "name": name, **fields}, ProcessSpec)
    with daemon() as client:
        if restart == "none":
            pid = client.spawn_spec(spec)
            say({"pid": str(pid), "name": name}, as_json, str(pid))
            return
        identity = session_id or name or str(uuid.uuid4())
        child = msgspec.convert({"id": identity, "process": spec, "restart": restart}, ChildSpec)
        row = client.start_session(child)
        say(row, as_json, identity)


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
        say(client.start_session(wanted), as_json, wanted.id)


@command
@click.option("--sessions", "only_sessions", is_flag=True, help="Sessions with their restarts instead of processes.")
@click.option("-a", "--all", "blanks", is_flag=True, help="Also the warm processes that wait for their turn.")
def ls(only_sessions: bool, blanks: bool, as_json: bool) -> None:
    """List processes, or sessions.

    Example: actorcore ls --sessions
    """
    from supervisors.cli import output, targets

    with daemon() as client:
        if only_sessions:
            rows = [targets.with_pid(client, row) for row in client.sessions()]
        else:
            rows = [targets.process_row(client, row) for row in client.processes()]
    shown = rows if blanks or only_sessions else [row for row in rows if row["kind"] != "process" or row.get("start")]
    output.say_rows(shown, SESSION_COLUMNS if only_sessions else PROCESS_COLUMNS, as_json)


@command
@click.argument("name")
def whereis(name: str, as_json: bool) -> None:
    """Look NAME up: its pid, and below it the value that it was registered with.

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
@click.argument("target")
@click.argument("request", type=json_term, metavar="JSON")
@timeout(5.0)
def call(target: str, request: object, timeout_s: float, as_json: bool) -> None:
    """Ask TARGET and print its answer.

    Example: actorcore call counter '{"add": 1}'"""
    with daemon() as client:
        say(client.call(target if target.startswith("system:") else find(client, target).pid, request, timeout_s), as_json)


@command
@click.argument("target")
@click.argument("message", type=json_term, metavar="JSON")
def send(target: str, message: object, as_json: bool) -> None:
    """Send TARGET a message.

    Example: actorcore send counter '"hello"'"""
    with daemon() as client:
        client.send(find(client, target).pid, message)
        say({"sent": True}, as_json, "sent")


@command
@click.argument("target")
@timeout(None)
def monitor(target: str, timeout_s: float | None, as_json: bool) -> None:
    """Wait until TARGET is dead and print why.

    Example: actorcore monitor counter"""
    with daemon() as client:
        pid = find(client, target).pid
        down = client.wait_down(client.monitor(pid), timeout_s)
        say({"pid": str(pid), "reason": down.reason}, as_json, down.reason if isinstance(down.reason, str) else None)


@command
@click.argument("target")
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
@click.argument("target")
@timeout(30.0)
def stop(target: str, timeout_s: float, as_json: bool) -> None:
    """Stop TARGET in order.

    It is gone afterwards, a session is off the list. Example: actorcore stop counter
    """
    from supervisors.cli import targets

    with daemon() as client:
        answer = targets.stop(client, find(client, target), timeout_s)
        say(answer, as_json, "stopped")


@command
@click.argument("target")
@timeout(30.0)
def restart(target: str, timeout_s: float, as_json: bool) -> None:
    """Restart a session under the same id.

    Example: actorcore restart counter"""
    from supervisors.cli import targets

    with daemon() as client:
        answer = targets.restart(client, find(client, target), timeout_s)
        say(answer, as_json, "restarted")


@command
def reload(as_json: bool) -> None:
    """Switch to the code on disk.

    A new node takes the place of the running one; processes and clients do not notice. Code that does not get ready, or
    cannot read the state of the running one, is refused and nothing changes. Processes that run keep their code.

    Example: actorcore reload
    """
    with running_daemon() as client:
        say(client.node("reload"), as_json, "reloaded")


@command
@timeout(30.0)
def down(timeout_s: float, as_json: bool) -> None:
    """Stop everything and the daemon.

    Nothing of it is left afterwards. Example: actorcore down
    """
    from supervisors.cli import targets

    with running_daemon() as client:
        targets.take_down(client, timeout_s)
    say({"down": True}, as_json, "down")


@command
def demo(as_json: bool) -> None:
    """A guided tour on a private daemon.

    Example: actorcore demo
    """
    from supervisors import demo as tour

    click.get_current_context().exit(tour.main(as_json))


@command
def doctor(as_json: bool) -> None:
    """What this machine offers, and what is so without it.

    Exit code 1 when something is missing that the daemon needs. Example: actorcore doctor
    """
    import msgspec

    from supervisors.cli import output
    from supervisors.cli.doctor import examine

    found = examine(directory())
    rows = [msgspec.to_builtins(finding) for finding in found]
    output.say_rows(rows if as_json else [_diagnosis(row) for row in rows], ["feature", "is", "detail", "otherwise"], as_json)
    click.get_current_context().exit(int(any(finding.needed and not finding.ok for finding in found)))


def _diagnosis(row: dict[str, object]) -> dict[str, object]:
    state = "ok" if row["ok"] else "MISSING" if row["needed"] else "absent"
    return {**row, "is": state, "otherwise": "" if row["ok"] else row["otherwise"]}


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    try:
        code = cli.main(arguments, prog_name="actorcore", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exit_codes.USAGE
    except click.ClickException as error:
        if "--json" in arguments:
            _say_usage_error(error)
        else:
            error.show()
        return exit_codes.USAGE
    except (click.Abort, KeyboardInterrupt):
        return exit_codes.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `actorcore ls | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exit_codes.REFUSED
    except Exception as error:
        return _failed(error, "--json" in arguments)
    return code if isinstance(code, int) else exit_codes.DONE


def _say_usage_error(error: click.ClickException) -> None:
    from supervisors.cli import output

    output.say_json_error("usage", error.format_message())


def _failed(error: Exception, as_json: bool) -> int:
    """Known errors become a line; others are bugs and keep their traceback."""
    import msgspec

    from actorcore.errors import ActorError, RequestError
    from supervisors.cli import output

    if isinstance(error, msgspec.ValidationError):
        error = RequestError("invalid_spec", str(error))
    if not isinstance(error, ActorError):
        raise error
    return output.say_error(error, as_json)
