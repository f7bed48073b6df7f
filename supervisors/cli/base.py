"""The frame of the command line: the group, its options, the types of its arguments, and the way to the daemon."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from supervisors import exit_codes

if TYPE_CHECKING:  # the client costs 40 ms that --help need not spend
    from supervisors.cli.targets import Found
    from supervisors.client import Client

F = TypeVar("F", bound=Callable[..., None])

FOLDER = click.Path(exists=True, file_okay=False, resolve_path=True)

SECTIONS = {
    "daemon": "The daemon",
    "processes": "Processes and supervised sessions",
    "sessions": "Sessions that work in folders",
    "saved": "What was saved of them",
    "sys": "Looking inside",
}
"""Module of this package → how ``--help`` calls its commands."""


class Commands(click.Group):
    """The group; its help lists the commands in the sections of SECTIONS, in the order of their definition."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, self.commands))
        for module, heading in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([
                    (name, made.get_short_help_str(limit))
                    for name, made in self.commands.items() if _module(made) == module
                ])  # fmt: skip


def _module(made: click.Command) -> str:
    return str(made.callback.__module__).rpartition(".")[2]


def json_term(text: str) -> object:
    """An argument in JSON: ``42``, ``'"text"'``, ``'{"add": 1}'``."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text!r} is not JSON ({error}); a text needs its quotes: '\"text\"'") from None


def json_object(text: str) -> dict[str, object]:
    """An argument that is an object of JSON: ``{"temperature": 0}``."""
    found = json_term(text)
    if not isinstance(found, dict):
        raise click.BadParameter(f"{text!r} is no JSON object, as '{{\"temperature\": 0}}' is one")
    return found


def _refuse(word: str) -> object:
    raise ValueError(f"{word} is not in JSON")


def signal_number(text: str) -> signal.Signals:
    """A signal by name or number: ``SEGV``, ``SIGSEGV``, ``11``."""
    name = text.upper()
    try:
        return signal.Signals(int(name)) if name.isdecimal() else signal.Signals["SIG" + name.removeprefix("SIG")]
    except (ValueError, KeyError):
        raise click.BadParameter(f"{text!r} is not a signal") from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=exit_codes.explained(tuple(exit_codes.MEANINGS)),
)
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Runtime directory instead of the default one.")
@click.version_option(package_name="actorcore", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, directory: Path | None) -> None:
    """Processes with OTP's semantics under a local daemon, which starts by itself when it is needed.

    A TARGET is a pid (7f3a.42), a registered name, or a session id.

    What went wrong is one line on stderr, "error: code: detail", or JSON with --json.

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
    name = function.__name__.removesuffix("_command").replace("_", "-")
    codes = exit_codes.MEANINGS if name == "start" else exit_codes.OF_COMMANDS
    cli.command(name=name, epilog=exit_codes.explained(tuple(codes)))(made)
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
    from supervisors.cli import targets

    return targets.find(client, target)


def say(value: object, as_json: bool, text: str | list[str] | None = None) -> None:
    from supervisors.cli import output

    output.say(value, as_json, text)


def unwind_on_interrupt() -> None:
    """Ctrl-C raises KeyboardInterrupt from now on: this command has something of its own to clear away."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def timeout(default_s: float | None) -> Callable[[F], F]:
    """``--timeout``; None waits for ever."""
    text = "Seconds; default: for ever." if default_s is None else "Seconds."
    return click.option(
        "--timeout", "timeout_s", type=click.FloatRange(min=0), default=default_s, show_default=default_s is not None, help=text
    )
