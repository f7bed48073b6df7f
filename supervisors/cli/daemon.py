"""The commands for the daemon itself: start, status, reload, down, doctor, demo."""

from __future__ import annotations

import click

from supervisors.cli.base import command, directory, running_daemon, say, timeout, unwind_on_interrupt


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
        launch.become_daemon(where, line, as_json)
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
        targets.take_down(client, directory(), timeout_s)
    say({"down": True}, as_json, "down")


@command
def demo(as_json: bool) -> None:
    """A guided tour on a private daemon.

    Example: actorcore demo
    """
    from supervisors import demo as tour

    unwind_on_interrupt()
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
