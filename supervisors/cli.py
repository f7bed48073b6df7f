"""The command line: ``actorcore COMMAND``. Commands are thin; what they do is in the client.

Exit codes: 0 done, 1 refused or failed (``error: code: detail`` on stderr), 2 usage, 3 the daemon is not running,
130 interrupted.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:  # the client costs 40 ms that --help need not spend
    from supervisors.cli_target import Found
    from supervisors.client import Client

F = TypeVar("F", bound=Callable[..., None])
RESTARTS = ["permanent", "transient", "temporary", "none"]
PROCESS_COLUMNS = ["pid", "name", "kind", "state", "os_pid", "template"]
SESSION_COLUMNS = ["id", "name", "pid", "state", "restarts", "restart", "reason"]


class JsonTerm(click.ParamType):
    """An argument in JSON: ``42``, ``'"text"'``, ``'{"add": 1}'``."""

    name = "JSON"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value, parse_constant=self._refuse)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON ({error}); a text needs its quotes: '\"text\"'", param, ctx)

    @staticmethod
    def _refuse(word: str) -> object:
        raise ValueError(f"{word} is not in JSON")


class Signal(click.ParamType):
    """A signal by name or number: ``SEGV``, ``SIGSEGV``, ``11``."""

    name = "SIGNAL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> signal.Signals:
        text = str(value).upper()
        try:
            return signal.Signals(int(text)) if text.isdecimal() else signal.Signals["SIG" + text.removeprefix("SIG")]
        except (ValueError, KeyError):
            self.fail(f"{value!r} is not a signal", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Runtime directory instead of the default one.")
@click.pass_context
def cli(context: click.Context, directory: Path | None) -> None:
    """Processes with OTP's semantics under a local daemon, which starts by itself when it is needed.

    A TARGET is a pid (7f3a.42), a registered name, or a session id.

    \b
    Examples:
      actorcore spawn mypackage.counter:Counter 0 --name counter
      actorcore call counter '{"add": 1}'
      actorcore kill -s SEGV counter     # and see it come back: actorcore ls
    """
    context.obj = directory


def command(function: F) -> F:
    """A command of the group; every one has --json."""
    made = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
    cli.command(name=function.__name__.removesuffix("_command"))(made)
    return function


def directory() -> Path:
    """The runtime directory of this run."""
    from supervisors import paths

    given: Path | None = click.get_current_context().obj
    return paths.default_directory() if given is None else given.absolute()


def daemon() -> Client:
    """A client, of a daemon started for it if necessary."""
    from supervisors.launch import connect_or_start

    return connect_or_start(directory())[0]


def running_daemon() -> Client:
    """A client of a daemon that runs already."""
    from supervisors.client import Client

    return Client.connect(directory())


def find(client: Client, target: str) -> Found:
    from supervisors import cli_target

    return cli_target.find(client, target)


def say(value: object, as_json: bool, text: str | None = None) -> None:
    from supervisors import cli_output

    cli_output.say(value, as_json, text)


timeout = click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Seconds.")


@command
@click.option("--foreground/--detach", default=False, help="Stay in this terminal and log to it, or go to the background.")
def start(foreground: bool, as_json: bool) -> None:
    """Start the daemon; says so when it runs already."""
    from supervisors import launch, paths

    where = directory()
    if foreground:
        paths.prepare_directory(where)
        module = [sys.executable, "-P", "-m", launch.DAEMON_MODULE, "--dir", str(where), "--foreground"]
        os.execv(sys.executable, module)
    client, started = launch.connect_or_start(where)
    client.close()
    say({"started": started, "dir": str(where)}, as_json, "started" if started else "already running")


@command
def status(as_json: bool) -> None:
    """What the daemon says about itself; exit code 3 when it is not running."""
    with running_daemon() as client:
        answer = client.node("status")
    say(answer, as_json, "\n".join(f"{key}: {value}" for key, value in answer.items()) if len(answer) == 1 else None)


@command
@click.argument("start", metavar="MODULE:NAME")
@click.argument("args", nargs=-1, type=JsonTerm())
@click.option("--name", help="Register this name.")
@click.option("--id", "session_id", help="Session id instead of the name or a new UUID.")
@click.option("--restart", type=click.Choice(RESTARTS), default="transient", show_default=True, help="none: a bare process.")
@click.option("--template", default="lean", show_default=True)
def spawn(
    start: str, args: tuple[object, ...], name: str | None, session_id: str | None, restart: str, template: str, as_json: bool
) -> None:
    """Start MODULE:NAME with ARGS (each in JSON) as a supervised session, or as a bare process; it is ready afterwards.

    \b
    Examples:
      actorcore spawn mypackage.counter:Counter 0 --name counter
      actorcore spawn mypackage.jobs:run '"nightly"' '{"retries": 3}' --restart none
    """
    import msgspec

    from actorcore.signals import ProcessSpec
    from supervisors.child_spec import ChildSpec

    spec = ProcessSpec(start, msgspec.convert(list(args), list), template=template, name=name)
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
@click.option("--sessions", "only_sessions", is_flag=True, help="Sessions with their restarts instead of processes.")
def ls(only_sessions: bool, as_json: bool) -> None:
    """List processes, or sessions."""
    from supervisors import cli_output, cli_target

    with daemon() as client:
        rows = [cli_target.with_pid(client, row) for row in (client.sessions() if only_sessions else client.processes())]
    cli_output.say_rows(rows, SESSION_COLUMNS if only_sessions else PROCESS_COLUMNS, as_json)


@command
@click.argument("target")
@click.argument("request", type=JsonTerm())
@timeout
def call(target: str, request: object, timeout_s: float, as_json: bool) -> None:
    """Ask TARGET and print its answer in JSON. Example: actorcore call counter '{"add": 1}'"""
    with daemon() as client:
        say(client.call(target if target.startswith("system:") else find(client, target).pid, request, timeout_s), as_json)


@command
@click.argument("target")
@click.argument("message", type=JsonTerm())
def send(target: str, message: object, as_json: bool) -> None:
    """Send TARGET a message. Example: actorcore send counter '"hello"'"""
    with daemon() as client:
        client.send(find(client, target).pid, message)
        say({"sent": True}, as_json, "sent")


@command
@click.argument("target")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=None, help="Seconds; default: for ever.")
def monitor(target: str, timeout_s: float | None, as_json: bool) -> None:
    """Wait until TARGET is dead and print the reason. Example: actorcore monitor counter"""
    with daemon() as client:
        pid = find(client, target).pid
        down = client.wait_down(client.monitor(pid), timeout_s)
        say({"pid": str(pid), "reason": down.reason}, as_json, down.reason if isinstance(down.reason, str) else None)


@command
@click.argument("target")
@click.option("-s", "--signal", "sent", type=Signal(), help="A real signal to its OS process; default: exit reason kill.")
def kill(target: str, sent: signal.Signals | None, as_json: bool) -> None:
    """Kill TARGET, as an accident would; its supervisor restarts it. Example: actorcore kill -s SEGV counter"""
    with daemon() as client:
        pid = find(client, target).pid
        client.kill(pid, sent)
        say({"pid": str(pid), "signal": None if sent is None else sent.name}, as_json, str(pid))


@command
@click.argument("target")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds.")
def stop(target: str, timeout_s: float, as_json: bool) -> None:
    """Stop TARGET in order; it is gone afterwards, and a session is off the list. Example: actorcore stop counter"""
    from supervisors import cli_target

    with daemon() as client:
        answer = cli_target.stop(client, find(client, target), timeout_s)
        say(answer, as_json, "stopped")


@command
@click.argument("target")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds.")
def restart(target: str, timeout_s: float, as_json: bool) -> None:
    """Stop and start the session TARGET under the same id. Example: actorcore restart counter"""
    from supervisors import cli_target

    with daemon() as client:
        answer = client.restart_session(cli_target.session_id(find(client, target)), timeout_s)
        say(answer, as_json, "restarted")


@command
def reload(as_json: bool) -> None:
    """Put a node with the code on disk in the place of the running one; processes and clients do not notice."""
    with daemon() as client:
        say(client.node("reload"), as_json, "reloaded")


@command
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds.")
def down(timeout_s: float, as_json: bool) -> None:
    """Stop everything and the daemon; nothing of it is left afterwards. Exit code 3 when it is not running."""
    from supervisors import cli_target

    with running_daemon() as client:
        cli_target.take_down(client, timeout_s)
    say({"down": True}, as_json, "down")


@command
def demo(as_json: bool) -> None:
    """A guided tour on a private daemon."""
    importlib.import_module("supervisors.demo").main()


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    try:
        cli.main(arguments, prog_name="actorcore", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `actorcore ls | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Known errors become a line; others are bugs and keep their traceback."""
    import msgspec

    from actorcore.errors import ActorError, RequestError
    from supervisors import cli_output

    if isinstance(error, msgspec.ValidationError):
        error = RequestError("invalid_spec", str(error))
    if not isinstance(error, ActorError):
        raise error
    return cli_output.say_error(error)
