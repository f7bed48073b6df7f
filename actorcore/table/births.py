"""Births: from Spawn to a process that is ready, or to the one answer that says why not."""

from __future__ import annotations

from actorcore import process_spec
from actorcore.effects import Fork, Kill
from actorcore.exit_reason import KILLED, Reason
from actorcore.names import key_error
from actorcore.signals import NOBODY, Begin, ForkFailed, ProcessSpec, Refill, Spawn
from actorcore.table import deaths, hangs
from actorcore.table.channels import become_writable
from actorcore.table.entry import Entry, Phase, Starter
from actorcore.table.turn import Turn

REFUSAL_LINGER_S = 5.0
"""A process whose init has refused ends by itself within this time, or is killed."""


def spawn(turn: Turn, asker: Entry, number: int, body: Spawn) -> None:
    """Fork, or use a warm blank; name, link and monitor are set before the process can act."""
    state, spec, starter = turn.state, body.spec, Starter(asker.serial, number)
    if asker.spec is not None and not asker.spec.may_spawn:
        return turn.fail_start(starter, "not_permitted", "may_spawn")
    trouble = process_spec.trouble_with(spec)
    if trouble is not None:
        return turn.fail_start(starter, "invalid_spec", trouble)
    if body.monitor and state.monitors.has(asker.serial, body.monitor):
        return turn.fail_start(starter, "already_exists", "ref")
    error = None if spec.name is None else _name_error(turn, spec.name, asker.serial)
    if error is not None:
        return turn.fail_start(starter, "start_failed", error)
    entry = _take_blank(turn, spec.template) or _fork(turn, spec.template)
    if entry is None:
        return turn.fail_start(starter, "resource_exhausted", "pages")
    entry.spec, entry.parent, entry.trap_exit = spec, asker.serial, spec.trap_exit
    if spec.name is not None:
        state.names.add(
            spec.name, entry.serial, asker.serial, published=False, parent=asker.serial, reserve=body.reserve
        )  # fmt: skip
    if body.link:
        state.links.add(asker.serial, entry.serial)
    if body.monitor:
        state.monitors.add(asker.serial, body.monitor, entry.serial)
    state.deadlines.set(entry.serial, turn.now + spec.init_timeout_s)
    _begin(turn, entry, spec)
    if body.wait_init:
        entry.starter = starter
    else:
        turn.tell_started(starter, entry.serial)
    return None


def refill(turn: Turn, fact: Refill) -> None:
    """Fork blanks until there are ``count``; forking ones count."""
    blanks = turn.state.blanks.setdefault(fact.template, {})
    while len(blanks) < fact.count:
        entry = _fork(turn, fact.template, blank=True)
        if entry is None:
            turn.report("out_of_pages", 0, fact.template)
            break
        blanks[entry.serial] = None
    if not blanks:
        del turn.state.blanks[fact.template]


def born(turn: Turn, entry: Entry, os_pid: int) -> None:
    """The child runs: what waited for it, Begin first, can be sent."""
    if entry.os_pid:
        return turn.report("stale", entry.serial, "born")
    entry.os_pid = os_pid
    if entry.phase is Phase.DYING:
        # Whoever performs effects may not have had a pidfd to kill through.
        return turn.effects.append(Kill(entry.serial))
    entry.phase = Phase.WARM if entry.is_blank() else Phase.BOOTING
    return become_writable(turn, entry)


def booted(turn: Turn, entry: Entry) -> None:
    """Ready means ready: only now is the name found, then the starter is answered."""
    if entry.phase is not Phase.BOOTING or entry.spec is None:
        return turn.report("stale", entry.serial, "booted")
    entry.phase = Phase.RUNNING
    turn.state.deadlines.cancel(entry.serial)
    hangs.watch(turn, entry)
    turn.publish([entry.serial])
    turn.report("process_started", entry.serial, entry.spec.start)
    starter, entry.starter = entry.starter, None
    if starter is not None:
        turn.tell_started(starter, entry.serial)
    return None


def refused(turn: Turn, entry: Entry, reason: Reason | None) -> None:
    """init said no, or ignore (None): as in OTP the name is free before the starter hears of it."""
    if entry.phase is not Phase.BOOTING:
        return turn.report("stale", entry.serial, "refused")
    entry.phase = Phase.REFUSED
    turn.state.deadlines.set(entry.serial, turn.now + REFUSAL_LINGER_S)
    turn.state.names.release_unpublished(entry.serial)
    turn.report("process_refused", entry.serial, reason)
    starter, entry.starter = entry.starter, None
    if starter is not None and reason is None:
        turn.tell_started(starter, entry.serial, ignored=True)
    elif starter is not None:
        turn.fail_start(starter, "start_failed", reason, entry.serial)
    return None


def fork_failed(turn: Turn, entry: Entry, fact: ForkFailed) -> None:
    """It never lived: who waits for its start is told, and not by its link as well."""
    if entry.os_pid:
        return turn.report("stale", entry.serial, "fork_failed")
    turn.report("fork_failed", entry.serial, fact.errno_name)
    if entry.starter is not None:
        turn.state.links.remove(entry.starter.asker, entry.serial)
    if entry.ordered is not None:
        return deaths.end(turn, entry, entry.ordered)
    reason: Reason = {"resource_exhausted": fact.errno_name}
    return deaths.end(turn, entry, reason, ("resource_exhausted", fact.errno_name))


def overdue(turn: Turn, entry: Entry) -> None:
    """init took too long, or a refused process stays. OTP's start: unlink, kill, ``{error, timeout}``."""
    turn.report("start_timeout", entry.serial, entry.phase.value)
    turn.state.names.release_unpublished(entry.serial)
    starter, entry.starter = entry.starter, None
    if starter is not None:
        turn.state.links.remove(starter.asker, entry.serial)
        turn.fail_start(starter, "start_timeout", "timeout", entry.serial)
    turn.doom(entry, KILLED)


def _name_error(turn: Turn, name: str, parent: int) -> Reason | None:
    code = key_error(name) or turn.state.names.error_of(name, NOBODY, parent)
    if code == "already_registered":
        return {code: turn.state.names.holder_of(name)}
    return {code: name} if code in ("invalid_key", "reserved_key") else code


def _take_blank(turn: Turn, template: str) -> Entry | None:
    """The oldest warm blank of the template."""
    for serial in turn.state.blanks.get(template, ()):
        entry = turn.state.entries[serial]
        if entry.phase is Phase.WARM:
            turn.state.discard_blank(entry)
            entry.phase = Phase.BOOTING
            return entry
    return None


def _fork(turn: Turn, template: str, blank: bool = False) -> Entry | None:
    entry = turn.state.add_process(template)
    if entry is not None:
        turn.effects.append(Fork(entry.serial, template, entry.page, blank))
    return entry


def _begin(turn: Turn, entry: Entry, spec: ProcessSpec) -> None:
    turn.deliver(entry, Begin(entry.serial, turn.state.instance, entry.page, spec, entry.parent))
